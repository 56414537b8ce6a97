"""``worker``: a process that runs tasks of all plans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED, INTERRUPTED
from planfold.cli.json_log import log_json_option, logs_json
from planfold.cli.notification_targets import notifying
from planfold.cli.options import WholeNumber, command, json_option, tools_option
from planfold.cli.remedies import explained
from planfold.errors import PlanfoldError

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.cli.own_worker import Stop
    from planfold.cli.terminal import Line, Paper
    from planfold.runtime.settings import Settings
    from planfold.runtime.worker import Worker

MOST_PLANS = 100  # that are searched for a route
LONGEST_PAUSE_S = 10.0  # between two tries to reach the database


@command("worker")
@click.option("--route", "routes", multiple=True, metavar="ROUTE", help="Serve only these routes.")
@click.option(
    "--concurrency",
    type=WholeNumber(1),
    metavar="N",
    help="At most N tasks at once (64, or what planfold.toml says).",
)
@tools_option
@click.option(
    "--metrics-port",
    type=WholeNumber(0, 65_535),
    metavar="PORT",
    help="Serve metrics for Prometheus at this port; 0: a free one.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="The address of the metrics. Default: 127.0.0.1.",
)
@click.option(
    "--otlp",
    metavar="URL",
    help="Send plans that end as traces to an OTLP/HTTP receiver, such as http://localhost:4318.",
)
@log_json_option
@json_option("what it reports, one event per line,")
def worker_command(
    routes: tuple[str, ...],
    concurrency: int | None,
    tools: tuple[str, ...],
    metrics_port: int | None,
    metrics_host: str,
    otlp: str | None,
    as_json: bool,
    db: str | None,
) -> int:
    """Run tasks of all approved plans until stopped.

    After SIGTERM or Ctrl-C it takes no more tasks. Running tasks get 10 s (drain_s in
    planfold.toml) to end; those that do not end are released. A second signal interrupts them
    immediately. Any number of workers may serve a database.

    \b
    planfold worker
    planfold worker --route shell --concurrency 4
    """
    from planfold.cli.access import run_working

    metrics = None if metrics_port is None else (metrics_host, metrics_port)
    work = _work(routes, concurrency, tools, metrics, otlp, as_json=as_json, db=db)
    return run_working(work)


async def _work(
    routes: tuple[str, ...],
    concurrency: int | None,
    tools: tuple[str, ...],
    metrics: tuple[str, int] | None,
    otlp: str | None,
    *,
    as_json: bool,
    db: str | None,
) -> int:
    import signal

    from planfold.cli.access import let_tools_be_found, settings_for
    from planfold.cli.own_worker import Stop

    settings = settings_for(db, concurrency=concurrency)
    let_tools_be_found(settings, tools)
    with Stop().listening() as stop:
        async with AsyncExitStack() as stack:
            app = await _opened(stack, settings, tools, stop)
            if app is not None:
                await _serve(app, routes, metrics, otlp, stop, as_json=as_json)
    return INTERRUPTED if stop.signal is signal.SIGINT else COMPLETED


async def _serve(
    app: App,
    routes: Sequence[str],
    metrics: tuple[str, int] | None,
    otlp: str | None,
    stop: Stop,
    *,
    as_json: bool,
) -> None:
    from planfold.cli.access import database_shown
    from planfold.cli.own_worker import at_work
    from planfold.cli.terminal import Paper, clean

    for route in [route for route in routes if not await _is_known(app, route)]:
        _warn(f"no executor and no waiting task has the route {route!r}; see `planfold tools`")
    paper = Paper()
    say = (lambda _: None) if as_json else paper.lines
    drain_s = app.settings.drain_s
    teller = _Teller(app, paper, as_json, stop)
    worker = app.worker(routes=routes or None, observer=teller)
    async with (
        _metrics(app, worker, metrics) as address,
        app.log.export_traces(otlp) if otlp else nullcontext(),
        notifying(app),
        teller.telling(),
        at_work(worker, stop, drain_s=drain_s),
    ):
        where = clean(database_shown(app.settings))
        if address:
            say([[(f"metrics at {address}", "")]])
        say([[(worker.owner, "bold"), (f" serves {where}; Ctrl-C stops it", "")]])
        await stop.asked.wait()
        if worker.running:
            say([[(_stopping(worker.running, drain_s), "")]])
    say([[("stopped", "")]])


async def _is_known(app: App, route: str) -> bool:
    """Whether an executor has this route, or a task that waits in one of the newest plans."""
    from planfold.cli.access import ENDED
    from planfold.planner.tasks import NodeKind, PlanStatus, TaskSpec, ToolCall

    if route in (NodeKind.Processing.value, NodeKind.Clarification.value):
        return True
    kind = NodeKind.ToolCall
    named = TaskSpec(id=1, description=route, kind=kind, tool=ToolCall(route, {}), route=route)
    if app.executors.for_task(named) is not None:
        return True
    open_plans = [status for status in PlanStatus if status.value not in ENDED]
    for plan in await app.plans(limit=MOST_PLANS, statuses=open_plans):
        rows = await app.store.queue.queued(plan.aggregate_id)
        if any(row.route == route for row in rows):
            return True
    return False


def _stopping(running: int, drain_s: float) -> str:
    from planfold.cli.terminal import counted

    what = counted(running, "running task")
    return f"stopping: {what}, up to {drain_s:g} s; Ctrl-C again interrupts them"


@asynccontextmanager
async def _metrics(
    app: App, worker: Worker, place: tuple[str, int] | None
) -> AsyncIterator[str | None]:
    if place is None:
        yield None
        return
    from planfold.errors import extra_missing

    try:
        from planfold.runtime.metrics import serving_metrics
    except ModuleNotFoundError as fault:
        raise extra_missing("--metrics-port", "metrics", fault) from None
    async with serving_metrics(app.store, worker, *place) as address:
        yield address


async def _opened(
    stack: AsyncExitStack, settings: Settings, tools: Sequence[str], stop: Stop
) -> App | None:
    """The app, as soon as its database can be reached; None when stopped before."""
    import asyncio
    import random

    from planfold.app import open_app
    from planfold.errors import Transient

    pause = 0.5
    while not stop.asked.is_set():
        try:
            return await stack.enter_async_context(open_app(settings, tools=tools))
        except Transient as fault:
            _warn(f"{fault}; trying again")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):
                    await stop.asked.wait()
            pause = min(pause * 2, LONGEST_PAUSE_S)
    return None


def _warn(text: str) -> None:
    import logging

    from planfold.cli.terminal import clean

    if logs_json():
        logging.getLogger("planfold").warning("%s", text)
        return
    click.echo(f"planfold: {clean(text)}", err=True)


class _Teller:
    """Prints one line for each report of a worker, and its troubles to stderr."""

    def __init__(self, app: App, paper: Paper, as_json: bool, stop: Stop) -> None:
        import asyncio

        from planfold.runtime.logging_observer import LoggingObserver

        self._stop = stop
        self._left: BrokenPipeError | None = None
        self._app = app
        self._paper = paper
        self._json = as_json
        self._reports: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._told = ""
        self._log = LoggingObserver()

    def reported(self, aggregate_id: str, events: Sequence[Any]) -> None:
        for event in events:
            self._reports.put_nowait((aggregate_id, event))

    def trouble(self, fault: PlanfoldError) -> None:
        if logs_json():
            self._log.trouble(fault)
        elif explained(fault) != self._told:  # once, not every second
            self._told = explained(fault)
            _warn(self._told)

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        import asyncio

        task = asyncio.create_task(self._tell())
        try:
            yield
            await self._reports.join()
            if self._left is not None:
                raise self._left
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _tell(self) -> None:
        while True:
            aggregate_id, event = await self._reports.get()
            self._told = ""
            try:
                line = _json_line(aggregate_id, event)
                if not self._json:
                    line = await _line(self._app, aggregate_id, event)
                if line:
                    self._paper.lines([line])
            except PlanfoldError as fault:
                self.trouble(fault)
            except BrokenPipeError as fault:  # its reader has left, so it stops as after a signal
                self._left = fault
                self._stop.asked.set()
            finally:
                self._reports.task_done()


def _json_line(aggregate_id: str, event: Any) -> Line:
    import msgspec

    from planfold.cli.terminal import in_json

    data = msgspec.to_builtins(event)
    found = {"aggregate_id": aggregate_id, "event_type": type(event).__name__, "data": data}
    return [(in_json(found), "")]


async def _line(app: App, plan_id: str, event: Any) -> Line:
    from planfold.cli.event_text import words_for
    from planfold.cli.progress import QUIET_VERBS
    from planfold.cli.terminal import clean, clock
    from planfold.planner.items import id_text
    from planfold.readmodels.labels import name_of

    words = words_for(event)
    if words.verb in QUIET_VERBS or words.task_id is None:
        return []
    task = (await app.planner(plan_id)).state.tasks.get(words.task_id)
    name = name_of(task.spec) if task is not None else id_text(words.task_id)
    return [
        (f"{clock(app.store.clock())} {clean(plan_id)} ", "dim"),
        (words.verb, words.style),
        (f" {name}" + (f": {words.detail}" if words.detail else ""), ""),
    ]
