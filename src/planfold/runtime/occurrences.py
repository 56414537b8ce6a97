"""``Occurrences``: begins the plans of schedules that are due.

What begins is decided in the stream of the schedule; its plan is submitted under an id that the
occurrence determines, then that is recorded. A worker that dies in between leaves the schedule due,
and the next one submits it again, which changes nothing.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from planfold.errors import (
    CommandRejected,
    ConfigurationError,
    Conflict,
    CorruptLog,
    InvalidPlan,
)
from planfold.eventstore.port import EventStore
from planfold.executors.registry import Executors
from planfold.handler import Handler
from planfold.instants import in_utc, in_zone
from planfold.planner.commands import Initialize
from planfold.planner.events import TasksPlanned
from planfold.planner.tasks import PlanStatus
from planfold.runtime.aggregate import PLAN, SCHEDULES
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.inputs import recordable_command
from planfold.schedules.commands import (
    ConfirmSubmission,
    DecideOccurrences,
    Occurrence,
    ScheduledPlan,
)
from planfold.schedules.events import ScheduleAdded
from planfold.schedules.schedule import MOST_WAITING, PlanSchedule, ScheduleState

if TYPE_CHECKING:
    from planfold.cron import Cron

SCHEDULE, OCCURRENCE = "schedule", "occurrence"  # in the metadata of the plan's first event
OTHER_REVISION = "approved_revision"  # there, where the tools have changed since
LATE_S: Final = 60.0  # an occurrence that begins later was missed
AT_ONCE: Final = 100  # occurrences that are decided together
LOOK_AGAIN_S: Final = 2.0  # whether the plan has ended that an occurrence waits for
_ENDED: Final = {s.value for s in (PlanStatus.Completed, PlanStatus.Failed, PlanStatus.Cancelled)}


class Occurrences:
    """``executors`` have the tools that plans are compiled with."""

    def __init__(self, store: EventStore, dispatcher: Dispatcher, executors: Executors) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._executors = executors

    async def hand_over(self, stream: str, _: Handler[Any, Any] | None = None) -> float | None:
        """Submit what has begun, and decide once on what is due. Returns after how many seconds to
        look again, where something is left: after an outage there may be a lot, and other streams
        are due as well.

        Raises:
            ConfigurationError: the plan cannot be made with the tools of this process; another
                process may have them.
        """
        decided = False
        while True:
            state = await schedule_state(self._dispatcher, stream)
            if state.owed:
                await self._submit_all(stream, state)
                continue
            ended = await ended_before(self._store, state)
            command = decision_on(state, self._store.clock(), ended)
            if command is None:
                return LOOK_AGAIN_S if state.waiting else None
            if decided:
                return 0.0
            decided = True
            await self._dispatcher.send(SCHEDULES, stream, command, command_id=_name(command))

    async def _submit_all(self, stream: str, state: ScheduleState) -> None:
        added = state.added
        assert added is not None
        try:
            begin = await asyncio.to_thread(compiled, added.plan, self._executors)
        except InvalidPlan as invalid:
            raise ConfigurationError(
                f"the plan of the schedule {added.name!r} cannot be made with the tools of this "
                f"worker: {invalid.faults[0]}; give a worker its tools, or remove the schedule"
            ) from None
        origin = {SCHEDULE: added.name}
        if begin.approved_by != added.plan.approved_by:
            origin[OTHER_REVISION] = added.plan.revision_hash
        times = [_written(added, each) for each in state.owed]
        submissions = (
            self._submit(stream, replace(begin, occurrence=time), origin, each)
            for each, time in zip(state.owed, times, strict=True)
        )
        found = await asyncio.gather(*submissions, return_exceptions=True)
        for fault in found:
            if fault is not None:
                raise fault

    async def _submit(
        self, stream: str, begin: Initialize, origin: dict[str, str], occurrence: Occurrence
    ) -> None:
        plan_id = occurrence.plan_id
        fault = ""
        try:
            await self._dispatcher.send(
                PLAN,
                plan_id,
                begin,
                command_id=f"{stream}  {plan_id}",  # no key of a request has two spaces
                correlation_id=plan_id,
                idempotent=True,
                extra=origin | {OCCURRENCE: in_utc(occurrence.at)},
                # A process with other tools submits the same occurrence, if not the same tasks.
                request_hash="occurrence",
            )
        except (CommandRejected, Conflict) as refusal:  # as where a person used the id
            fault = f"{plan_id}: {refusal}"
        confirmed = ConfirmSubmission(plan_id, fault)
        name = f"{plan_id}/submitted"
        await self._dispatcher.send(SCHEDULES, stream, confirmed, command_id=name)


class ScheduledBy(msgspec.Struct, frozen=True):
    """The schedule of a plan, and the time that it is for (RFC 3339). ``changed``: its tasks are
    others than those that were approved with the schedule."""

    name: str
    occurrence: str
    changed: bool = False


async def scheduled_by(store: EventStore, plan_id: str) -> ScheduledBy | None:
    """The schedule that submitted a plan, or None."""
    for envelope in await store.read_versions(plan_id, limit=1):
        extra = envelope.metadata.extra
        if SCHEDULE in extra and OCCURRENCE in extra:
            # In the time zone of the schedule, as `$occurrence`; older plans have it in UTC only.
            planned = envelope.event.occurrence if isinstance(envelope.event, TasksPlanned) else ""
            occurrence = planned or extra[OCCURRENCE]
            return ScheduledBy(extra[SCHEDULE], occurrence, OTHER_REVISION in extra)
    return None


async def schedule_state(dispatcher: Dispatcher, stream: str) -> ScheduleState:
    """The present state of a schedule. Raises NotFound."""
    schedule = await dispatcher.view(SCHEDULES, stream)
    assert isinstance(schedule, PlanSchedule)
    return schedule.state


async def ended_before(store: EventStore, state: ScheduleState) -> str:
    """The id of the schedule's last plan if it has ended or was archived; else empty."""
    added = state.added
    if not state.previous or added is None or added.overlap == "allow":
        return ""
    if any(each.plan_id == state.previous for each in state.owed):
        return ""  # it has no plan yet
    head = await store.head(state.previous)
    ended = head is None or head.head.get("status") in _ENDED
    return state.previous if ended else ""


