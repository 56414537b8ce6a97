"""``policy``: what models may do without approval, and the rule that decides a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import DB_HELP, command, json_option

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.tools.policy.policy import Call, Considered, Policy, Verdict

_STYLES = {"allow": "good", "ask": "ask", "deny": "bad"}
_DEFAULTS = (
    ("allow", "reading and listing files inside the workspace, except files that may hold keys"),
    ("allow", "GET and HEAD to hosts ({hosts}), without secrets"),
    ("ask", "everything else that a model proposes"),
    ("ask", "after a model has read untrusted text: network, commands, MCP tools, secrets, "
     "functions"),
    ("ask", "writing planfold.toml, .planfold, .git and start-up files, regardless of rules"),
    ("allow", 'calls that no model proposed, unless a rule with for = "everybody" matches'),
)  # fmt: skip


@click.group("policy", invoke_without_command=True)
@click.option("--db", metavar="ADDRESS", help=DB_HELP)
@json_option("the policy")
@click.pass_context
def policy_command(context: click.Context, db: str | None, as_json: bool) -> int:
    """Show the rules of planfold.toml in order, and the defaults.

    \b
    planfold policy
    planfold policy explain shell '{"argv": ["git", "status"]}'
    """
    if context.invoked_subcommand is None:
        _show_policy(as_json)
    return COMPLETED


@command("explain", "Show which rule decides a call, and why.")
@click.argument("tool", required=False)
@click.argument("arguments", required=False)
@click.option("--tainted", is_flag=True, help="As if the model had read untrusted text before.")
@click.option("--author", is_flag=True, help="As if the plan's author had written the call.")
@click.option("--mcp-server", "server", default="", metavar="NAME", help="The tool's MCP server.")
@json_option("the verdict")
def explain_command(
    tool: str | None,
    arguments: str | None,
    tainted: bool,
    author: bool,
    server: str,
    as_json: bool,
    db: str | None,
) -> int:
    """Say whether a model may call TOOL with ARGUMENTS (a JSON object), and which rule decides.
    Nothing is called. Without TOOL: the whole policy, in order.

    \b
    planfold policy explain
    planfold policy explain shell '{"argv": ["git", "status"]}'
    planfold policy explain http '{"url": "https://example.org/"}' --tainted
    """
    from planfold.cli.terminal import Paper, print_json
    from planfold.tools.policy.policy import Call

    if tool is None:
        _show_policy(as_json)
        return COMPLETED
    if not server and "__" in tool:
        server = tool.partition("__")[0]
    call = Call(
        tool=tool,
        arguments=_arguments(arguments),
        server=server,
        proposed=not author,
        tainted=tainted,
    )
    policy, _ = _policy()
    verdict, considered = policy.decide(call), policy.consider(call)
    if as_json:
        print_json(_as_json(call, verdict, considered))
    else:
        paper = Paper()
        paper.lines(_verdict_lines(call, verdict, considered))
    return COMPLETED


def _policy() -> tuple[Policy, Path]:
    from planfold.runtime.settings import load_settings
    from planfold.tools.policy.paths import WorkspacePaths
    from planfold.tools.policy.policy import Policy
    from planfold.tools.secrets import Secrets

    settings = load_settings()
    workspace = Path(settings.workspace).resolve()
    paths = WorkspacePaths(workspace, private=Secrets(settings.secrets).files())
    return Policy(settings.policy, paths), workspace


def _arguments(text: str | None) -> dict[str, Any]:
    import json

    try:
        value = json.loads(text or "{}")
    except ValueError as fault:
        raise click.UsageError(f"ARGUMENTS is not JSON: {fault}") from None
    if not isinstance(value, dict):
        raise click.UsageError('ARGUMENTS is a JSON object, such as \'{"path": "notes.txt"}\'')
    return value


def _show_policy(as_json: bool) -> None:
    from planfold.cli.terminal import Paper, clean, print_json
    from planfold.tools.policy.rules import describe

    policy, workspace = _policy()
    settings = policy.settings
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(settings) | {"workspace": str(workspace)})
        return
    lines: list[Line] = [[("Rules of planfold.toml: deny wins over ask, ask over allow.", "bold")]]
    for number, rule in enumerate(settings.rules, 1):
        lines.append([(f"  {number}  ", ""), (clean(describe(rule)), _STYLES[rule.decision])])
    if not settings.rules:
        lines.append([("  none", "dim")])
    lines.append([("Without a rule:", "bold")])
    hosts = clean(", ".join(settings.hosts)) or "none are configured"
    for decision, text in _DEFAULTS:
        lines.append([(f"  {decision:<5}  ", _STYLES[decision]), (text.format(hosts=hosts), "")])
    lines.append([(f"Workspace: {clean(str(workspace))}", "dim")])
    Paper().lines(lines)


def _verdict_lines(call: Call, verdict: Verdict, considered: list[Considered]) -> list[Line]:
    from planfold.cli.terminal import clean
    from planfold.tools.policy.rules import describe

    whose = "a model" if call.proposed else "the plan's author"
    after = ", after reading untrusted text" if call.tainted else ""
    lines: list[Line] = [
        [
            (verdict.decision, _STYLES[verdict.decision]),
            (f": {clean(call.tool)}, called by {whose}{after}", ""),
        ],
        [(f"  decided by {verdict.rule}: {clean(verdict.reason)}", "")],
    ]
    for found in considered:
        why = "matches" if found.why_not is None else f"does not match: {found.why_not}"
        lines.append([(f"  {found.name}: {clean(describe(found.rule))}", "dim")])
        lines.append([(f"    {clean(why)}", "good" if found.why_not is None else "dim")])
    return lines


def _as_json(call: Call, verdict: Verdict, considered: list[Considered]) -> dict[str, Any]:
    from planfold.tools.policy.rules import describe

    return {
        "decision": verdict.decision,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "tool": call.tool,
        "tainted": call.tainted,
        "proposed": call.proposed,
        "rules": [
            {"name": f.name, "rule": describe(f.rule), "matches": f.why_not is None}
            | ({} if f.why_not is None else {"why_not": f.why_not})
            for f in considered
        ],
    }


policy_command.add_command(explain_command)
