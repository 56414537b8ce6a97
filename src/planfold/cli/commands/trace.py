"""``trace``: a plan that has ended, for OpenTelemetry or Chrome."""

from __future__ import annotations

from typing import Literal

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command
from planfold.cli.output_file import output_file

TraceForm = Literal["otlp", "chrome"]


@command("trace")
@click.argument("plan_id", metavar="ID")
@click.option("--otlp", metavar="FILE", help="OTLP JSON, for OpenTelemetry; -: to the output.")
@click.option("--chrome", metavar="FILE", help="For chrome://tracing and ui.perfetto.dev.")
@click.option(
    "--content", is_flag=True, help="Also titles, arguments, results, answers and errors."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def trace_command(
    plan_id: str,
    otlp: str | None,
    chrome: str | None,
    content: bool,
    force: bool,
    db: str | None,
) -> int:
    """Write a plan that has ended as a trace, from its log alone.

    The ids of the trace and its spans are the same in each export.

    \b
    planfold trace plan-3f9a --otlp trace.jsonl
    planfold trace plan-3f9a --chrome trace.json
    """
    import json

    from planfold.cli.access import find_plan, plans_at, run_async

    forms: dict[TraceForm, str | None] = {"otlp": otlp, "chrome": chrome}
    files = [(form, to) for form, to in forms.items() if to is not None]
    if len(files) != 1:
        raise click.UsageError("give one of --otlp and --chrome")
    form, to = files[0]

    async def trace() -> None:
        async with plans_at(db) as app:
            found = await app.trace(await find_plan(app, plan_id), form, content=content)
            with output_file(to, force) as file:
                file.write(json.dumps(found, separators=(",", ":")).encode() + b"\n")

    run_async(trace())
    return COMPLETED