def decision_on(state: ScheduleState, now: float, ended: str = "") -> DecideOccurrences | None:
    """The command to send to a schedule at the time ``now``; None if there is nothing to decide.
    ``ended`` is the id of the last plan, if it has ended."""
    added, first = state.added, state.next_at
    if added is None or state.paused:
        return None
    free = not state.previous or state.previous == ended
    if first is None or first > now:
        may_start = bool(state.waiting) and free
        return DecideOccurrences(first, first, ended=ended) if may_start else None
    room = MOST_WAITING - len(state.waiting) if added.overlap == "queue" else AT_ONCE
    if room <= 0 and not free:
        return None
    due, then, missed = _due(added, first, now, max(1, min(room, AT_ONCE)))
    occurrences = tuple(Occurrence(at, _plan_id(added.name, at)) for at in due)
    return DecideOccurrences(first, then, occurrences, missed, ended)


def _due(
    added: ScheduleAdded, first: float, now: float, most: int
) -> tuple[list[float], float | None, float]:
    """Three values: the occurrences from ``first`` on to begin at ``now``, at most so many; the
    first occurrence after those; and the first one that was missed and is not run late, or 0.0."""
    cron, on_time = cron_of(added), now - LATE_S
    missed = 0.0
    if first <= on_time and added.catch_up != "all":
        last = cron.latest(first, on_time) or first
        if added.catch_up == "skip":
            missed, next_one = first, cron.after(last)
        else:
            missed, next_one = (0.0 if last == first else first), last
        if next_one is None or next_one > now:
            return [], next_one, missed
        first = next_one
    found = [first, *islice(cron.between(first, now), most)]
    if len(found) > most:
        return found[:most], found[most], missed
    return found, cron.after(found[-1]), missed


def cron_of(added: ScheduleAdded) -> Cron:
    """When a schedule occurs. Raises ConfigurationError where that is not known here."""
    from planfold.cron import Cron  # most programs have no schedules

    try:
        return Cron(added.cron, added.tz)
    except ValueError as fault:  # such as a time zone that this machine lacks
        raise ConfigurationError(f"the schedule {added.name!r}: {fault}") from None


def compiled(plan: ScheduledPlan, executors: Executors) -> Initialize:
    """The first command of a plan of a schedule, as the tools are now. It is approved where its
    tasks are those that were approved with the schedule. Raises InvalidPlan, CorruptLog."""
    from planfold.drafting.compiler import compile_plan
    from planfold.drafting.draft import PlanDraft
    from planfold.drafting.first_command import begin_plan
    from planfold.planner.revisions import hash_revision

    try:
        draft = msgspec.convert(plan.draft, PlanDraft)
    except msgspec.ValidationError as fault:
        raise CorruptLog(f"this version cannot read the plan of the schedule: {fault}") from None
    tasks = compile_plan(draft, executors.toolbox)
    same = hash_revision(tasks) == plan.revision_hash
    approved_by = plan.approved_by if same else None
    return recordable_command(begin_plan(draft, tasks, plan.config, approved_by, (), plan.tags))


def _written(added: ScheduleAdded, occurrence: Occurrence) -> str:
    """The time that the plan of an occurrence is for, in the time zone of its schedule."""
    try:
        return in_zone(occurrence.at, added.tz)
    except ValueError as fault:
        raise ConfigurationError(f"the schedule {added.name!r}: {fault}") from None


def _plan_id(name: str, at: float) -> str:
    return f"{name}-{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%MZ}"


def _name(command: DecideOccurrences) -> str:
    return f"{command.next_at or 0:.0f}/{type(command).__name__}"
