"""``Reporter``: what executors say reaches the plan, under the lease that let them work."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from planfold.errors import ConfigurationError, CorruptLog, LeaseLost, PlanfoldError, Transient
from planfold.eventstore.port import EventStore, Fence
from planfold.eventstore.queue import Lease
from planfold.executors.executor import Outcome
from planfold.executors.recordable import as_text
from planfold.handler import Metadata
from planfold.planner.commands import (
    ExecutorEvent,
    HandleExecutorEvent,
    OutcomeUnknown,
    StepAbandoned,
    StepBegun,
    StepCompleted,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.events import StepRecorded, StepStarted
from planfold.planner.planner import Planner
from planfold.readmodels.histogram import Histogram
from planfold.runtime.aggregate import PLAN
from planfold.runtime.attempt import Attempt
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.inputs import as_recorded
from planfold.runtime.letter import Letter

R = TypeVar("R", bound=ExecutorEvent)

LONGEST_PAUSE_S = 2.0
_STEPS: Final = (StepBegun, StepCompleted, StepAbandoned)
JITTERS = 1_000_000  # the values that a jitter can have, from 0 to 1

Over = Callable[[Attempt, Outcome, BaseException | None], None]


class Observer(Protocol):
    """What a worker reports to its program. The methods are called on the event loop and must
    return quickly.

    Example:
        import planfold

        class Counts:
            def __init__(self):
                self.events = self.faults = 0

            def reported(self, aggregate_id, events):
                self.events += len(events)

            def trouble(self, fault):
                self.faults += 1

        counts = Counts()
        async with planfold.open_app("sqlite:///plans.db") as app:
            async with app.worker(observer=counts):
                await app.result(await app.submit("1. Run `true`", approved_by="ada"))
        assert counts.events > 0
    """

    def reported(self, aggregate_id: str, events: Sequence[Any]) -> None:
        """A report of this worker was recorded as these events."""
        ...

    def trouble(self, fault: PlanfoldError) -> None:
        """Something does not work; it will be tried again."""
        ...


class Unobserved:
    """The observer of a worker without one."""

    def reported(self, aggregate_id: str, events: Sequence[Any]) -> None:
        """See :class:`Observer`."""

    def trouble(self, fault: PlanfoldError) -> None:
        """See :class:`Observer`."""


def as_planfold_error(
    fault: Exception, kind: type[PlanfoldError] = Transient, about: str = ""
) -> PlanfoldError:
    """``fault`` itself, or an error of ``kind`` that describes an unexpected fault."""
    if isinstance(fault, PlanfoldError):
        return fault
    return kind(f"{about}{type(fault).__name__}: {fault}")


class Reporter:
    """Calls ``reported`` with what was recorded, and ``trouble`` with what keeps a report from
    being recorded: see :class:`Observer`. ``Leases`` sets ``over`` (``Leases._handed_in``), which
    is called when a report that was handed in is recorded, or with why it is not."""

    def __init__(
        self,
        store: EventStore,
        dispatcher: Dispatcher,
        owner: str,
        reported: Callable[[str, Sequence[Any]], None],
        trouble: Callable[[PlanfoldError], None],
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._owner = owner
        self._reported = reported
        self._trouble = trouble
        self.over: Over = _ignore
        self.fenced = 0  # reports that were refused, because the task has passed to another worker
        self.durations = Histogram()  # of reports, until they were recorded

    def hand_in(self, attempt: Attempt, outcome: Outcome, *, now: bool) -> None:
        """Report how an attempt ended that may run again, and do not wait for the commit, which
        may wait for further decisions. ``over`` is called then."""
        try:
            event = _recordable(outcome)
        except Exception as fault:
            self.over(attempt, outcome, fault)
            return
        command, origin = self._command(attempt.lease, event, attempt.began_at)
        lease = attempt.lease
        letter = Letter(
            command,
            f"{lease.cause}/{_name_of(event)}",
            origin=origin,
            answer=_HandedIn(self, attempt, outcome),
            fence=Fence(lease.task_id, lease.attempt, lease.epoch),
            basis=attempt.basis,
            patient=True,
        )
        self._dispatcher.post(PLAN, lease.aggregate_id, letter, now=now)

    async def report_outcome(
        self, attempt: Attempt, outcome: Outcome, fault: BaseException | None = None
    ) -> None:
        """Report how an attempt ended. ``fault``: why that could not be recorded before.

        Raises:
            LeaseLost: the task has passed to another worker.
            CorruptLog: the plan cannot be written here.
        """
        try:
            await self.report(attempt, outcome, began_at=attempt.began_at, fault=fault)
        except (LeaseLost, CorruptLog):
            raise
        except Exception as fault:  # what cannot be recorded must not leave the task hanging
            unknown = _unrecordable(attempt.lease, outcome, fault)
            await self.report(attempt, unknown, began_at=attempt.began_at)

    async def report(
        self,
        attempt: Attempt,
        event: ExecutorEvent,
        *,
        began_at: float = 0.0,
        fault: BaseException | None = None,
    ) -> Sequence[Any]:
        """Deliver, again and again while the store cannot write: the result must not be lost.
        What an operator has to put right (a server that is read-only since a failover, a password
        that was changed) counts as that. What the executor does to ``event`` later changes
        nothing. ``fault``: of an earlier delivery. Returns the events that it caused."""
        event = _recordable(event)
        lease, began = attempt.lease, time.monotonic()
        command, origin = self._command(lease, event, began_at)
        pause, repeated = 0.05, False
        while True:
            try:
                if fault is not None:
                    raise fault
                events: Sequence[Any] = await self._dispatcher.send(
                    PLAN,
                    lease.aggregate_id,
                    command,
                    command_id=f"{lease.cause}/{_name_of(event)}",
                    fence=Fence(lease.task_id, lease.attempt, lease.epoch),
                    origin=origin,
                    basis=attempt.basis,
                )
                if repeated and not events and isinstance(event, StepBegun | StepCompleted):
                    events = await self._recorded_before(lease, event)
            except LeaseLost:
                self.fenced += 1
                raise
            except (Transient, ConfigurationError) as passing:
                self._trouble(passing)
                fault, repeated = None, True
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                self.recorded(lease, events, began)
                return events

    def recorded(self, lease: Lease, events: Sequence[Any], began: float) -> None:
        """A report is in the log; it began at this time (``time.monotonic()``). If the
        observer raises an exception, the report counts all the same."""
        self.durations.add(time.monotonic() - began)
        try:
            self._reported(lease.aggregate_id, events)
        except Exception as fault:
            self._trouble(as_planfold_error(fault, about="the observer: "))

    def _command(
        self, lease: Lease, event: ExecutorEvent, began_at: float
    ) -> tuple[HandleExecutorEvent, Metadata]:
        """The report of ``event`` and where it comes from."""
        now = round(self._store.clock(), 4)  # as precise as the log holds times
        jitter = int(random.random() * JITTERS) / JITTERS
        recorded = jitter if isinstance(event, TaskFailed | OutcomeUnknown) else None
        origin = Metadata(
            worker=self._owner, claimed_at=lease.claimed_at, began_at=began_at, jitter=recorded
        )
        task_id, attempt = lease.task_id, lease.attempt
        return HandleExecutorEvent(task_id, event, attempt, now, jitter, lease.epoch), origin

    async def _recorded_before(
        self, lease: Lease, event: StepBegun | StepCompleted
    ) -> list[StepStarted | StepRecorded]:
        """The events of an earlier delivery of the same report, whose answer was lost."""
        planner = await self._dispatcher.view(PLAN, lease.aggregate_id)
        assert isinstance(planner, Planner)
        state, task_id, key = planner.state, lease.task_id, event.key
        if isinstance(event, StepBegun):
            begun = state.has_begun(task_id, key, lease.epoch)
            return [StepStarted(task_id, key, epoch=lease.epoch)] if begun else []
        task, steps = state.tasks.get(task_id), state.steps(task_id)
        ours = task is not None and task.attempt == lease.attempt
        if ours and key in steps and steps[key] == event.value:
            return [StepRecorded(task_id, key, event.value, event.spent)]
        return []


class _HandedIn:
    """The answer to a report that was handed in."""

    __slots__ = ("_attempt", "_began", "_done", "_outcome", "_reporter")

    def __init__(self, reporter: Reporter, attempt: Attempt, outcome: Outcome) -> None:
        self._reporter = reporter
        self._attempt = attempt
        self._outcome = outcome
        self._began = time.monotonic()
        self._done = False

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return False

    def set_result(self, events: list[Any], /) -> None:
        self._done, fault = True, None
        try:
            self._reporter.recorded(self._attempt.lease, events, self._began)
        except Exception as of_observer:
            fault = of_observer
        self._reporter.over(self._attempt, self._outcome, fault)

    def set_exception(self, fault: BaseException, /) -> None:
        self._done = True
        self._reporter.over(self._attempt, self._outcome, fault)


def _recordable(event: R) -> R:
    if isinstance(event, TaskCompleted) and event.result is None:
        return event
    return as_recorded(event)


def _ignore(*_: object) -> None:
    pass


def _name_of(event: ExecutorEvent) -> str:
    name = type(event).__name__
    return f"{name}:{event.key}" if isinstance(event, _STEPS) else name


def _unrecordable(lease: Lease, outcome: Outcome, fault: Exception) -> Outcome:
    """An outcome that the log can hold, in place of one that it cannot. A task that completed has
    had its effect, so this must not count as a failure."""
    if isinstance(outcome, TaskCompleted):
        reason = f"it ran to its end, but its result cannot be recorded: {as_text(fault)}"
        return OutcomeUnknown(reason, lease.started_at, ended=True)
    return TaskFailed(f"its outcome cannot be recorded: {as_text(fault)}", retryable=False)
