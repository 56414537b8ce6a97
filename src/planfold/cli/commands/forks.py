"""``fork``, ``checkpoint`` and ``restore``: another way for a plan from one of its versions on."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from planfold.cli.exits import COMPLETED, WAITS
from planfold.cli.options import command, json_option, repeat_option, tools_option

if TYPE_CHECKING:
    from planfold.planner.state import PlannerState
    from planfold.runtime.fork import Fork
    from planfold.runtime.forking import PlanForking

    Forking = Callable[..., Awaitable[Fork]]

TASK = "task:"  # before the name of a task that could be taken for a version


class _Way(NamedTuple):
    """How a fork is begun."""

    repeat: tuple[str, ...]
    dry_run: bool
    yes: bool
    as_json: bool
    db: str | None


class Given(click.ParamType[tuple[str, str]]):
    """NAME=TEXT, divided at the first equals sign."""

    name = "text"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is not of the form NAME=TEXT", param, ctx)
        return name, text


keep_answers_option = click.option(
    "--keep-answers", is_flag=True, help="Give later questions the answers that they got."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would run again; write nothing."
)


@command("fork")
@click.argument("plan_id", metavar="ID")
@click.option(
    "--at",
    metavar="VERSION|TASK",
    help="The version to continue, or the one before a task began. Default: the latest.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="TASK.FIELD=VALUE",
    type=Given(),
    help="Change an argument of a task, its description or timeout; may be repeated.",
)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TASK=TEXT",
    type=Given(),
    help="Change an answer, or answer a future question; may be repeated.",
)
@keep_answers_option
@repeat_option
@dry_run_option
@click.option("--yes", "-y", is_flag=True, help="Approve the changed tasks without asking.")
@tools_option
@json_option("the fork, or with --dry-run what would happen")
def fork_command(
    plan_id: str,
    at: str | None,
    changes: tuple[tuple[str, str], ...],
    answers: tuple[tuple[str, str], ...],
    keep_answers: bool,
    repeat: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    tools: tuple[str, ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Begin a plan that continues another one from a version on. The other plan stays as it is.

    Exactly the changed tasks and what depends on a change run again; all other results are reused.
    Shows what would run again and which effects would happen again, and asks. Changed tasks need
    an approval: --yes gives it. Without a terminal and without --yes the fork is recorded and waits
    for it (exit code 3), and so does, in any case, the fork of a plan that waits for approval: its
    tasks were not shown. A VALUE is JSON where the present one is not a text. A number after --at
    is a version; write task:3 for task 3.

    \b
    planfold fork plan-3f9a --set deploy.region=eu --yes
    planfold fork plan-3f9a --at deploy --keep-answers --dry-run
    planfold fork plan-3f9a --answer publish=no
    """
    from planfold.cli.access import run_async

    way = _Way(repeat, dry_run, yes, as_json, db)
    rest = {"at": _moment(at), "answers": dict(answers), "keep_answers": keep_answers}
    return run_async(_fork(plan_id, changes, rest, way, tools))


@command("restore")
@click.argument("plan_id", metavar="ID")
@click.argument("name")
@keep_answers_option
@repeat_option
@dry_run_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option("the new plan, or with --dry-run what would happen")
def restore_command(
    plan_id: str,
    name: str,
    keep_answers: bool,
    repeat: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    db: str | None,
) -> int:
    """Begin a plan that continues another one from a checkpoint on: a fork without changes.

    The other plan stays as it is. `planfold show ID` lists its checkpoints.

    \b
    planfold restore plan-3f9a before-deploy
    """
    from planfold.cli.access import find_plan, plans_at, run_async

    way = _Way(repeat, dry_run, yes, as_json, db)

    async def restore() -> int:
        async with plans_at(db) as app:
            found = await find_plan(app, plan_id)

            async def forking(
                *, dry_run: bool, approved_by: str | None = None, at: int | None = None
            ) -> Fork:
                return await app.restore(
                    found, name, keep_answers=keep_answers, repeat=repeat, dry_run=dry_run
                )

            return await _carry_out(app, forking, way)

    return run_async(restore())


