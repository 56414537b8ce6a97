"""Whether what a database derives from its log agrees with the log: for ``planfold doctor``.

Plans may be written at the same time: one that disagrees is looked at again, and reported only if
its version has not changed in between.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planfold.cli.terminal import counted, duration
from planfold.errors import NotFound, PlanfoldError
from planfold.eventstore.envelope import Query
from planfold.planner.planner import Planner
from planfold.planner.tasks import TaskStatus

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.eventstore.port import StreamHead

SAMPLE: Final = 100  # plans that are folded again
MOST_SKEW_S: Final = 2.0
_TRIES: Final = 3
_RESTORE: Final = "restore the database from a backup"


def clock_faults(app: App, plans: Sequence[StreamHead], host: float | None = None) -> list[str]:
    """A host whose clock is not the database server's, or was set back."""
    host = time.time() if host is None else host
    server, faults = app.store.clock(), []
    if abs(server - host) > MOST_SKEW_S:
        which = "behind" if server > host else "ahead of"
        faults.append(
            f"this host's clock is {duration(abs(server - host))} {which} the database server's; "
            "set both by NTP"
        )
    newest = max((plan.updated_at for plan in plans), default=0.0)
    if newest - server > MOST_SKEW_S:
        faults.append(
            f"the newest event is {duration(newest - server)} in the future: a clock was set "
            "back, and retries and deadlines wait that much longer; set the clock by NTP"
        )
    return faults


async def plan_faults(app: App, plans: Sequence[StreamHead]) -> list[str]:
    """Plans whose snapshot, head or rows of the task queue are not what their log says."""
    faults = []
    for plan in plans:
        try:
            found = await _settled_differences(app, plan.aggregate_id)
        except NotFound:  # it was archived
            continue
        except PlanfoldError as fault:
            found = [f"cannot be read: {fault}"]
        faults += [f"{plan.aggregate_id}: {what}" for what in found]
    return faults


async def _settled_differences(app: App, plan_id: str) -> list[str]:
    for _ in range(_TRIES):
        found = await _differences(app, plan_id)
        if found is None:
            return []
        if found[0] == await app.store.version(plan_id):
            return found[1]
    return []


async def _differences(app: App, plan_id: str) -> tuple[int, list[str]] | None:
    """The plan's version and what disagrees with its log."""
    state = (await app.planner(plan_id)).state
    snapshot, version = msgspec.json.encode(state), state.version
    head = await app.store.head(plan_id)
    rows = {(row.task_id, row.attempt) for row in await app.store.queue.queued(plan_id)}
    fold = await app.new_fold(plan_id)
    query = Query(aggregate_id=plan_id)
    while page := await app.store.read(query, after=fold.position, limit=1_000):
        for envelope in page:
            if envelope.version <= version:
                fold.apply(envelope)
        if page[-1].version >= version:
            break
    found = []
    if snapshot != msgspec.json.encode(fold.state):
        found.append(
            "its state is not what its log says, so its snapshot is wrong; delete its row of the "
            "table snapshots, and report this fault"
        )
    expected = Planner(fold.state).outlook().head
    if head is not None and (wrong := _wrong_keys(head.head, expected)):
        found.append(f"its line in lists is wrong ({', '.join(wrong)}); {_RESTORE}")
    tasks = fold.state.tasks.values()
    running = {(task.id, task.attempt) for task in tasks if task.status is TaskStatus.Running}
    if lost := sorted(task_id for task_id, _ in running - rows):
        found.append(f"{_tasks(lost)} not in the task queue, so no worker runs it; {_RESTORE}")
    if extra := sorted(task_id for task_id, _ in rows - running):
        found.append(f"{_tasks(extra)} in the task queue and not running; {_RESTORE}")
    return (version, found) if found else None


def _wrong_keys(stored: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Older versions stored fewer keys."""
    return sorted(k for k in stored.keys() & expected.keys() if stored[k] != expected[k])


def _tasks(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")
    return f"task {shown} is" if len(ids) == 1 else f"{len(ids)} tasks ({shown}) are"


async def lease_notes(app: App) -> list[str]:
    """Leases that have run out although their workers live."""
    size = await app.store.queue.size()
    if not size.expired:
        return []
    return [
        f"{counted(size.expired, 'lease')} ran out although the workers live: they may hang; "
        "restart them, or start another with `planfold worker`"
    ]
