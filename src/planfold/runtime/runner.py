"""``Runner``: what happens between a lease and the report of its outcome."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from planfold.errors import CorruptLog, LeaseLost
from planfold.eventstore.codec import own
from planfold.eventstore.envelope import version_of
from planfold.eventstore.port import EventStore
from planfold.eventstore.queue import Lease
from planfold.executors.context import TaskContext
from planfold.executors.executor import Executor, Outcome
from planfold.executors.registry import Executors
from planfold.llm.retry_after import heed_retry_after
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, Task, TaskStatus
from planfold.runtime.aggregate import PLAN
from planfold.runtime.attempt import Attempt
from planfold.runtime.attempt_span import OPENTELEMETRY, attempt_span
from planfold.runtime.closings import Closings
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.letter import LOG
from planfold.runtime.reporter import Reporter
from planfold.shared_limits import START_WITHIN_S


class Runner:
    """Finds a lease's task, lets its executor run and reports the outcome.

    ``Leases`` sets two functions. ``decline`` (``Leases._decline``) is called for a task that no
    executor here serves, ``done`` (``Leases._done``) when an attempt's work is over and only its
    report is left. :meth:`Reporter.hand_in` is for the report of a safe one, which waits in no
    task.
    """

    def __init__(
        self,
        store: EventStore,
        dispatcher: Dispatcher,
        executors: Executors,
        reporter: Reporter,
        workspace: Path,
        files_dir: Path,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._executors = executors
        self.reporter = reporter
        self._workspace = workspace
        self._files_dir = files_dir
        self.decline: Callable[[Lease], None]
        self.done: Callable[[Attempt], None]

    def expect_others(self, plan_ids: Iterable[str]) -> None:
        """Note that other workers run tasks of these plans too."""
        for plan_id in plan_ids:
            self._dispatcher.expect_others(PLAN, plan_id)

    async def run(self, attempt: Attempt) -> bool:
        """Run an attempt and report it. ``attempt.to_release`` is None when it was reported;
        else the task has to go back to the queue. Returns whether its report is on its way;
        :meth:`Reporter.hand_in` says what happens then.

        Raises:
            PlanfoldError: the task cannot be read, or its report cannot be recorded.
        """
        lease = attempt.lease
        task, planner = await self._find(attempt)
        if task is None:
            return False
        executor = self._executors.for_task(task.spec)
        if executor is None:
            self.decline(lease)
            return False
        if lease.limits and self._store.clock() > lease.claimed_at + START_WITHIN_S:
            return False  # its start was counted too long ago: it goes back, and is claimed again
        outcome = await self._perform(attempt, executor, task, planner)
        if attempt.basis.failed or (attempt.lost and not isinstance(outcome, TaskCompleted)):
            return False
        if isinstance(outcome, TaskFailed) and attempt.cut_off:
            return False  # because this worker ends
        attempt.to_release = None
        self.done(attempt)
        if task.spec.effect is Effect.Safe:
            attempt.handed_in = True
            self.reporter.hand_in(attempt, outcome, now=attempt.alone)
            return True
        return await self.report(attempt, outcome)

    async def report(
        self, attempt: Attempt, outcome: Outcome, fault: BaseException | None = None
    ) -> bool:
        """Report the outcome of an attempt whose work is over; ``fault`` kept that from being
        recorded before. Returns and raises as :meth:`run`."""
        try:
            await self.reporter.report_outcome(attempt, outcome, fault)
        except LeaseLost:
            pass  # what its new owner reports counts
        except BaseException:
            attempt.to_release = True
            raise
        return False

    async def _perform(
        self, attempt: Attempt, executor: Executor, task: Task, planner: Planner
    ) -> Outcome:
        lease = attempt.lease
        arguments = task.arguments
        if arguments is None:
            arguments = task.spec.tool.arguments if task.spec.tool else {}
        steps = planner.state.steps_by_task.get(lease.task_id)
        context = TaskContext(
            plan_id=lease.aggregate_id,
            task=task,
            arguments=own(arguments) if arguments else {},  # tools may change them
            report=partial(self.reporter.report, attempt),
            steps=own(steps) if steps else {},
            workspace=self._workspace,
            files_dir=self._files_dir,
            plan=planner.state,
        )
        closings = Closings(self._store.queue, lease.limits) if lease.limits else None
        if closings is not None:
            context.heed_retry_after = closings.ask
            heed_retry_after.set(closings.ask)
        attempt.began_at = self._store.clock()
        try:
            if OPENTELEMETRY not in sys.modules:
                return await attempt.perform(executor, context)
            with attempt_span(lease.aggregate_id, lease.cause):
                return await attempt.perform(executor, context)
        finally:
            attempt.to_release = attempt.may_have_acted
            if closings is not None:
                await closings.recorded()

    async def _find(self, attempt: Attempt) -> tuple[Task | None, Planner]:
        lease = attempt.lease
        seen: int | None = 0  # it was dispatched here
        if attempt.basis is LOG:
            # After another worker had it, the log may hold steps of this attempt that we never saw.
            seen = version_of(lease.cause) if lease.epoch == 1 else None
        planner = self._dispatcher.seen(PLAN, lease.aggregate_id, seen)
        if planner is None:
            planner = await self._dispatcher.view(PLAN, lease.aggregate_id, partly=True)
        try:
            task = _current(planner, lease)
        except CorruptLog:  # of a snapshot; what is read next does without it
            task = None
        if task is None or task.stopping:  # perhaps by a command that is not committed yet
            planner = await self._dispatcher.view(PLAN, lease.aggregate_id)
            task = _current(planner, lease)
            if task is not None and task.stopping:
                attempt.cancel()
        assert isinstance(planner, Planner)
        return task, planner


def _current(planner: object, lease: Lease) -> Task | None:
    """The task of a lease, if its attempt may still run."""
    assert isinstance(planner, Planner)
    task = planner.state.tasks.get(lease.task_id)
    if task is None or task.status is not TaskStatus.Running or task.attempt != lease.attempt:
        return None
    return task
