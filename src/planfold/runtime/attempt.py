"""``Attempt``: one leased task from its start to its outcome."""

from __future__ import annotations

import asyncio

from planfold.errors import Permanent
from planfold.eventstore.port import Lease
from planfold.executors.context import Asking, TaskContext
from planfold.executors.executor import Executor, Outcome
from planfold.planner.commands import OutcomeUnknown, TaskFailed
from planfold.planner.tasks import Effect, Task

CANCEL_GRACE_S = 10.0
MAX_STARTS = 5  # workers that may die of a task before it counts as failed


class Attempt:
    """Runs an executor under a timeout and a cancel signal, and never raises: whatever happens
    becomes an outcome. Only the worker's own stop passes through, as CancelledError."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.running: asyncio.Task[None] | None = None
        self.may_have_acted = False  # a task that must not run twice has begun
        self.lost = False  # another worker may have the task by now
        self._context: TaskContext | None = None
        self._cancelled = lease.cancel
        self._forced = False

    def cancel(self) -> None:
        """Ask the executor to stop; after a grace of 10 s it is made to."""
        if self._cancelled and self._context is None:
            return
        self._cancelled = True
        if self._context is not None and not self._context.cancelled.is_set():
            self._context.cancel()
            asyncio.get_running_loop().call_later(CANCEL_GRACE_S, self._force)

    def lose(self) -> None:
        """The lease is gone or may be: stop, and say nothing unless the work is done."""
        self.lost = True
        self.cancel()

    async def perform(self, executor: Executor, context: TaskContext) -> Outcome:
        """Run ``executor`` to its outcome."""
        resumable = getattr(executor, "resumable", False)
        once = context.task.spec.effect is Effect.Once and not resumable
        starts = MAX_STARTS + context.recorded_steps  # a step is progress, and earns a start
        refused = self._refusal(context.task, once, starts)
        if refused is not None:
            return refused
        self._context = context
        self.may_have_acted = once
        timeout = context.task.spec.timeout
        try:
            if timeout is None:
                return await executor.execute(context)
            async with asyncio.timeout(timeout) as limit:
                return await executor.execute(context)
        except asyncio.CancelledError:
            if not self._forced or self.running is None or self.running.uncancel():
                raise
            return self._did_not_stop(once)
        except Asking as asking:
            return asking.question
        except TimeoutError as fault:
            if timeout is not None and limit.expired():
                return TaskFailed(f"timed out after {timeout:g} s")
            return TaskFailed(f"TimeoutError: {fault}")
        except Permanent as fault:
            return TaskFailed(str(fault) or "Permanent", retryable=False)
        except Exception as fault:
            return TaskFailed(f"{type(fault).__name__}: {fault}")
        finally:
            self._context = None
            context.close()

    def _refusal(self, task: Task, once: bool, most_starts: int) -> Outcome | None:
        """Why this attempt must not start at all, if so."""
        lease = self.lease
        if once and lease.starts > 1:
            return OutcomeUnknown("the process that ran it ended before it reported")
        if self._cancelled or task.cancel_requested:
            return TaskFailed("cancelled before it began", retryable=False)
        if lease.starts > most_starts:
            return TaskFailed(f"{most_starts} workers ended while they ran it", retryable=False)
        return None

    def _did_not_stop(self, once: bool) -> Outcome:
        message = f"it did not stop within {CANCEL_GRACE_S:g} s and was cut off"
        if once:
            return OutcomeUnknown(message)
        return TaskFailed(message, retryable=False)

    def _force(self) -> None:
        if self._context is not None and self.running is not None:
            self._forced = True
            self.running.cancel()
