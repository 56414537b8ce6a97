"""``Notifier``: turns events of plans into notifications, for the handler of a durable consumer."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Collection
from typing import Any, Final

from planfold.eventstore.envelope import Envelope
from planfold.eventstore.port import EventStore
from planfold.planner.items import id_text
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import PlanStatus
from planfold.planner.transitions import ENDED
from planfold.printable import printable
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

Finder = Callable[[Envelope, PlannerState], Notification | None]


class Notifier:
    """Calls ``deliver`` for the kinds of ``on``. A question that was answered, or a plan
    that was approved, before it could be delivered is left out, and so is an old end."""

    def __init__(
        self, store: EventStore, name: str, deliver: Deliver, on: Collection[NotificationKind]
    ) -> None:
        self._store = store
        self._name = name
        self._deliver = deliver
        self._on = on

    async def handle(self, envelope: Envelope) -> None:
        """Deliver what this event means to people, if anything.

        Raises:
            CorruptLog: this version cannot read the plan.
            Exception: what ``deliver`` raised.
        """
        find = _FINDERS.get(envelope.event_type)
        if find is None or not await self._is_news(envelope):
            return
        try:
            await self._send(envelope, find)
        except Exception as fault:
            _log.warning("%s: event %s was not delivered: %s", self._name, envelope.event_id, fault)
            raise

    async def _is_news(self, envelope: Envelope) -> bool:
        """What can be said without the state of the plan, which takes longer to read."""
        if envelope.event_type == "PlanningCompleted":
            return self._store.clock() - envelope.recorded_at <= OLDEST_S
        if envelope.event_type == "TaskStatusUpdated":  # most are of plans that were approved
            head = await self._store.head(envelope.aggregate_id)
            waiting = PlanStatus.AwaitingApproval.value
            return head is not None and head.head.get("status") == waiting
        return True

    async def _send(self, envelope: Envelope, find: Finder) -> None:
        planner = await Mailbox(PLAN, envelope.aggregate_id, lambda _: None).load(self._store)
        assert isinstance(planner, Planner)
        if not planner.state.version:  # it was archived since
            return
        notification = find(envelope, planner.state)
        if notification is not None and notification.kind in self._on:
            await self._deliver(notification)


def _planned(envelope: Envelope, state: PlannerState) -> Notification | None:
    """Of the tasks that wait now; where a model drafts them, see :func:`_drafted`."""
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
    text = f"waits for approval of {len(state.tasks)} tasks"
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
        ("answer", id_text(task_id)),
        task_id=task_id,
        question=question.question,
        choices=question.choices,
    )


def _ended(envelope: Envelope, state: PlannerState) -> Notification | None:
    kind: NotificationKind = envelope.event.outcome
    ids = envelope.event.summary.failed
    failed = [state.tasks[i] for i in ids[:MOST_ERRORS] if i in state.tasks]
    errors = tuple(f"{id_text(t.id)}. {t.description}: {_first_line(t.error)}" for t in failed)
    said = f": {errors[0]}" if errors else ""
    if envelope.event.summary.to_undo:
        said += f" (undone: {envelope.event.summary.undone} of {envelope.event.summary.to_undo})"
    if kind == "failed":
        return _made(envelope, state, kind, f"has failed{said}", ("why",), errors=errors)
    text = f"is {kind}"
    if ids:  # the plan did without them
        text += f", but {len(ids):,} task{'s' if len(ids) > 1 else ''} failed"
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
    "PlanningCompleted": _ended,
}
