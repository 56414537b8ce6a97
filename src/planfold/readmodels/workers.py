"""``QueueLook``: who holds the dispatched tasks of a plan, and which workers could take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from planfold.eventstore.queue import Lease, LimitState, TaskQueue, WorkerRecord
from planfold.handler import is_within
from planfold.planner.tasks import NodeKind, Task, TaskSpec
from planfold.readmodels.reason import Reason, ReasonKind, WorkerFit


class QueueLook(NamedTuple):
    """The rows of a plan in the task queue by task id; the owners that have certainly ended; the
    live workers, and how many tasks each holds. Without rows, no workers. ``limits`` are the shared
    limits by name, if a row is under one."""

    rows: Mapping[int, Lease]
    dead: frozenset[str]
    workers: Sequence[WorkerRecord]
    held: Mapping[str, int]
    limits: Mapping[str, LimitState] = {}

    def is_free(self, row: Lease) -> bool:
        """Whether the next claim may take the task."""
        return row.owner is None or row.owner in self.dead

    @property
    def free(self) -> list[Lease]:
        """The rows that the next claim may take."""
        return [row for row in self.rows.values() if self.is_free(row)]

    @property
    def attended(self) -> bool:
        """Whether a worker that may live holds a task."""
        return any(not self.is_free(row) for row in self.rows.values())

    def may_be_served(self, row: Lease, *, without: str = "") -> bool:
        """Whether a worker that lives would claim the task; ``without``: not counting this one."""
        return any(
            worker.serves(row.route, row.tool, row.aggregate_id)
            for worker in self.workers
            if worker.owner != without
        )


class Unclaimed(msgspec.Struct, frozen=True):
    """The dispatched ``tasks`` of a plan that no worker holds, each with what it waits for: a
    worker or a shared limit. ``attended``: a worker that may live holds a task of the plan, would
    claim one, or continues the plan when it is due. ``claimed_at``: when a worker claimed each of
    the other dispatched tasks (seconds since the epoch)."""

    tasks: dict[int, str]
    attended: bool
    claimed_at: dict[int, float] = {}


async def look_at_queue(queue: TaskQueue, plan_id: str, *, always: bool = False) -> QueueLook:
    """Who holds the tasks of a plan now. The workers are looked up where a task is queued, or
    ``always``."""
    rows = {row.task_id: row for row in await queue.queued(plan_id)}
    if not (rows or always):
        return QueueLook(rows, frozenset(), (), {})
    seen = await queue.workers()
    owners = {row.owner for row in rows.values() if row.owner}
    dead = await queue.dead(owners | {worker.owner for worker in seen})
    workers = [worker for worker in seen if worker.owner not in dead]
    limited = any(row.limits for row in rows.values())
    limits = {state.name: state for state in await queue.limits()} if limited else {}
    look = QueueLook(rows, dead, workers, {}, limits)
    serving = {w.owner for w in workers if any(w.serves(r.route, r.tool) for r in look.free)}
    held = {owner: len(await queue.owned(owner)) for owner in serving}
    return look._replace(held=held)


def unclaimed(look: QueueLook, plan_id: str, tasks: Mapping[int, Task]) -> Unclaimed:
    """The unclaimed tasks of a plan with these tasks."""
    waiting = {}
    for row in look.free:
        if (task := tasks.get(row.task_id)) is not None:
            texts = (reason.text for reason in queue_reasons(look, task))
            waiting[row.task_id] = "; ".join(text.removeprefix("waits for ") for text in texts)
    claimed = {i: row.claimed_at for i, row in look.rows.items() if not look.is_free(row)}
    attended = look.attended or any(look.may_be_served(row) for row in look.free)
    if not look.rows:
        attended = any(w.plan_id is None or is_within(plan_id, w.plan_id) for w in look.workers)
    return Unclaimed(waiting, attended, claimed)


def queue_reasons(look: QueueLook, task: Task) -> list[Reason]:
    """Why a dispatched task does not run, or who runs it."""
    task_id = task.id
    row = look.rows.get(task_id)
    if row is None:
        text, remedy = "has ended, and its report is being recorded", "wait"
        return [Reason(kind=ReasonKind.Running, tasks=(task_id,), text=text, remedy=remedy)]
    if not look.is_free(row):
        return [_held(look, row)]
    found = []
    if row.owner is not None:
        text = f"waits for another worker: {row.owner} has ended"
        remedy = "start a worker, unless one takes it over"
        alone = task.spec.tool.name if task.spec.tool is not None and not look.workers else None
        found.append(
            Reason(
                kind=ReasonKind.DeadWorker,
                tasks=(task_id,),
                text=text,
                remedy=remedy,
                since=row.claimed_at or None,
                worker=row.owner,
                tool=alone,
            )
        )
        if not look.workers:
            return found  # its remedy says it all
    if look.may_be_served(row) and (closed := list(_closed_limits(look, row))):
        return [*found, *[_limited(row, words, state) for words, state in closed]]
    return [*found, _unclaimed(look, row, task.spec)]


def no_worker_then(task: Task) -> Reason:
    """Time alone would continue the task, but no worker lives that would notice it."""
    return Reason(
        kind=ReasonKind.NoWorker,
        tasks=(task.id,),
        text="waits for a worker: none runs now, and one continues the plan when the time comes",
        remedy="start a worker",
        tool=task.spec.tool.name if task.spec.tool is not None else None,
    )


def missing_worker(look: QueueLook, row: Lease, spec: TaskSpec) -> str:
    """Which worker a free task waits for: "a worker with the tool 'train': 1 worker here, none has
    it"."""
    if look.may_be_served(row):
        return next((words for words, _ in _closed_limits(look, row)), "a worker")
    count = len(look.workers)
    if not count:
        return needed_worker(spec)
    here, lacks = f"{count} worker{'s' * (count != 1)} here", "none serves its route"
    if _is_on_route(look, row):
        lacks = "none has it" if spec.tool is not None else "none can run it"
    return f"{needed_worker(spec)}: {here}, {lacks}"