@command("checkpoint")
@click.argument("plan_id", metavar="ID")
@click.argument("name")
@json_option("the version")
def checkpoint_command(plan_id: str, name: str, as_json: bool, db: str | None) -> int:
    """Name the present version of a plan. `planfold show ID` lists the names.

    \b
    planfold checkpoint plan-3f9a before-deploy
    """
    from planfold.cli.access import find_plan, plans_at, run_async
    from planfold.cli.streams import say
    from planfold.cli.terminal import clean, print_json

    async def checkpoint() -> int:
        async with plans_at(db) as app:
            found = await find_plan(app, plan_id)
            version = await app.checkpoint(found, name)
        if as_json:
            print_json({"plan_id": found, "name": name, "version": version})
        else:
            say(f"Version {version} of {clean(found)} is the checkpoint {clean(name)} now.")
        return COMPLETED

    return run_async(checkpoint())


async def _fork(
    key: str,
    changes: tuple[tuple[str, str], ...],
    rest: dict[str, Any],
    way: _Way,
    tools: tuple[str, ...],
) -> int:
    from planfold.cli.access import person

    async with _opened(way.db, tools, with_tools=bool(changes)) as app:
        found, values = await _values(app, key, changes)

        async def forking(
            *, dry_run: bool, approved_by: str | None = None, at: int | None = None
        ) -> Fork:
            fork: Fork = await app.fork(
                found,
                changes=values,
                repeat=way.repeat,
                by=person(),
                approved_by=approved_by,
                dry_run=dry_run,
                **(rest if at is None else {**rest, "at": at}),
            )
            return fork

        return await _carry_out(app, forking, way)


def _opened(db: str | None, tools: tuple[str, ...], *, with_tools: bool) -> Any:
    """The database; with the tools that changed tasks are checked against."""
    from planfold.app import open_app
    from planfold.cli.access import (
        let_tools_be_found,
        plans_at,
        require_database,
        server_given,
        settings_for,
    )

    if not with_tools or server_given(db) is not None:
        return plans_at(db)
    settings = settings_for(db)
    require_database(settings)
    let_tools_be_found(settings, tools)
    return open_app(settings, tools=tools, create=False)


def _moment(at: str | None) -> int | str | None:
    if at is not None and at.isdecimal() and len(at) <= 18:
        return int(at)
    return None if at is None else at.removeprefix(TASK)


async def _values(
    app: PlanForking, key: str, changes: tuple[tuple[str, str], ...]
) -> tuple[str, dict[str, Any]]:
    """The plan's id, and the changed fields with their values."""
    from planfold.cli.access import find_plan

    found = await find_plan(app, key)
    state = (await app.planner(found)).state
    return found, {name: _value(state, name, text) for name, text in changes}


def _value(state: PlannerState, name: str, text: str) -> Any:
    """JSON where the present value is not a text; what is not JSON is a text."""
    import msgspec

    key, _, field = name.partition(".")
    present: Any = ""
    for task in state.tasks.values():
        if key in (task.spec.label, str(task.id)):
            if task.tool is not None and field in task.tool.arguments:
                present = task.tool.arguments[field]
            elif field != "description":
                present = None
    if isinstance(present, str):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text


async def _carry_out(app: PlanForking, forking: Forking, way: _Way) -> int:
    """Show what a fork would do, ask, and begin it."""
    import msgspec

    from planfold.cli.access import person
    from planfold.cli.commands.decisions import tell
    from planfold.cli.fork_text import fork_lines, refused
    from planfold.cli.terminal import Paper, print_json
    from planfold.planner.tasks import PlanStatus

    tried, as_json = await forking(dry_run=True), way.as_json
    if way.dry_run and as_json:
        print_json(msgspec.to_builtins(tried))
        return COMPLETED
    paper = Paper()
    if not as_json:
        paper.lines(fork_lines(tried, way.repeat), width=paper.width)
        paper.flush()
    if way.dry_run:
        return COMPLETED
    asks = sys.stdin.isatty() and not (way.yes or as_json or refused(tried, way.repeat))
    if asks and not click.confirm("Begin this fork?", default=False):
        return COMPLETED
    # Exactly what was shown: a version never changes, so its tasks are those with the hash.
    approves = (way.yes or asks) and not tried.origin_waits
    fork = await forking(
        dry_run=False, approved_by=person() if approves else None, at=tried.version
    )
    await tell(app, fork.plan_id, "Forked", as_json=as_json, db=way.db)
    waits = await app.status(fork.plan_id) is PlanStatus.AwaitingApproval
    return WAITS if waits else COMPLETED
