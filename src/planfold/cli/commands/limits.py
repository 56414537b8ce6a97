"""``limits``: the shared limits, and what is used of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.runtime.limits import LimitUse


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
    from planfold.cli.access import client_of, existing_app, run_async, server_given
    from planfold.cli.streams import say
    from planfold.cli.terminal import Paper, print_json

    async def look() -> list[LimitUse]:
        if (server := server_given(db)) is not None:
            async with client_of(server) as client:
                if reopened is not None:
                    return (await client.open_limit(reopened)).limits
                return (await client.limits()).limits
        async with existing_app(db) as app:
            if reopened is not None:
                await app.open_limit(reopened)
            return await app.limits()

    found = run_async(look())
    if as_json:
        print_json(msgspec.to_builtins(found))
    elif found:
        paper = Paper()
        paper.lines([_line(limit) for limit in found], width=paper.width)
    else:
        say("No worker has declared a limit yet: name limits in planfold.toml, and start a worker.")
    return COMPLETED


def _line(limit: LimitUse) -> Line:
    from planfold.cli.terminal import clean, date_and_time
    from planfold.readmodels.labels import duration

    used = []
    if limit.starts is not None:
        period = duration(limit.period or 0.0)
        used.append(f"{limit.started or 0:,} of {limit.starts:,} starts in {period}")
    if limit.concurrency is not None:
        used.append(f"{limit.held:,} of {limit.concurrency:,} at once")
    line: Line = [(clean(limit.name), "bold"), (f"  {', '.join(used)}", "")]
    if limit.closed_until:
        asked = f"  closed by a server until {date_and_time(limit.closed_until)}"
        line.append((asked, "bad"))
    elif limit.opens is not None:
        line.append((f"  next start {date_and_time(limit.opens)}", "ask"))
    return line
