"""``Reporter``: what executors say reaches the plan, under the lease that let them work."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from planfold.errors import ConfigurationError, CorruptLog, LeaseLost, PlanfoldError, Transient
from planfold.eventstore.event_rows import clock_time
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

LONGEST_PAUSE_S = 2.0
_STEPS: Final = (StepBegun, StepCompleted, StepAbandoned)
JITTERS = 1_000_000  # the values that a jitter can have, from 0 to 1


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
    being recorded: see :class:`Observer`."""

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
        self.fenced = 0  # reports that were refused, because the task has passed to another worker
        self.durations = Histogram()  # of reports, until they were recorded

    async def report_outcome(
        self, attempt: Attempt, outcome: Outcome, *, patient: bool = False
    ) -> None:
        """Report how an attempt ended. ``patient``: its commit may wait for further decisions.

        Raises:
            LeaseLost: the task has passed to another worker.
            CorruptLog: the plan cannot be written here.
        """
        try:
            await self.report(attempt, outcome, began_at=attempt.began_at, patient=patient)
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
        patient: bool = False,
    ) -> Sequence[Any]:
        """Deliver, again and again while the store cannot write: the result must not be lost.
        What an operator has to put right (a server that is read-only since a failover, a password
        that was changed) counts as that. What the executor does to ``event`` later changes
        nothing. Returns the events that it caused."""
        if not isinstance(event, TaskCompleted) or event.result is not None:
            event = as_recorded(event)
        lease, began = attempt.lease, time.monotonic()
        command, origin = self._command(lease, event, began_at)
        pause, repeated = 0.05, False
        while True:
            try:
                events = await self._dispatcher.send(
                    PLAN,
                    lease.aggregate_id,
                    command,
                    command_id=f"{lease.cause}/{_name_of(event)}",
                    fence=Fence(lease.task_id, lease.attempt, lease.epoch),
                    origin=origin,
                    basis=attempt.basis,
                    patient=patient,
                )
                if repeated and not events and isinstance(event, StepBegun | StepCompleted):
                    events = await self._recorded_before(lease, event)
            except LeaseLost:
                self.fenced += 1
                raise
            except (Transient, ConfigurationError) as fault:
                self._trouble(fault)
                repeated = True
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                self._reported(lease.aggregate_id, events)
                self.durations.add(time.monotonic() - began)
                return events

    def _command(
        self, lease: Lease, event: ExecutorEvent, began_at: float
    ) -> tuple[HandleExecutorEvent, Metadata]:
        """The report of ``event`` and where it comes from."""
        now = clock_time(self._store.clock())
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
