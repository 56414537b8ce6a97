"""``golden``: a recorded plan as an offline test."""

from __future__ import annotations

import click

from planfold.cli.exits import COMPLETED, FAILED
from planfold.cli.options import command
from planfold.cli.output_file import STANDARD, output_file


@command("golden")
@click.argument("plan_id", metavar="ID")
@click.option("--to", metavar="FILE", default=STANDARD, help="The file; else to the output.")
@click.option("--redact", is_flag=True, help="Replace texts, results and other contents.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def golden_command(plan_id: str, to: str, redact: bool, force: bool, db: str | None) -> int:
    """Write a plan as an offline test: its events, with the answers and results in them.

    check_golden of planfold.testing decides each of its commands again. Without --redact the file
    has all of the plan's contents: read it before you publish it.

    \b
    planfold golden plan-3f9a --redact --to tests/release.jsonl
    """
    from planfold.cli.access import command_line, existing_app, find_plan, run_async
    from planfold.cli.streams import say
    from planfold.cli.terminal import clean, counted, in_json
    from planfold.readmodels.envelopes import envelope_json

    async def write() -> int:
        async with existing_app(db) as app:
            found = await find_plan(app, plan_id)
            replay = await app.replay(found)
            if (difference := replay.difference) is not None:
                look = command_line(db, "replay", found)
                click.echo(
                    f"planfold: this version decides event {difference.version} of {clean(found)} "
                    f"otherwise, so the test would fail; nothing was written. See: {look}",
                    err=True,
                )
                return FAILED
            log = [envelope async for envelope in app.history(found)]
        if redact:
            from planfold.readmodels.redacted_log import redacted

            log = redacted(log)
        with output_file(to, force) as file:
            for envelope in log:
                file.write(in_json(envelope_json(envelope)).encode() + b"\n")
        if to != STANDARD:
            say(
                f"Wrote {counted(replay.events, 'event')} of {clean(found)}; "
                f"{replay.checked} of {counted(replay.decisions, 'decision')} can be made again."
            )
        return COMPLETED

    return run_async(write())
