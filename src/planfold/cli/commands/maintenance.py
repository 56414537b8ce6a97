"""``schema``, ``doctor`` and ``migrate``: keeping the installation and the database in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED, FAILED
from planfold.cli.options import command, json_option, tools_option
from planfold.cli.streams import say

if TYPE_CHECKING:
    from planfold.runtime.settings import Settings

_NAMES = {"planfold": "planfold", "sqlite": "SQLite", "wal_bytes": "WAL bytes"}


@command("schema")
@click.argument("source", metavar="[PLAN]", required=False)
@tools_option
@json_option("the schema (always JSON)")
def schema_command(
    source: str | None, tools: tuple[str, ...], as_json: bool, db: str | None
) -> int:
    """Print the JSON schema of plan files, for editors and other programs.

    With PLAN, a file or the name of a template, it is the schema of its parameters.

    \b
    planfold schema > plan.schema.json
    planfold schema release.md
    """
    import json

    from planfold.drafting.schema import plan_schema

    schema = plan_schema() if source is None else _parameters_of(source, tools, db)
    say(json.dumps(schema, indent=2))
    return COMPLETED


def _parameters_of(source: str, tools: tuple[str, ...], db: str | None) -> dict[str, Any]:
    """The schema of the parameters of a plan."""
    from planfold.assembly import assembled
    from planfold.cli.access import let_tools_be_found, run_async, settings_for
    from planfold.cli.sources import read_source
    from planfold.drafting.files import decoded_plan
    from planfold.drafting.parameters import parameters_schema
    from planfold.drafting.templates import parameters_of

    text, name = read_source(source)
    settings = settings_for(db)
    let_tools_be_found(settings, tools)

    async def found() -> dict[str, Any]:
        async with assembled(settings, tools) as executors:
            plan = decoded_plan(text, name)
            toolbox, templates = executors.toolbox, executors.templates
            return parameters_schema(parameters_of(plan, toolbox, templates, source=name))

    return run_async(found())


@command("doctor")
@click.option("--repair", "repairs", is_flag=True, help="Rebuild what can be derived from the log.")
@tools_option
@json_option("what was found")
def doctor_command(repairs: bool, tools: tuple[str, ...], as_json: bool, db: str | None) -> int:
    """Check versions, settings, tools and the database. Exit code 1 if something is wrong.

    Nothing is changed: the database is neither created nor migrated. With --repair, snapshots,
    lines of lists and rows of the task queue that are not what the log says are made again, of all
    plans, then everything is checked. A task of effect `once` that is not in the queue may have
    begun: a person is asked. Damage of the log itself needs a backup.

    \b
    planfold doctor
    planfold doctor --repair
    """
    from planfold.cli.diagnosis import diagnose
    from planfold.cli.preview import fact_lines
    from planfold.cli.terminal import Paper, clean, print_json

    repaired = _repaired(db) if repairs else []
    diagnosis = diagnose(db, tools)
    if as_json:
        found = {"faults": diagnosis.faults, "notes": diagnosis.notes, "repaired": repaired}
        print_json({"ok": not diagnosis.faults} | found | diagnosis.facts)
    else:
        paper = Paper()
        facts = {
            _NAMES.get(name, name.replace("_", " ").capitalize()): clean(_in_words(value))
            for name, value in diagnosis.facts.items()
        }
        paper.lines(fact_lines(facts, paper.width))
        paper.lines([[("repaired: ", "good"), (clean(what), "")] for what in repaired])
        paper.lines([[("note: ", "ask"), (clean(note), "")] for note in diagnosis.notes])
        paper.lines([[("wrong: ", "bad"), (clean(fault), "")] for fault in diagnosis.faults])
        if not diagnosis.faults:
            paper.lines([[("Nothing is wrong.", "good")]])
    return FAILED if diagnosis.faults else COMPLETED


def _repaired(db: str | None) -> list[str]:
    from planfold.cli.access import run_async
    from planfold.cli.repair import repair

    return run_async(repair(db))


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} by {name}" for name, count in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else str(value)


@command("migrate")
@click.option(
    "--check", is_flag=True, help="Only report whether it is up to date; exit code 1 if not."
)
@click.option(
    "--restored", is_flag=True, help="The database came from a backup: refuse its checkpoints."
)
@json_option("the schema before and after")
def migrate_command(check: bool, restored: bool, as_json: bool, db: str | None) -> int:
    """Bring the database's schema up to date, all steps or none.

    Every command that opens the database migrates it too; use this one to choose the time. It
    is safe to run in several processes at the same time, and again after a crash.

    \b
    planfold migrate
    planfold migrate --check
    """
    from planfold.cli.access import database_shown, require_database, run_async, settings_for

    if check and restored:
        raise click.UsageError("--check changes nothing; leave --restored out")
    settings = settings_for(db)
    require_database(settings)
    before, newest = run_async(_schemas(settings))
    facts: dict[str, Any] = {"database": database_shown(settings), "before": before}
    if check:
        return _tell_migrated(facts | {"after": before, "newest": newest}, as_json)
    changed = run_async(_migrate(settings, restored=restored))
    return _tell_migrated(facts | {"after": newest} | changed, as_json)


async def _schemas(settings: Settings) -> tuple[int, int]:
    """The database's schema, and the newest."""
    from planfold.databases import schemas_of

    return await schemas_of(settings.database)


async def _migrate(settings: Settings, *, restored: bool) -> dict[str, Any]:
    from planfold.app import open_app

    changed: dict[str, Any] = {}
    async with open_app(settings, create=False, load=False) as app:
        if restored:
            changed["epoch"] = await app.store.checkpoints.raise_epoch()
    return changed


def _tell_migrated(facts: dict[str, Any], as_json: bool) -> int:
    from planfold.cli.terminal import print_json

    before, after, newest = facts["before"], facts["after"], facts.get("newest", facts["after"])
    if as_json:
        print_json(facts)
        return COMPLETED if after == newest else FAILED
    if before == newest:
        say(f"Schema {newest}: up to date.")
    elif after == newest:
        say(f"Schema {before} -> {newest}.")
    elif before > newest:
        say(f"Schema {before}; this planfold knows up to {newest}: upgrade planfold.")
    else:
        say(f"Schema {before}; `planfold migrate` brings it to {newest}.")
    if "epoch" in facts:
        say(f"Epoch {facts['epoch']}: checkpoints that were saved before are refused.")
    return COMPLETED if after == newest else FAILED
