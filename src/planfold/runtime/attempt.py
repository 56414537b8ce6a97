"""``Attempt``: one leased task from its start to its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from planfold.errors import PlanfoldError, Transient
from planfold.eventstore.queue import Lease
from planfold.executors.context import Asking, TaskContext
from planfold.executors.executor import CUT_OFF, Executor, Outcome
from planfold.executors.faults import describe_exception, is_permanent, leaves
from planfold.planner.commands import OutcomeUnknown, TaskFailed
from planfold.planner.tasks import Effect
from planfold.runtime.letter import LOG, Basis
from planfold.runtime.stalls import stall_limit

Key = tuple[str, int]
"""Aggregate and task: a worker runs one attempt of a task at a time."""

CANCEL_GRACE_S = 10.0
UNSTOPPABLE_S = 20.0  # longer than the grace that executors give what they run
CLOSED_S = 1.0
MAX_CRASHES = 5  # workers that may die of a task before it counts as failed


class Attempt:
    """Runs an executor under a timeout and a cancel signal, and never raises: everything that
    happens becomes an outcome. Only the worker's own stop passes through, as CancelledError;
    ``stopping`` distinguishes it from an executor that cancels itself. ``basis``: the commit that
    dispatched it, which may not be durable yet."""

    def __init__(self, lease: Lease, stopping: Callable[[], bool], basis: Basis = LOG) -> None:
        self.lease = lease
        self.basis = basis
        self.running: asyncio.Task[None] | None = None
        self.may_have_acted = False  # a task that must not run twice has begun
        self.lost = False  # another worker may have the task by now
        # Unless None, it ends without a report: its task is released, as started or not.
        self.to_release: bool | None = False
        self.alone = False  # when its work was over, nothing else ran
        self.handed_in = False  # its report is on its way, and no task waits for that
        self.began_at = 0.0  # seconds since the epoch
        self._stopping = stopping
        self._context: TaskContext | None = None
        self._cancelled = lease.cancel
        self._forced = False

    @property
    def identity(self) -> tuple[str, int, int, int]:
        """Aggregate, task, attempt and epoch: what the lease is for."""
        return identity(self.lease)

    @property
    def cut_off(self) -> bool:
        """Whether the stop of the worker has cancelled the attempt, even if the executor ignores
        that."""
        return self.running is not None and self.running.cancelling() > 0 and self._stopping()

    @property
    def reports(self) -> bool:
        """Whether it runs, or its report is on its way."""
        return self.handed_in or (self.running is not None and not self.running.done())

    def cancel(self) -> None:
        """Ask the executor to stop; after a grace of 10 s it is made to."""
        if self._cancelled and self._context is None:
            return
        self._cancelled = True
        if self._context is not None and not self._context.cancelled.is_set():
            self._context.cancel()
            asyncio.get_running_loop().call_later(CANCEL_GRACE_S, self._force)

    def lose(self) -> None:
        """The lease is lost, or may be: stop the executor, begin no further step, and report
        nothing unless the work is complete."""
        self.lost = True
        if self._context is not None:
            self._context.journal.course.ended = True
        self.cancel()

    async def perform(self, executor: Executor, context: TaskContext) -> Outcome:
        """Run ``executor`` to its outcome."""
        resumable = getattr(executor, "resumable", False)
        once = context.task.spec.effect is Effect.Once and not resumable
        refused = self._refusal(context, once)
        if refused is not None:
            # It began, if at all, in a process that has ended.
            self.began_at = (self.lease.started_at or 0.0) if self.lease.starts > 1 else 0.0
            return refused
        self._context = context
        self.may_have_acted = once
        try:
            if context.task.spec.timeout is None and context.task.spec.stall_timeout is None:
                outcome = await executor.execute(context)
                return self._honest(outcome, once) if once else outcome
            return self._honest(await _in_time(executor, context), once)
        except _Overdue as overdue:
            said = str(overdue)
            return self._unknown(said) if once else TaskFailed(said)
        except asyncio.CancelledError:
            if not self._stopping():
                return self._cancelled_here(once)
            if not once or self.lost:
                raise
            return self._unknown(CUT_OFF)  # a person can answer before another worker starts
        except Asking as asking:
            return asking.question
        except BaseException as fault:
            if not isinstance(fault, Exception) and self._ends_with(fault):
                raise
            return self._honest(_failure(fault), once)
        finally:
            self._context = None
            context.close()

    def _refusal(self, context: TaskContext, once: bool) -> Outcome | None:
        """Why this attempt must not start; None if it may."""
        lease, task = self.lease, context.task
        if once and lease.starts > 1:
            return OutcomeUnknown(CUT_OFF, lease.started_at)
        if self._cancelled:
            return TaskFailed("cancelled before it began", retryable=False)
        if lease.crashes < MAX_CRASHES:
            return None
        most_crashes = MAX_CRASHES + context.recorded_steps  # a step is progress: one more crash
        if lease.crashes >= most_crashes:
            work = f"the tool {task.tool.name!r}" if task.tool else "its executor"
            return TaskFailed(
                f"{most_crashes} workers lost it while they ran it: {work} ends the process, or "
                "blocks its event loop for longer than a lease",
                retryable=False,
            )
        return None

    def _cancelled_here(self, once: bool) -> Outcome:
        """Whether the cancellation came from here and not from the worker's stop: the grace is
        over, or the executor cancelled its own task."""
        while self.running is not None and self.running.cancelling():
            self.running.uncancel()
        if not self._forced:
            return TaskFailed("CancelledError: the executor cancelled itself")
        message = f"it did not stop within {CANCEL_GRACE_S:g} s and was interrupted"
        return self._unknown(message) if once else TaskFailed(message, retryable=False)

    def _honest(self, outcome: Outcome, once: bool) -> Outcome:
        """The outcome to report. An interrupted ``once`` attempt has an unknown outcome, even if
        the executor reports a failure."""
        if not once or not isinstance(outcome, TaskFailed):
            return outcome
        if self._cancelled:
            return self._unknown(outcome.error)
        return self._unknown(CUT_OFF) if self.cut_off else outcome

    def _unknown(self, reason: str) -> OutcomeUnknown:
        return OutcomeUnknown(reason, self.lease.started_at, ended=True)

    def _ends_with(self, fault: BaseException) -> bool:
        """Whether this exception ends the process, the worker or the event loop, and not only the
        executor."""
        if isinstance(fault, KeyboardInterrupt):
            return True
        if any(isinstance(member, asyncio.CancelledError) for member in leaves(fault)):
            return self._stopping()
        try:  # a coroutine that is discarded is closed from outside its task
            return asyncio.current_task() is not self.running
        except RuntimeError:
            return True

    def _force(self) -> None:
        if self._context is not None and self.running is not None:
            self._forced = True
            self.running.cancel()


class _Overdue(Exception):
    """The attempt took too long, or made no progress for too long."""


async def _in_time(executor: Executor, context: TaskContext) -> Outcome:
    spec = context.task.spec
    stall, limit = None, asyncio.timeout(spec.timeout)
    try:
        async with limit, stall_limit(context, spec.stall_timeout) as stall:
            return await executor.execute(context)
    except TimeoutError:
        if limit.expired():
            raise _Overdue(f"timed out after {spec.timeout:g} s") from None
        if stall is not None and stall.expired:
            raise _Overdue(f"stalled: no progress for {spec.stall_timeout:g} s") from None
        raise


def _failure(fault: BaseException) -> Outcome:
    asking = [member for member in leaves(fault) if isinstance(member, Asking)]
    if asking:  # raised within an asyncio.TaskGroup
        return asking[0].question
    said = describe_exception(fault).removeprefix("Permanent: ")
    return TaskFailed(said, retryable=not is_permanent(fault))


def identity(lease: Lease) -> tuple[str, int, int, int]:
    """Aggregate, task, attempt and epoch of a lease."""
    return lease.aggregate_id, lease.task_id, lease.attempt, lease.epoch


def by_own_clock(lease: Lease, asked: float, answered: float) -> Lease:
    """The lease with ``claimed_at`` between the times at which this process ``asked`` for it and
    got the answer. The clock of a database server may be another one, and may have been set since
    then."""
    claimed_at = min(max(lease.claimed_at, asked), answered)
    return lease if claimed_at == lease.claimed_at else replace(lease, claimed_at=claimed_at)


def stop_lost(running: dict[Key, Attempt], leases: Sequence[Lease]) -> None:
    """Stop the attempts that this worker has no lease for any more, and those that were
    cancelled."""
    owned = {(lease.aggregate_id, lease.task_id): lease for lease in leases}
    for key, attempt in running.items():
        lease = owned.get(key)
        if lease is None or identity(lease) != attempt.identity:
            attempt.lose()
        elif lease.cancel:
            attempt.cancel()


async def end_attempts(
    attempts: Sequence[Attempt], trouble: Callable[[PlanfoldError], None]
) -> None:
    """Cancel their tasks. An executor that catches its cancellation is closed where it waits."""
    tasks = {attempt.running: attempt.lease for attempt in attempts if attempt.running}
    stubborn = await _cancelled(list(tasks), UNSTOPPABLE_S)
    if stubborn:
        leases = [tasks[task] for task in stubborn]
        names = ", ".join(sorted({lease.tool or lease.route for lease in leases}))
        said = f"{names} caught CancelledError and did not end within {UNSTOPPABLE_S:g} s"
        trouble(Transient(f"{said}; a tool has to raise it again"))
        for task in stubborn:
            with suppress(RuntimeError):  # it catches this too
                task.get_coro().close()
        await _cancelled(stubborn, CLOSED_S)


async def _cancelled(
    tasks: Sequence[asyncio.Task[None]], within: float
) -> list[asyncio.Task[None]]:
    """Cancel these tasks; returns those that have not ended after ``within`` seconds."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return []
    ended, pending = await asyncio.wait(tasks, timeout=within)
    for task in ended:
        if not task.cancelled():
            task.exception()  # it was reported, or says that its coroutine is closed
    return list(pending)
