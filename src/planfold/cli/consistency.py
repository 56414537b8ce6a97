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
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus
from planfold.projects import DEFAULT

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.eventstore.port import StreamHead
    from planfold.handler import Outlook

SAMPLE: Final = 100  # plans that are folded again
MOST_SKEW_S: Final = 2.0
_TRIES: Final = 3
_ALWAYS: Final = {"title", "status", "total"}
_USUAL: Final = {"priority": 0, "project": DEFAULT}  # where a head has none
_REPAIR: Final = "`planfold doctor --repair` puts that right"


class Difference(msgspec.Struct, frozen=True):
    """What disagrees with the log of a plan at ``version``, where the plan has this ``state``: the
    ``snapshot``, keys of the ``head``, running tasks that are ``lost`` from the task queue, and
    rows of tasks that do not run."""

    version: int
    state: PlannerState
    snapshot: bool
    head: tuple[str, ...]
    lost: tuple[Task, ...]
    extra: tuple[int, ...]


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
    """The plans whose snapshot, head or rows of the task queue disagree with their log."""
    faults = []
    for plan in plans:
        found = await difference_of(app, plan.aggregate_id)
        words = [found] if isinstance(found, str) else repairs_of(found)
        faults += [f"{plan.aggregate_id}: {what}" for what in words]
    return faults


async def difference_of(app: App, plan_id: str) -> Difference | str | None:
    """What in the database disagrees with the log of a plan, or why the log cannot be read; None if
    all agree."""
    try:
        return await _settled_difference(app, plan_id)
    except NotFound:  # it was archived
        return None
    except PlanfoldError as fault:
        return f"cannot be read: {fault}"


def repairs_of(found: Difference | None) -> list[str]:
    """Each difference in words, with its remedy."""
    if found is None:
        return []
    words = []
    if found.snapshot:
        words.append(f"its state is not what its log says, so its snapshot is wrong; {_REPAIR}")
    if found.head:
        words.append(f"its line in lists is wrong ({', '.join(found.head)}); {_REPAIR}")
    if found.lost:
        ids = [task.id for task in found.lost]
        words.append(f"{_tasks(ids)} not in the task queue, so no worker runs it; {_REPAIR}")
    if found.extra:
        words.append(f"{_tasks(found.extra)} in the task queue and not running; {_REPAIR}")
    return words


async def orphan_faults(app: App) -> list[str]:
    """Rows of the task queue whose plan is not there."""
    plans = sorted({row.aggregate_id for row in await app.store.queue.orphans()})
    return [
        f"tasks of {plan_id} are queued, and there is no such plan; {_REPAIR}" for plan_id in plans
    ]


async def _settled_difference(app: App, plan_id: str) -> Difference | None:
    for _ in range(_TRIES):
        found = await _difference(app, plan_id)
        if found is None or found.version == await app.store.version(plan_id):
            return found
    return None


async def _difference(app: App, plan_id: str) -> Difference | None:
    state = (await app.planner(plan_id)).state
    snapshot, version = msgspec.json.encode(state), state.version
    head = await app.store.head(plan_id)
    rows = {(row.task_id, row.attempt) for row in await app.store.queue.queued(plan_id)}
    fold = await app.new_fold(plan_id)
    while page := await app.store.read_versions(plan_id, after=fold.state.version, limit=1_000):
        for envelope in page:
            if envelope.version <= version:
                fold.apply(envelope)
        if page[-1].version >= version:
            break
    outlook = Planner(fold.state).outlook()
    tasks = fold.state.tasks
    running = {
        (t.id, t.attempt)
        for t in tasks.values()
        if t.status is TaskStatus.Running and t.spec.for_each is None and not t.waits
    }
    found = Difference(
        version=version,
        state=fold.state,
        snapshot=snapshot != msgspec.json.encode(fold.state),
        head=() if head is None else tuple(_wrong_keys(head, outlook)),
        lost=tuple(tasks[task_id] for task_id, _ in sorted(running - rows)),
        extra=tuple(sorted(task_id for task_id, _ in rows - running)),
    )
    return found if found.snapshot or found.head or found.lost or found.extra else None


def _wrong_keys(found: StreamHead, expected: Outlook[Any]) -> list[str]:
    """The keys of the head that are wrong. ``due_at``, the time at which the plan continues on its
    own, counts as one. Older versions stored fewer keys."""
    if expected.command is not None:
        return []
    stored, named = _USUAL | found.head, _USUAL | expected.head
    wrong = {k for k in stored.keys() & named.keys() if stored[k] != named[k]}
    wrong |= _ALWAYS - found.head.keys()
    return sorted(wrong | ({"due_at"} if found.due_at != expected.due_at else set()))


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