def _closed_limits(look: QueueLook, row: Lease) -> Iterator[tuple[str, LimitState | None]]:
    """The limits that hold a task back, in words: "the limit 'api': 60 of 60 starts in the last
    60 s"."""
    for name in row.limits:
        state = look.limits.get(name)
        said = f"the limit {name!r}"
        if state is None:
            yield f"{said}, which no worker has declared", state
        elif state.closed_until:
            yield f"{said}: a server has asked to wait", state
        elif state.concurrency is not None and state.held >= state.concurrency:
            are = "task runs" if state.concurrency == 1 else "tasks run"
            yield f"{said}: {state.held} of {state.concurrency} {are}", state
        elif not state.places:
            starts = f"{state.started} of {state.starts} starts in the last {state.period:g} s"
            yield f"{said}: {starts}", state


def _limited(row: Lease, words: str, state: LimitState | None) -> Reason:
    remedy = "wait until then" if state and state.opens else "wait until a task under it ends"
    if state is None:
        remedy = "declare it in planfold.toml, and start a worker that reads it"
    return Reason(
        kind=ReasonKind.SharedLimit,
        tasks=(row.task_id,),
        text=f"waits for {words}",
        remedy=remedy,
        until=state.opens if state else None,
    )


def needed_worker(spec: TaskSpec) -> str:
    """Which worker a task needs: "a worker with the tool 'deploy'"."""
    if spec.kind is NodeKind.ToolCall and spec.tool is not None and spec.route is None:
        return f"a worker with the tool {spec.tool.name!r}"
    return f"a worker that serves the route {spec.queue_route!r}"


def _held(look: QueueLook, row: Lease) -> Reason:
    owner = row.owner or ""
    if any(worker.owner == owner for worker in look.workers):
        kind, text, remedy = ReasonKind.Running, f"runs on {owner}", "wait, or cancel the task"
    else:
        kind = ReasonKind.DeadWorker
        text = f"waits for the lease of {owner} to end: it was not seen for a while"
        remedy = "wait until then: the next worker takes it over"
    return Reason(
        kind=kind,
        tasks=(row.task_id,),
        text=text,
        remedy=remedy,
        since=row.claimed_at or None,
        until=row.expires if kind is ReasonKind.DeadWorker else None,
        worker=owner,
    )


def _unclaimed(look: QueueLook, row: Lease, spec: TaskSpec) -> Reason:
    fits = tuple(WorkerFit(w.owner, _constraint(w, row, look.held)) for w in look.workers)
    kind, remedy = ReasonKind.NoWorker, f"start {needed_worker(spec)}"
    if look.may_be_served(row):
        kind, remedy = ReasonKind.BusyWorker, "wait, or start another worker"
    text = f"waits for {missing_worker(look, row, spec)}"
    if row.suspect:
        text += f"; {row.crashes} workers ended while they ran it, so one has to run it alone"
    route = spec.route if kind is ReasonKind.NoWorker and not _is_on_route(look, row) else None
    tool = spec.tool.name if spec.tool is not None and kind is ReasonKind.NoWorker else None
    return Reason(
        kind=kind,
        tasks=(row.task_id,),
        text=text,
        remedy=remedy,
        workers=fits,
        route=route,
        tool=tool,
    )


def _is_on_route(look: QueueLook, row: Lease) -> bool:
    return any(worker.serves(row.route, plan_id=row.aggregate_id) for worker in look.workers)


def _constraint(worker: WorkerRecord, row: Lease, held: Mapping[str, int]) -> str:
    if worker.plan_id is not None and not is_within(row.aggregate_id, worker.plan_id):
        return f"serves only the plan {worker.plan_id}"
    if worker.routes is not None and row.route not in worker.routes:
        return f"serves only the routes {', '.join(worker.routes)}"
    if row.tool in worker.declined:
        return f"does not have the tool {row.tool}"
    count = held.get(worker.owner, 0)
    if count >= worker.concurrency:
        return f"runs {count} of at most {worker.concurrency} tasks"
    return f"runs {count} tasks, and may run this one only alone" if row.suspect and count else ""
