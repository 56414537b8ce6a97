"""Bugs in what plans can do: maps, waits, sub-plans, limits, pauses, undo, forks, schedules."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from planfold.backends.sqlite.places import LimitPlaces
from planfold.eventstore.queue import LimitState
from planfold.planner.commands import ConfirmEnd
from planfold.planner.state import PlannerState
from planfold.planner.sub_plans import owes_end
from planfold.planner.tasks import Task
from planfold.runtime.aggregate import PLAN, SIGNALS
from planfold.runtime.decisions import PlanDecisions
from planfold.runtime.signal_delivery import SignalDelivery
from planfold.runtime.sub_plans import SubPlans
from planfold.signals.inbox import ConfirmDelivery, GiveSignal, SignalInbox, WaitPlace, giving_id
from tests.simulation.planting import planted


@planted("signal received twice")
def _() -> Any:
    """The id of a signal is not remembered."""

    async def record(app: Any, stream: str, command: GiveSignal) -> Any:
        return await app.dispatcher.send(SIGNALS, stream, command, command_id=giving_id(command.id))

    return patch.object(PlanDecisions, "_record_signal", record)


@planted("delivery confirmed before it is made")
def _() -> Any:
    right = SignalDelivery._deliver_one

    async def deliver(delivery: Any, stream: str, place: WaitPlace, signal: Any) -> None:
        await delivery._dispatcher.send(SIGNALS, stream, ConfirmDelivery(place), command_id="x")
        await right(delivery, stream, place, signal)

    return patch.object(SignalDelivery, "_deliver_one", deliver)


@planted("signals that came before the wait are not given")
def _() -> Any:
    """So a signal that comes between the start of a wait and its registration is lost."""
    right = SignalInbox.apply

    def apply(inbox: SignalInbox, event: Any) -> None:
        right(inbox, event)
        inbox.kept = []

    return patch.object(SignalInbox, "apply", apply)


@planted("end of a sub-plan confirmed before it is reported")
def _() -> Any:
    right = SubPlans.report_end

    async def report(sub_plans: Any, plan_id: str, state: PlannerState) -> None:
        if state.parent is not None and owes_end(state):
            command = ConfirmEnd(state.parent.attempt)
            await sub_plans._dispatcher.send(PLAN, plan_id, command, command_id="x")
        await right(sub_plans, plan_id, state)

    return patch.object(SubPlans, "report_end", report)


@planted("parent not woken")
def _() -> Any:
    """A sub-plan that has ended is not due."""
    return patch("planfold.planner.planner.owes_end", lambda _: False)


@planted("result of a sub-plan lost on the way")
def _() -> Any:
    right = SubPlans._report

    async def report(sub_plans: Any, parent: Any, end: Any, child: str) -> None:
        if getattr(end, "result", None):
            end = type(end)({})
        await right(sub_plans, parent, end, child)

    return patch.object(SubPlans, "_report", report)


@planted("limit not counted")
def _() -> Any:
    return patch.object(LimitState, "places", property(lambda _: 1_000))


@planted("starts not recorded")
def _() -> Any:
    return patch.object(LimitPlaces, "record", lambda *_: None)


@planted("undo of a task that never ran")
def _() -> Any:
    def to_undo(state: PlannerState) -> list[Task]:
        return [t for t in state.tasks.values() if t.spec.undo is not None and not t.undo_task]

    return patch("planfold.planner.undo.to_undo", to_undo)


@planted("undone in the order of completion")
def _() -> Any:
    from planfold.planner.undo import to_undo

    return patch("planfold.planner.undo.to_undo", lambda state: to_undo(state)[::-1])


@planted("undo beside undo")
def _() -> Any:
    """The tasks that undo others do not wait for each other."""
    from planfold.planner import undone

    right = undone._undo_spec
    return patch.object(undone, "_undo_spec", lambda key, task, _: right(key, task, ()))


@planted("pause not heeded")
def _() -> Any:
    def starts_nothing(state: PlannerState) -> bool:
        return state.cancelled and not state.undoing

    return patch("planfold.planner.dispatch._starts_nothing", starts_nothing)


@planted("conditions not heeded")
def _() -> Any:
    return patch("planfold.planner.dispatch.kept_off", lambda *_: None)


@planted("map wider than its concurrency")
def _() -> Any:
    from planfold.planner.dispatch import _Room

    def bounds_of(room: Any, lane: str) -> tuple[str, ...]:
        room._bounds[lane] = ()
        return ()

    return patch.object(_Room, "_bounds_of", bounds_of)


@planted("map not stopped by an item that failed")
def _() -> Any:
    return patch("planfold.planner.maps._halts", lambda *_: False)


@planted("fork repeats effects")
def _() -> Any:
    return patch("planfold.planner.forks.refuse_repeats", lambda *_: None)


@planted("schedule does not wait for the plan before")
def _() -> Any:
    async def ended_before(_: Any, state: Any) -> str:
        return str(state.previous)

    return patch("planfold.runtime.occurrences.ended_before", ended_before)


@planted("occurrence decided twice")
def _() -> Any:
    """A worker decides on occurrences that another one has decided on."""
    from planfold.schedules import schedule

    def decide(state: Any, added: Any, command: Any) -> list[Any]:
        given = schedule.msgspec.structs.replace(command, next_at=state.next_at)
        return right(state, added, given)

    right = schedule._decide
    return patch.object(schedule, "_decide", decide)
