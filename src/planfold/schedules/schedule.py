"""``PlanSchedule``: a plan, and the times at which it is to begin.

It decides which occurrences begin, wait or are left out; a worker submits their plans. Pure: the
commands say which occurrences are due, and whether the plan of the one before has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from planfold.errors import CommandRejected, NotFound
from planfold.handler import Handler, Outlook
from planfold.schedules.commands import (
    AddSchedule,
    ConfirmSubmission,
    DecideOccurrences,
    EditSchedule,
    Occurrence,
    PauseSchedule,
    RemoveSchedule,
    RunSchedule,
    ScheduleCommand,
    UnpauseSchedule,
)
from planfold.schedules.events import (
    OccurrencesDecided,
    OccurrenceSubmitted,
    ScheduleAdded,
    ScheduleEdited,
    ScheduleEvent,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleUnpaused,
)

STREAM: Final = "schedule"  # the kind of these streams
MOST_WAITING: Final = 1_000  # occurrences of a schedule that wait for the one before


class ScheduleState(msgspec.Struct, frozen=True):
    """``added`` is None once it was removed. ``next_at`` is the next occurrence that nothing was
    decided on. ``waiting`` occurrences wait for the end of the plan ``previous``, the last that
    began; ``owed`` ones have begun and their plan is to be submitted. ``overlapped``: how many were
    left out; ``missed_since`` and ``fault`` are the last ones. ``by_hand`` counts runs by hand."""

    added: ScheduleAdded | None = None
    paused: bool = False
    next_at: float | None = None
    waiting: tuple[Occurrence, ...] = ()
    owed: tuple[Occurrence, ...] = ()
    previous: str = ""
    previous_at: float = 0.0
    submitted: int = 0
    overlapped: int = 0
    missed_since: float = 0.0
    fault: str = ""
    by_hand: int = 0


FOLD_VERSION: Final = 1  # raised where old events fold to another state


def schedule_id(name: str) -> str:
    """The id of the stream of a schedule. No plan that the command line began has such an id."""
    return f"{STREAM}/{name}"


class PlanSchedule(Handler[ScheduleCommand, ScheduleEvent]):
    """Its state is replaced, never changed, so a reader may keep it."""

    def __init__(self) -> None:
        self.state = ScheduleState()

    def process(self, command: ScheduleCommand) -> list[ScheduleEvent]:
        """See :meth:`Handler.process`. A schedule that was removed may be added again."""
        state = self.state
        if isinstance(command, AddSchedule):
            return _add(state, command)
        if isinstance(command, ConfirmSubmission):
            owed = any(each.plan_id == command.plan_id for each in state.owed)
            return [OccurrenceSubmitted(command.plan_id, command.fault)] if owed else []
        if state.added is None:
            if isinstance(command, DecideOccurrences):
                return []
            raise NotFound("there is no such schedule").about("schedule")
        match command:
            case EditSchedule():
                return _edit(state.added, command)
            case PauseSchedule(reason, by):
                return [] if state.paused else [SchedulePaused(reason, by)]
            case UnpauseSchedule(next_at, by):
                return [ScheduleUnpaused(next_at, by)] if state.paused else []
            case RemoveSchedule(by):
                return [ScheduleRemoved(by)]
            case RunSchedule():
                return [_run(state, state.added, command)]
            case DecideOccurrences():
                return _decide(state, state.added, command)

    def apply(self, event: ScheduleEvent) -> None:
        """See :meth:`Handler.apply`."""
        changes: dict[str, Any]
        match event:
            case ScheduleAdded():
                begun = ScheduleState(event, next_at=event.next_at, by_hand=self.state.by_hand)
                self.state = begun
                return
            case ScheduleEdited():
                changes = _edited(self.state, event)
            case SchedulePaused():
                changes = {"paused": True}
            case ScheduleUnpaused(next_at):
                changes = {"paused": False, "next_at": next_at}
            case ScheduleRemoved():
                self.state = ScheduleState(by_hand=self.state.by_hand)
                return
            case OccurrencesDecided():
                changes = _decided(self.state, event)
            case OccurrenceSubmitted(plan_id, fault):
                owed = tuple(each for each in self.state.owed if each.plan_id != plan_id)
                count = self.state.submitted + (not fault)
                changes = {"owed": owed, "fault": fault or self.state.fault, "submitted": count}
                if fault and plan_id == self.state.previous:  # it is a plan of others
                    changes |= {"previous": "", "previous_at": 0.0}
        self.state = msgspec.structs.replace(self.state, **changes)

    def outlook(
        self, events: Sequence[ScheduleEvent] = (), now: float = 0.0
    ) -> Outlook[ScheduleCommand]:
        """See :meth:`Handler.outlook`. It is due at once while something is owed or waits."""
        state, due = self.state, None
        if state.owed:
            due = state.owed[0].at
        elif state.added is not None and not state.paused:
            due = state.waiting[0].at if state.waiting else state.next_at
        return Outlook(due_at=due, head=_head(state))

    def snapshot(self) -> bytes:
        """See :meth:`Handler.snapshot`."""
        return msgspec.json.encode((FOLD_VERSION, self.state))

    @classmethod
    def restore(cls, snapshot: bytes) -> PlanSchedule | None:
        """See :meth:`Handler.restore`."""
        handler = cls()
        try:
            version, handler.state = msgspec.json.decode(snapshot, type=tuple[int, ScheduleState])
        except msgspec.MsgspecError:
            return None
        return handler if version == FOLD_VERSION else None


def _add(state: ScheduleState, command: AddSchedule) -> list[ScheduleEvent]:
    asked = ScheduleAdded(**{name: getattr(command, name) for name in command.__struct_fields__})
    if state.added is None:
        return [asked]
    if msgspec.structs.replace(state.added, next_at=asked.next_at) == asked:
        return []
    raise CommandRejected(
        f"there is a schedule {command.name!r} already, and it is another one; edit it, or use "
        "another name"
    )


_EDITED: Final = ("cron", "tz", "plan", "catch_up", "overlap")


def _edit(added: ScheduleAdded, command: EditSchedule) -> list[ScheduleEvent]:
    given = {name: getattr(command, name) for name in _EDITED}
    changed = {n: new for n, new in given.items() if new not in (None, getattr(added, n))}
    if not changed:
        return []
    next_at = command.next_at if "cron" in changed or "tz" in changed else None
    return [ScheduleEdited(**changed, next_at=next_at, by=command.by)]


def _edited(state: ScheduleState, event: ScheduleEdited) -> dict[str, Any]:
    if state.added is None:
        return {}
    given = {name: getattr(event, name) for name in _EDITED}
    changed = {name: new for name, new in given.items() if new is not None}
    next_at = state.next_at if event.next_at is None else event.next_at
    return {"added": msgspec.structs.replace(state.added, **changed), "next_at": next_at}


def _run(state: ScheduleState, added: ScheduleAdded, command: RunSchedule) -> ScheduleEvent:
    if state.paused:
        raise CommandRejected(f"the schedule {added.name!r} is paused; unpause it first")
    occurrence = Occurrence(command.now, f"{added.name}-run-{state.by_hand + 1}")
    started, queued, overlapped = _allotted(state, added, (occurrence,), command.ended)
    if overlapped:
        raise CommandRejected(
            f"plan {state.previous} of the schedule {added.name!r} has not ended, and its plans do "
            "not overlap; cancel it or wait for its end"
        )
    return OccurrencesDecided(state.next_at, started, queued, by=command.by)


def _decide(
    state: ScheduleState, added: ScheduleAdded, command: DecideOccurrences
) -> list[ScheduleEvent]:
    if state.paused or command.next_at != state.next_at:
        return []
    started, queued, overlapped = _allotted(state, added, command.due, command.ended)
    if not (started or queued or overlapped or command.then != state.next_at):
        return []
    since = command.missed_since
    return [OccurrencesDecided(command.then, started, queued, overlapped, since)]


def _allotted(
    state: ScheduleState, added: ScheduleAdded, due: tuple[Occurrence, ...], ended: str
) -> tuple[tuple[Occurrence, ...], ...]:
    """Divide the waiting and due occurrences: those that begin, the due ones that wait, and those
    that are left out."""
    candidates = (*state.waiting, *due)
    if added.overlap == "allow":
        return candidates, (), ()
    free = not state.previous or state.previous == ended
    started = candidates[:1] if free else ()
    others = tuple(each for each in due if each not in started)
    return (started, others, ()) if added.overlap == "queue" else (started, (), others)


def _decided(state: ScheduleState, event: OccurrencesDecided) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "next_at": event.next_at,
        "waiting": tuple(
            each for each in (*state.waiting, *event.queued) if each not in event.started
        ),
        "owed": (*state.owed, *event.started),
        "overlapped": state.overlapped + len(event.overlapped),
        "missed_since": event.missed_since or state.missed_since,
        "by_hand": state.by_hand + (event.by is not None),
    }
    if event.started:
        last = event.started[-1]
        changes |= {"previous": last.plan_id, "previous_at": last.at}
    return changes


def _head(state: ScheduleState) -> dict[str, Any]:
    if state.added is None:
        return {"removed": True}
    added = state.added
    return {
        "name": added.name,
        "cron": added.cron,
        "tz": added.tz,
        "project": added.plan.config.project,
        "paused": state.paused,
        "next_at": state.next_at,
        "previous": state.previous,
        "waiting": len(state.waiting),
    }
