"""``limits``: the shared limits, and what is used of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.eventstore.queue import LimitState


@command("limits")
@click.option("--open", "reopened", metavar="NAME", help="Open a limit that a server closed.")
@json_option("the limits")
def limits_command(reopened: str | None, as_json: bool, db: str | None) -> int:
    """Show the limits over all workers, as the worker that started last declared them, and what is
    used of them.

    \b
    planfold limits
    planfold limits --open openai
    """
    from planfold.cli.access import existing_app, run_async
    from planfold.cli.streams import say
    from planfold.cli.terminal import Paper, print_json
    from planfold.errors import NotFound

    async def look() -> list[LimitState]:
        async with existing_app(db) as app:
            queue = app.store.queue
            if reopened is not None:
                if reopened not in {state.name for state in await queue.limits()}:
                    raise NotFound(f"there is no limit {reopened!r}; a worker declares it")
                await queue.reopen([reopened])
            return await queue.limits()

    found = run_async(look())
    if as_json:
        print_json([_as_json(state) for state in found])
    elif found:
        paper = Paper()
        paper.lines([_line(state) for state in found], width=paper.width)
    else:
        say("No limits yet: declare them in planfold.toml, and start a worker.")
    return COMPLETED


def _as_json(state: LimitState) -> dict[str, object]:
    return {
        "name": state.name,
        "starts": state.starts,
        "period": state.period if state.starts is not None else None,
        "started": state.started if state.starts is not None else None,
        "concurrency": state.concurrency,
        "held": state.held,
        "opens": state.opens,
        "closed_until": state.closed_until or None,
    }


def _line(state: LimitState) -> Line:
    from planfold.cli.terminal import clean, date_and_time
    from planfold.readmodels.labels import duration

    used = []
    if state.starts is not None:
        used.append(f"{state.started:,} of {state.starts:,} starts in {duration(state.period)}")
    if state.concurrency is not None:
        used.append(f"{state.held:,} of {state.concurrency:,} at once")
    line: Line = [(clean(state.name), "bold"), (f"  {', '.join(used)}", "")]
    if state.closed_until:
        asked = f"  closed by a server until {date_and_time(state.closed_until)}"
        line.append((asked, "bad"))
    elif state.opens is not None:
        line.append((f"  next start {date_and_time(state.opens)}", "ask"))
    return line
