"""``tools``: what plans and agents may call, with schemas, effects and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option, tools_option

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.drafting.templates import Template
    from planfold.executors.executor import ToolExecutor
    from planfold.executors.registry import Executors

_EFFECTS = {
    "safe": "safe: only reads, or writes the same again without harm; runs again after a crash",
    "keyed": "keyed: runs again after a crash, with the same idempotency key",
    "once": "once: does not run again after a crash before a person has said how it ended",
}


@command("tools")
@click.argument("name", metavar="[NAME]", required=False)
@tools_option
@json_option("the tools and templates with their schemas")
def tools_command(name: str | None, tools: tuple[str, ...], as_json: bool, db: str | None) -> int:
    """List the tools that plans and agents may call here, or show one with its arguments.

    Templates are listed as "plan"; of one, NAME shows the parameters.

    Starts the MCP servers of planfold.toml, lists what they offer, and ends them again.

    \b
    planfold tools
    planfold tools git__git_log
    """
    from planfold.cli.access import let_tools_be_found, run_async, settings_for
    from planfold.cli.terminal import Paper, clean, print_json

    settings = settings_for(db)
    let_tools_be_found(settings, tools)
    report = run_async(_report(settings, tools, name))
    if as_json:
        print_json(report)
        return COMPLETED
    paper = Paper()
    if name is None:
        paper.lines(list(_lines(report)), width=paper.width)
        paper.lines([[("note: ", "ask"), (clean(note), "")] for note in report["warnings"]])
        gone = report["failures"].values()
        paper.lines([[("unavailable: ", "bad"), (clean(why), "")] for why in gone])
    elif report["templates"]:
        paper.lines(list(_template_details(report["templates"][0], paper.width)))
    else:
        paper.lines(list(_details(report["tools"][0], paper.width)))
    return COMPLETED


async def _report(settings: Any, modules: tuple[str, ...], name: str | None) -> dict[str, Any]:
    from planfold.assembly import assembled

    async with assembled(settings, modules) as executors:
        chosen, templates = executors.tool_executors(), dict(executors.templates)
        if name is not None and name in templates:
            chosen, templates = [], {name: templates[name]}
        elif name is not None:
            chosen, templates = [_find(executors, name)], {}
        return {
            "tools": [_as_json(executor) for executor in chosen],
            "templates": [_template_json(templates[key]) for key in sorted(templates)],
            "failures": executors.toolbox.failures,
            "warnings": executors.toolbox.warnings,
        }


def _find(executors: Executors, name: str) -> ToolExecutor:
    """Raises NotFound, with the nearest name or why its server is unavailable."""
    from difflib import get_close_matches

    from planfold.cli.terminal import clean
    from planfold.errors import NotFound

    found = {executor.tool.name: executor for executor in executors.tool_executors()}
    if name in found:
        return found[name]
    message = f"there is no tool {clean(name)!r}"
    near = get_close_matches(name, [*found, *executors.templates], n=1)
    why = executors.toolbox.failures.get(name.partition("__")[0])
    if why is not None:
        message += f": {clean(why)}"
    elif near:
        message += f"; did you mean {near[0]!r}?"
    raise NotFound(f"{message}\n`planfold tools` lists them")


def _as_json(executor: ToolExecutor) -> dict[str, Any]:
    tool = executor.tool
    return {
        "name": tool.name,
        "description": tool.description,
        "effect": tool.effect.value,
        "server": tool.server or None,
        "hints": list(getattr(executor, "hints", ())),
        "parameters": tool.parameters,
    }


def _template_json(template: Template) -> dict[str, Any]:
    from planfold.drafting.parameters import parameters_schema

    return {
        "name": template.name,
        "description": template.description,
        "parameters": parameters_schema(template.params),
    }


def _lines(report: dict[str, Any]) -> Iterator[Line]:
    from planfold.cli.terminal import clean

    offered = [(tool, tool["effect"]) for tool in report["tools"]]
    offered += [(template, "plan") for template in report["templates"]]
    width = max((len(each["name"]) for each, _ in offered), default=0)
    for each, effect in offered:
        about = " ".join(clean(each["description"]).split())
        yield [(each["name"].ljust(width), "busy"), (f"  {effect:<5}  ", "dim"), (about, "")]


def _details(tool: dict[str, Any], width: int) -> Iterator[Line]:
    from planfold.cli.preview import fact_lines
    from planfold.cli.terminal import clean

    yield from _title_lines(tool, width)
    facts = {"Effect": _EFFECTS[tool["effect"]]}
    if tool["server"]:
        facts["Server"] = clean(tool["server"])
        facts["It says"] = clean(", ".join(tool["hints"])) or "nothing about its effects"
    yield []
    yield from fact_lines(facts, width)
    yield from _schema_lines("Arguments", tool)


def _template_details(template: dict[str, Any], width: int) -> Iterator[Line]:
    from planfold.cli.preview import fact_lines

    yield from _title_lines(template, width)
    yield []
    run = f"planfold run {template['name']}"
    required = "".join(f" --set {name}=VALUE" for name in template["parameters"]["required"])
    yield from fact_lines({"Template": f"{run}{required}"}, width)
    yield from _schema_lines("Parameters", template)


def _title_lines(shown: dict[str, Any], width: int) -> Iterator[Line]:
    from planfold.cli.terminal import clean_lines, wrapped

    yield [(shown["name"], "busy")]
    for line in clean_lines(shown["description"]):
        yield from ([(part, "")] for part in wrapped(line, width))


def _schema_lines(what: str, shown: dict[str, Any]) -> Iterator[Line]:
    from planfold.cli.terminal import in_json

    yield []
    yield [(f"{what} (JSON schema):", "dim")]
    for line in in_json(shown["parameters"], indent=2).splitlines():
        yield [(line, "")]
