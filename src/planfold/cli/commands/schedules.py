"""``schedule``: plans that begin at times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from planfold.cli.commands.schedule_plans import add_command, edit_command
from planfold.cli.exits import COMPLETED
from planfold.cli.json_log import log_json_option
from planfold.cli.options import DB_HELP, command, json_option, reason_option, tools_option
from planfold.cli.schedule_access import near_schedule, print_schedule, with_schedules
from planfold.cli.streams import say

if TYPE_CHECKING:
    from planfold.runtime.schedule_view import ScheduleView


@click.group("schedule")
@click.option("--db", metavar="ADDRESS", help=DB_HELP)
@click.pass_context
def schedule_command(context: click.Context, db: str | None) -> None:
    """Add, list and change schedules, which begin a plan at times. Workers run the plans.

    \b
    planfold schedule add nightly "0 2 * * *" backup.md --tz Europe/Zurich
    planfold schedule list
    planfold schedule pause nightly --reason "the disk is full"
    """
    if db is not None:
        context.find_root().params["db"] = db


@command("list", "List all schedules.")
@json_option("the schedules")
def list_command(as_json: bool, db: str | None) -> int:
    """List all schedules with their next occurrences.

    \b
    planfold schedule list
    """
    from planfold.cli.schedule_text import list_lines, schedule_json
    from planfold.cli.terminal import Paper, print_json

    found = with_schedules(db, lambda app: app.schedules())
    if as_json:
        print_json([schedule_json(view) for view in found])
    elif found:
        paper = Paper()
        paper.lines(list_lines(found), width=paper.width)
    else:
        say("No schedules yet.")
    return COMPLETED


@command("show", "Show a schedule, its next occurrences and its last plan.")
@click.argument("name")
@json_option("the schedule")
def show_command(name: str, as_json: bool, db: str | None) -> int:
    """Show the schedule NAME: when it occurs next, and what happened to the last occurrences.

    `planfold list --tag schedule=NAME` lists its plans.

    \b
    planfold schedule show nightly
    """
    print_schedule(
        with_schedules(db, lambda app: app.schedule(name), name=name), db, as_json=as_json
    )
    return COMPLETED


@command("pause", "Begin no plan of a schedule until it is unpaused.")
@click.argument("name")
@reason_option
def pause_command(name: str, reason: str, db: str | None) -> int:
    """Begin no plan of the schedule NAME until it is unpaused. Plans that have begun continue.

    \b
    planfold schedule pause nightly --reason "the disk is full"
    """
    from planfold.cli.access import person

    by = person()
    new = with_schedules(db, lambda app: app.pause_schedule(name, reason=reason, by=by), name=name)
    say(f"Paused: {name}" if new else "It is paused already; nothing changes.")
    return COMPLETED


@command("unpause", "Continue a paused schedule with its next occurrence.")
@click.argument("name")
def unpause_command(name: str, db: str | None) -> int:
    """Continue the schedule NAME with its next occurrence; those in between are left out.

    \b
    planfold schedule unpause nightly
    """
    from planfold.cli.access import person

    by = person()
    new = with_schedules(db, lambda app: app.unpause_schedule(name, by=by), name=name)
    say(f"Unpaused: {name}" if new else "It is not paused; nothing changes.")
    return COMPLETED


@command("remove", "Remove a schedule; the plans that it began continue.")
@click.argument("name")
def remove_command(name: str, db: str | None) -> int:
    """Remove the schedule NAME. The plans that it began continue.

    \b
    planfold schedule remove nightly
    """
    from planfold.cli.access import person
    from planfold.cli.terminal import counted

    by = person()
    waiting = with_schedules(db, lambda app: app.schedule(name), name=name).waiting
    with_schedules(db, lambda app: app.remove_schedule(name, by=by))
    dropped = f", and {counted(waiting, 'occurrence')} that waited" if waiting else ""
    say(f"Removed: {name}{dropped}")
    return COMPLETED


@command("run", "Run the plan of a schedule now.")
@click.argument("name")
@click.option("--detach", is_flag=True, help="Only record it; workers run it.")
@tools_option
@log_json_option
@json_option("the plan when it ends")
def run_command(
    name: str, detach: bool, tools: tuple[str, ...], as_json: bool, db: str | None
) -> int:
    """Run the plan of the schedule NAME now, beside its occurrences, with live progress.

    \b
    planfold schedule run nightly
    """
    from planfold.cli.access import (
        let_tools_be_found,
        require_database,
        run_async,
        server_given,
        settings_for,
    )

    if (server := server_given(db)) is not None:
        if tools:
            raise click.UsageError("the service has its own tools: leave out --tools")
        return run_async(_run_at(server, name, detach=detach, as_json=as_json))
    settings = settings_for(db)
    require_database(settings)
    let_tools_be_found(settings, tools)

    async def run() -> int:
        from planfold.app import open_app
        from planfold.cli.access import person
        from planfold.cli.runner import TerminalRunner

        async with open_app(settings, tools=tools, create=False) as app:
            async with near_schedule(app, name):
                plan_id = await app.run_schedule(name, by=person())
            if await app.store.head(plan_id) is None:
                return _waits(await app.schedule(name), as_json=as_json)
            runner = TerminalRunner(app, db=db, as_json=as_json, tools=tools)
            return await runner.run(plan_id, detach=detach)

    return run_async(run())


async def _run_at(server: str, name: str, *, detach: bool, as_json: bool) -> int:
    from planfold.cli.access import client_of
    from planfold.cli.remote_run import followed
    from planfold.service.remote_plans import RemotePlans
    from planfold.service.remote_schedules import RemoteSchedules

    async with client_of(server) as client:
        async with near_schedule(RemoteSchedules(client), name):
            before = await client.schedule(name)
        after = await client.run_schedule(name)
        if after.previous == before.previous:
            return _waits(after, as_json=as_json)
        return await followed(RemotePlans(client), after.previous, detach=detach, as_json=as_json)


def _waits(view: ScheduleView, *, as_json: bool) -> int:
    from planfold.cli.terminal import clean, print_json

    if as_json:
        print_json({"waits_for": view.previous, "waiting": view.waiting})
    else:
        say(f"It begins when {clean(view.previous)} has ended.")
    return COMPLETED


for _each in (
    *(add_command, edit_command, list_command, show_command),
    *(pause_command, unpause_command, run_command, remove_command),
):
    schedule_command.add_command(_each)
