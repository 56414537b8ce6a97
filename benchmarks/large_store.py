"""Small questions to a store of 100,000 plans, and to plans of 50,000 events: a page of ``list``,
an abbreviated id, ``show``, a page of ``log``, ``why``. Times are those after opening the store."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from io import StringIO
from statistics import median

import apsw
import asyncpg

import planfold
from benchmarks.report import Figure, reduced
from planfold import PlanDraft, TaskDraft
from planfold.app import App
from planfold.cli.access import find_plan, latest_plan
from planfold.cli.commands.views import _print, _print_plans
from planfold.cli.log_printer import LogPrinter
from planfold.cli.reason_text import explanation_lines
from planfold.cli.report import whole_report
from planfold.cli.situation import situation_of
from planfold.cli.terminal import Paper
from planfold.eventstore.port import Append
from planfold.handler import Metadata
from planfold.planner.events import TaskDispatched, TaskStatusUpdated
from planfold.planner.planner import Planner
from planfold.planner.tasks import PlanStatus, TaskStatus

PLANS, EVENTS, LIMIT_S = 100_000, 50_000, 0.020
ASKED = "plan-asks"
FILL = (
    """INSERT INTO {0}streams (aggregate_id, stream_id, version, head, created_at, updated_at)
    SELECT {1}, stream_id, 1, replace(head, 'awaiting_approval', {2}), created_at - n / 10.0,
           updated_at FROM {0}streams, {3} WHERE aggregate_id = 'plan-asks'""",
    """INSERT INTO {0}events (stream_id, aggregate_id, version, event_type, event_version, data,
                              metadata, recorded_at)
    SELECT stream_id, {1}, 1, event_type, event_version, data, metadata, recorded_at
    FROM {0}events, {3} WHERE aggregate_id = 'plan-asks' AND version = 1""",
)
SERIES = """(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?)
    SELECT n FROM s)"""
STATUS = "CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'completed' END"


async def fill(address: str, plans: int) -> None:
    """One plan that waits, and copies of it that are said to have ended."""
    draft = PlanDraft(title="One of many", tasks=[TaskDraft(description="which?")])
    async with planfold.open_app(address) as app:
        await app.submit(draft, plan_id=ASKED)
    if address.startswith("sqlite"):
        connection = apsw.Connection(address.removeprefix("sqlite:///"))
        for statement in FILL:
            filled = statement.format("", "printf('plan-%08x', n)", STATUS, SERIES)
            connection.execute(filled, (plans,))
        connection.close()
        return
    server = await asyncpg.connect(address)
    name = "'plan-' || lpad(to_hex(n), 8, '0')"
    for statement in FILL:
        series = "generate_series(1, $1) AS n"
        await server.execute(statement.format("planfold.", name, STATUS, series), plans)
    await server.execute("ANALYZE planfold.streams, planfold.events")
    await server.close()


async def long_plan(
    address: str, plan_id: str, tasks: int, events: int, ended: float = 1.0
) -> None:
    """A plan of so many tasks, which all complete after ``events`` events in all; the last one is
    a question, so that the end is recorded as usual. With ``ended`` below 1 only that share of the
    tasks completed, of which the last tenth came after the snapshot."""
    drafts = [
        TaskDraft(description=f"task {i}", tool="shell", arguments={"argv": ["true"]})
        for i in range(1, tasks)
    ]
    drafts.append(TaskDraft(description="which?", kind="clarification"))
    async with planfold.open_app(address) as app:
        config = app.planner_config(max_parallel=None if ended == 1.0 else 64)
        await app.submit(PlanDraft(title=plan_id, tasks=drafts), plan_id=plan_id, config=config)
        await app.approve(plan_id, by="benchmark")
        fold = (await app.fold(plan_id)).state
        version, planner = fold.version, Planner(fold)
        last = int(ended * (tasks - 1))
        notes, saved = max(events // last - 2, 0), ended == 1.0
        batch: list[tuple[object, Metadata]] = []
        for number in range(1, last + 1):
            batch += [(event, Metadata(plan_id)) for event in _of_task(fold, number, notes)]
            if number == last < tasks - 1:
                running = (TaskDispatched(last + n, 1) for n in range(1, 65))
                batch += [(event, Metadata(plan_id)) for event in running]
            if len(batch) > 1_000 or number == last:
                planner.take_in([event for event, _ in batch], [app.store.clock()] * len(batch))
                found = planner.outlook([event for event, _ in batch])
                queue = [(change, version + 1 + place) for place, change in found.queue]
                await app.store.append(
                    Append("plan", plan_id, version, batch, queue, head=found.head)
                )
                version += len(batch)
                batch = []
            if not saved and number > 0.9 * last:
                saved, data = True, planner.snapshot()
                await app.store.checkpoints.save_snapshot(plan_id, version, data)
    if ended < 1.0:
        return
    async with planfold.open_app(address) as app:
        await app.answer(plan_id, tasks, "this")
        assert await app.status(plan_id) is PlanStatus.Completed


def _of_task(state: object, number: int, notes: int) -> list[object]:
    task = state.tasks[number]  # type: ignore[attr-defined]
    begun = [] if task.attempt else [TaskDispatched(number, 1)]
    running = TaskStatus.Running
    progress = [TaskStatusUpdated(number, running, note=f"{n} of {notes}") for n in range(notes)]
    return [*begun, *progress, TaskStatusUpdated(number, TaskStatus.Completed, result=number)]


async def seconds(address: str, ask: Callable[[App], Awaitable[object]], rounds: int) -> float:
    """Median, in an App of its own each time, with nothing cached but what the disk has."""
    took = []
    for _ in range(rounds + 1):
        async with planfold.open_app(address, load=False) as app:
            await app.store.last_position()
            with redirect_stdout(StringIO()):
                begun = time.perf_counter()
                await ask(app)
                took.append(time.perf_counter() - begun)
    return median(took[1:])


async def _show(app: App, plan_id: str) -> None:
    paper = Paper()
    paper.lines(whole_report(await situation_of(app, plan_id), None, paper.width))


async def _why(app: App, plan_id: str) -> None:
    paper = Paper()
    paper.lines(explanation_lines(await app.why(plan_id), None, paper.width))


async def _list(app: App, **choice: object) -> None:
    _print_plans(await app.plans(limit=50, **choice), filtered=True)  # type: ignore[arg-type]


async def large_store_figures(address: str, rounds: int, scale: int = 1) -> list[Figure]:
    plans, events = reduced(PLANS, scale), reduced(EVENTS, scale, 600)
    await fill(address, plans)
    await long_plan(address, "long-few", 200, events)
    await long_plan(address, "long-many", events // 3, events)
    middle, last = f"plan-{plans // 2:08x}", events - 200
    questions: list[tuple[str, Callable[[App], Awaitable[object]]]] = [
        ("list, first page", _list),
        ("list, a page in the middle", lambda app: _list(app, after=middle)),
        ("list --status failed", lambda app: _list(app, statuses=[PlanStatus.Failed])),
        ("the latest unfinished plan", lambda app: latest_plan(app, None)),
        ("id prefix", lambda app: find_plan(app, middle[5:])),
        ("show", lambda app: _show(app, ASKED)),
        ("why", lambda app: _why(app, ASKED)),
    ]
    figures = [
        _figure(f"{name}; {plans:,} plans", await seconds(address, ask, rounds))
        for name, ask in questions
    ]
    await long_plan(address, "long-runs", events // 3, events, ended=0.5)
    for plan_id, tasks in (
        ("long-few", 200), ("long-many", events // 3), ("long-runs", events // 3)
    ):  # fmt: skip
        about = f"{events:,} events, {tasks:,} tasks" + ", runs" * (plan_id == "long-runs")
        for name, ask, per_task in (
            ("show", lambda app, plan_id=plan_id: _show(app, plan_id), 1.5e-6),
            ("log page", lambda app, plan_id=plan_id: _log(app, plan_id, last), 20e-6),
            ("why", lambda app, plan_id=plan_id: _why(app, plan_id), 1.5e-6),
        ):
            limit = max(LIMIT_S, tasks * per_task)
            took = await seconds(address, ask, rounds)
            figures.append(_figure(f"{name}; {about}", took, limit))
    return figures


async def _log(app: App, plan_id: str, first: int) -> None:
    last = first + 100
    await _print(app, plan_id, LogPrinter(False, False, first, last), first, last)


def _figure(name: str, took: float, limit: float = LIMIT_S) -> Figure:
    return Figure(name, f"{took * 1e3:.1f} ms", f"{limit * 1e3:.0f} ms", took / limit, 1.0, "<=")
