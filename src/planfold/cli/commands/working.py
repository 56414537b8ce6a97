"""``worker``: a process that runs tasks of all plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from planfold.cli.exits import COMPLETED, INTERRUPTED
from planfold.cli.options import command, json_option, tools_option

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.cli.printing import Line, Paper
    from planfold.eventstore.envelope import Envelope
    from planfold.runtime.worker import Worker

DRAIN_S = 30.0


@command("worker")
@click.option("--route", "routes", multiple=True, metavar="ROUTE", help="Serve only these routes.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most N tasks at once (64, or what planfold.toml says).",
)
@tools_option
@json_option("what it reports, one envelope per line,")
def worker_command(
    routes: tuple[str, ...],
    concurrency: int | None,
    tools: tuple[str, ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Run tasks of all approved plans until told to stop.

    SIGTERM or Ctrl-C: no more tasks are taken, those that run get 30 s to end, the rest is given
    back. A second signal cuts them off at once. Any number of workers may serve a database.

    \b
    planfold worker
    planfold worker --route shell --concurrency 4
    """
    from planfold.cli.access import run_async

    return run_async(_work(routes, concurrency, tools, as_json=as_json, db=db))


async def _work(
    routes: tuple[str, ...],
    concurrency: int | None,
    tools: tuple[str, ...],
    *,
    as_json: bool,
    db: str | None,
) -> int:
    import asyncio
    import signal

    from planfold.app import open_app
    from planfold.cli.access import let_tools_be_found, settings_for
    from planfold.cli.printing import Paper, clean, counted
    from planfold.cli.session import Stop, at_work, held_tasks

    settings = settings_for(db, concurrency=concurrency)
    let_tools_be_found(settings, tools)
    paper = Paper()
    say = (lambda _: None) if as_json else paper.lines
    async with open_app(settings, tools=tools) as app:
        worker = app.worker(routes=routes or None)
        with Stop().listening() as stop:
            async with at_work(worker, stop, drain_s=DRAIN_S):
                where = clean(settings.database)
                say([[(worker.owner, "bold"), (f" serves {where}; Ctrl-C stops it", "")]])
                telling = asyncio.create_task(_tell_work(app, worker, paper, as_json))
                await stop.asked.wait()
                running = len(await held_tasks(app, worker))
                if running:
                    what = counted(running, "running task")
                    say([[(f"stopping: {what}, up to {DRAIN_S:g} s; again to cut them off", "")]])
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        say([[("stopped", "")]])
    return INTERRUPTED if stop.signal is signal.SIGINT else COMPLETED


async def _tell_work(app: App, worker: Worker, paper: Paper, as_json: bool) -> None:
    """One line for each report of this worker."""
    from planfold.eventstore.envelope import Query

    async for envelope in app.store.subscribe(
        Query(stream_id="plan"), after=await app.store.last_position()
    ):
        if envelope.metadata.extra.get("worker") == worker.owner:
            line = _json_line(envelope) if as_json else await _line(app, envelope)
            if line:
                paper.lines([line])


def _json_line(envelope: Envelope) -> Line:
    from planfold.cli.envelopes import envelope_json
    from planfold.cli.printing import in_json

    return [(in_json(envelope_json(envelope)), "")]


async def _line(app: App, envelope: Envelope) -> Line:
    from planfold.cli.outline import name_of
    from planfold.cli.printing import clean, clock
    from planfold.cli.progress import QUIET_VERBS
    from planfold.cli.wording import words_for

    words = words_for(envelope.event)
    if words.verb in QUIET_VERBS or words.task_id is None:
        return []
    task = (await app.planner(envelope.aggregate_id)).state.tasks.get(words.task_id)
    name = name_of(task.spec) if task is not None else str(words.task_id)
    return [
        (f"{clock(envelope.recorded_at)} {clean(envelope.aggregate_id)} ", "dim"),
        (words.verb, words.style),
        (f" {name}" + (f": {words.detail}" if words.detail else ""), ""),
    ]
