"""``Notifier``: turns events of plans into notifications, for the handler of a durable consumer."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from planfold.eventstore.envelope import Envelope
from planfold.eventstore.port import EventStore
from planfold.planner.events import (
    ClarificationReceived,
    PlanApproved,
    PlanPaused,
    PlanUnpaused,
    RetryScheduled,
    TaskDecided,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.items import id_text, map_of
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Pause, PlanStatus, Task
from planfold.planner.transitions import ENDED
from planfold.printable import printable
from planfold.readmodels.labels import counted, name_of
from planfold.retries import RetryPolicy
from planfold.runtime.aggregate import PLAN
from planfold.runtime.mailbox import Mailbox
from planfold.tools.notifications import Deliver, Notification, NotificationKind

# For six hours, since receivers are restarted and people fix settings.
RETRIES: Final = RetryPolicy(attempts=10, base=5.0, factor=4.0, cap=3_600.0)
_log = logging.getLogger("planfold.notify")

# An end that is older is not sent: such plans were imported.
OLDEST_S: Final = 7 * 86_400.0
LONGEST = 300  # characters of a text
MOST_ERRORS = 5
LOOKED_AT = 256  # later events

Finder = Callable[[Envelope, PlannerState], Notification | None]


class Notifier:
    """Calls ``deliver`` for the kinds of ``on``. Left out are questions, approvals and pauses that
    are over before they could be delivered, and ends that are too old."""

    def __init__(
        self, store: EventStore, name: str, deliver: Deliver, on: Collection[NotificationKind]
    ) -> None:
        self._store = store
        self._name = name
        self._deliver = deliver
        self._on = on

    async def handle(self, envelope: Envelope) -> None:
        """Deliver a notification if this event is news for people.

        Raises:
            CorruptLog: this version cannot read the plan.
            Exception: what ``deliver`` raised.
        """
        if not await self._is_news(envelope):
            return
        try:
            await self._send(envelope)
        except Exception as fault:
            _log.warning("%s: event %s was not delivered: %s", self._name, envelope.event_id, fault)
            raise

    async def _is_news(self, envelope: Envelope) -> bool:
        """Whether the event may be news. This is decided without the plan's state, which takes
        longer to read."""
        kind = envelope.event_type
        if kind == "PlanningCompleted":
            return self._store.clock() - envelope.recorded_at <= OLDEST_S
        if kind not in _MAY_REACH:
            return kind in _FINDERS
        if "paused" in self._on or kind in _FINDERS:  # most are of plans without break-points
            head = await self._store.head(envelope.aggregate_id)
            if head is None:
                return False
            waits = head.head.get("status") == PlanStatus.AwaitingApproval.value
            paused = kind == "PlanPaused" or bool(head.head.get("breakpoints"))
            return paused or (waits and kind in _FINDERS)
        return False

    async def _send(self, envelope: Envelope) -> None:
        planner = await Mailbox(PLAN, envelope.aggregate_id, lambda _: None).load(self._store)
        assert isinstance(planner, Planner)
        if not planner.state.version:  # it was archived since
            return
        find = _FINDERS.get(envelope.event_type)
        notification = find(envelope, planner.state) if find is not None else None
        if notification is None and envelope.event_type in _MAY_REACH:
            notification = await self._reached(envelope, planner.state)
        if notification is not None and notification.kind in self._on:
            await self._deliver(notification)

    async def _reached(self, envelope: Envelope, state: PlannerState) -> Notification | None:
        """A notification if this event, and no later one, brought the plan to break-points. So each
        is sent once, however late."""
        if state.paused is not None or state.outcome is not None or not state.approved:
            return None
        tasks = [state.tasks[i] for i in state.schedule.reached()]
        tasks = [task for task in tasks if _comes_to(envelope.event, state, task)]
        if not tasks:
            return None
        later = await self._store.read_versions(
            envelope.aggregate_id, after=envelope.version, limit=LOOKED_AT
        )
        tasks = [t for t in tasks if not any(_comes_to(each.event, state, t) for each in later)]
        return _at_break_points(envelope, state, tasks) if tasks else None


def _planned(envelope: Envelope, state: PlannerState) -> Notification | None:
    """The request for approval of a plan or revision. Where a model drafts tasks, see
    :func:`_drafted`."""
    event = envelope.event
    if event.revision_hash != state.revision_hash:
        return None
    if any(spec.drafts or spec.proposed for spec in event.tasks):
        return None
    return _approval(envelope, state)


def _drafted(envelope: Envelope, state: PlannerState) -> Notification | None:
    ended = envelope.event.status in ENDED and envelope.event.task_id in state.drafting[-1:]
    return _approval(envelope, state) if ended else None


def _approval(envelope: Envelope, state: PlannerState) -> Notification | None:
    if state.status is not PlanStatus.AwaitingApproval:
        return None
    text = f"waits for approval of {counted(state.progress[1], 'task')}"
    return _made(envelope, state, "approval", text, ("approve",))


def _question(envelope: Envelope, state: PlannerState) -> Notification | None:
    task_id = envelope.event.task_id
    question = state.questions.get(task_id)
    if question is None or question.question != envelope.event.question:
        return None
    return _made(
        envelope,
        state,
        "question",
        f"asks: {question.question}",
        ("answer", id_text(task_id), "TEXT"),
        task_id=task_id,
        question=question.question,
        choices=question.choices,
    )


def _paused(envelope: Envelope, state: PlannerState) -> Notification | None:
    """A pause of the whole plan; for break-points see :meth:`Notifier._reached`."""
    if state.paused is None or envelope.event.task_ids:
        return None
    return _made(envelope, state, "paused", f"is paused{_said(state.paused)}", ("unpause",))


def _at_break_points(
    envelope: Envelope, state: PlannerState, tasks: Sequence[Task]
) -> Notification:
    first, more = tasks[0], len(tasks) - 1
    text = f"is paused before {name_of(first.spec)}"
    text += (f" and {counted(more, 'more task')}" if more else "") + _said(
        state.breakpoints[first.id]
    )
    return _made(envelope, state, "paused", text, ("unpause",), task_id=first.id)


def _comes_to(event: Any, state: PlannerState, task: Task) -> bool:
    """Whether this event may have brought the plan to a break-point: it ended the last task that
    the break-point's task waited for, set the break-point, approved the plan, or planned the task
    again."""
    match event:
        case PlanApproved() | PlanUnpaused(task_ids=()):
            return True
        case PlanPaused(task_ids=task_ids) | TasksReset(task_ids=task_ids):
            return task.id in task_ids
        case RetryScheduled(task_id=task_id):
            return task_id == task.id
        case ClarificationReceived(task_id=ended) | TaskDecided(task_id=ended):
            pass
        case TaskStatusUpdated(task_id=ended, status=status) if status in ENDED:
            pass
        case _:
            return False
    parents = [state.tasks[i] for i in task.depends_on]
    last = max(parents, key=lambda parent: (parent.finished_at, parent.id), default=None)
    return last is not None and last.id == ended


def _said(pause: Pause) -> str:
    return (f" by {pause.by}" if pause.by else "") + (f": {pause.reason}" if pause.reason else "")


def _ended(envelope: Envelope, state: PlannerState) -> Notification | None:
    kind: NotificationKind = envelope.event.outcome
    ids = envelope.event.summary.failed
    failed = [state.tasks[i] for i in ids[:MOST_ERRORS] if i in state.tasks]
    errors = tuple(f"{id_text(t.id)}. {t.description}: {_first_line(t.error)}" for t in failed)
    said = f": {errors[0]}" if errors else ""
    if envelope.event.summary.to_undo:
        said += f" (undone: {envelope.event.summary.undone} of {envelope.event.summary.to_undo})"
    if kind == "failed":
        maps = {map_of(i) for i in ids}  # of these, the items that failed count
        more = sum(i not in maps for i in ids) - 1
        said += f"; {counted(more, 'more task')} failed" if more > 0 else ""
        return _made(envelope, state, kind, f"has failed{said}", ("why",), errors=errors)
    text = f"is {kind}"
    if ids:  # the plan did without them
        text += f", but {counted(len(ids), 'task')} failed"
    text += said
    return _made(envelope, state, kind, text, ("show",), errors=errors)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _made(
    envelope: Envelope,
    state: PlannerState,
    kind: NotificationKind,
    text: str,
    command: tuple[str, ...],
    **rest: Any,
) -> Notification:
    verb, *arguments = command
    words = ["planfold", verb, envelope.aggregate_id, *arguments]
    said = printable(" ".join(f"{state.title or envelope.aggregate_id} {text}".split()))
    return Notification(
        id=envelope.event_id,
        kind=kind,
        plan_id=envelope.aggregate_id,
        title=state.title,
        at=envelope.recorded_at,
        text=said if len(said) <= LONGEST else said[: LONGEST - 4] + " ...",
        command=shlex.join(words),
        **rest,
    )


_FINDERS: Final[dict[str, Finder]] = {
    "TasksPlanned": _planned,
    "PlanRevised": _planned,
    "PlanForked": _planned,
    "TaskStatusUpdated": _drafted,
    "ClarificationRequested": _question,
    "PlanPaused": _paused,
    "PlanningCompleted": _ended,
}

# Events by which a plan may come to a break-point.
_MAY_REACH: Final = frozenset(
    kind.__name__
    for kind in (
        *(TaskStatusUpdated, TaskDecided, ClarificationReceived, RetryScheduled),
        *(TasksReset, PlanApproved, PlanPaused, PlanUnpaused),
    )
)
