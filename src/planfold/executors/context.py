"""``TaskContext``: what a running attempt knows and may say, and its durable steps."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from planfold.errors import LeaseLost
from planfold.executors.cancellation import Cancellation
from planfold.tools.redaction import Redactor
from planfold.executors.recordable import as_text, recordable
from planfold.executors.threads import run_in_thread
from planfold.planner.commands import (
    ExecutorEvent,
    NeedsClarification,
    StepAbandoned,
    StepBegun,
    StepCompleted,
    TaskProgressed,
    TasksProposed,
)
from planfold.planner.events import Event, PlanApproved, PlanRevised, StepStarted
from planfold.planner.spending import Spend
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskSpec

PROGRESS_INTERVAL = 1.0  # seconds between two recorded notes of one attempt
NOTE_LIMIT = 1_000  # characters

T = TypeVar("T")


Report = Callable[[ExecutorEvent], Awaitable[Sequence[Event] | None]]


class Asking(BaseException):
    """Ends an attempt with a question; the next attempt finds the answer.

    Not an Exception, so that a tool's ``except Exception`` does not take it for a fault.
    """

    def __init__(self, question: NeedsClarification) -> None:
        self.question = question
        super().__init__(question.question)


class BudgetUsedUp(Asking):
    """The plan may not spend what a step would cost; the plan has put the question already."""


class TaskContext:
    """What a running attempt may know and say.

    ``arguments`` are the tool call's, references resolved. ``idempotency_key`` is the same for
    all attempts of one run of a task. ``cancelled`` is set when the attempt should stop: finish
    cleanly within 10 s or be killed. ``workspace`` is where files belong, ``files_dir`` where
    output too long for memory goes. ``plan`` is the whole plan's state, for reading: it goes on
    changing while the attempt runs, as far as this process sees it.

    The worker makes one per attempt, on the event loop, and calls ``close()`` when it is over.
    """

    def __init__(
        self,
        *,
        plan_id: str,
        task: Task,
        arguments: dict[str, Any],
        report: Report,
        steps: dict[str, Any],
        workspace: Path,
        files_dir: Path,
        plan: PlannerState | None = None,
    ) -> None:
        self.plan_id = plan_id
        self.task = task
        self.arguments = arguments
        self.attempt = task.attempt
        self.idempotency_key = f"{plan_id}/{task.id}/{task.run}"
        self.cancelled = Cancellation()
        self.workspace = workspace
        self.files_dir = files_dir
        self.plan = plan or PlannerState()
        self.call = ""  # the inner call that this is the context of, else empty
        # What takes the values of secrets out of reports and output, where there are any; and
        # why a URL may not be followed to, where a policy bounds that.
        self.redactor: Redactor | None = None
        self.why_not_fetch: Callable[[str], str | None] | None = None
        self._report = report
        self._begun = set(self.plan.begun(task.id))
        self._outer: TaskContext | None = None
        self._prefix = ""  # of the keys of an inner call's steps
        self._steps = steps
        self._step_locks: dict[str, asyncio.Lock] = {}
        self._loop = _running_loop()
        self._last_note = float("-inf")  # loop time
        self._waiting_note: str | None = None
        self._note_timer: asyncio.TimerHandle | None = None
        self._note_task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Ask the attempt to stop: sets ``cancelled`` and calls those who watch it."""
        self.cancelled.set()

    async def progress(self, note: str) -> None:
        """Tell those who watch how far the attempt is; recorded in the log.

        At most one note a second is recorded. One that comes sooner waits until the second is
        over, and a newer one takes its place; so the newest is never lost, except when the
        attempt ends before: then its outcome says more. Cut at 1,000 characters.
        """
        if self.redactor is not None:
            note = self.redactor.text(as_text(note))
        if self._outer is not None:
            await self._outer.progress(note)
            return
        note = as_text(note)[:NOTE_LIMIT]
        loop = asyncio.get_running_loop()
        wait = self._last_note + PROGRESS_INTERVAL - loop.time()
        if self._note_timer is not None or wait > 0:
            self._waiting_note = note
            if self._note_timer is None:
                self._note_timer = loop.call_later(wait, self._send_waiting_note)
            return
        self._last_note = loop.time()
        await self._report(TaskProgressed(note))

    async def report(self, event: ExecutorEvent) -> Sequence[Event]:
        """Say something that is about the plan and not this attempt's outcome: tasks that a model
        proposes, a summary. Returns the events it led to. Saying it again changes nothing."""
        return await self._report(event) or ()

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """Run ``function`` (sync, in a thread, or async) durably: once its value is recorded,
        later attempts get that value instead of running it again.

        Returns the value as it was recorded, that is after a trip through JSON (a tuple comes
        back as a list), so that every attempt sees the same. Calls with the same key wait for
        each other. What ``function`` raises passes through and nothing is recorded. A crash
        between the end of ``function`` and the record runs it again: it needs to bear that, or
        to pass ``idempotency_key`` on. Raises Permanent when the value is not JSON.
        """
        key = self._prefix + key
        if key in self._steps:
            return self._steps[key]
        async with self._step_locks.setdefault(key, asyncio.Lock()):
            if key not in self._steps:
                value = self._recordable(key, await _call(function))
                await self._report(StepCompleted(key, value))
                self._steps[key] = value
            return self._steps[key]

    async def paid(
        self,
        key: str,
        function: Callable[[bool], Awaitable[tuple[Any, Spend]]],
        *,
        reserve: Spend,
        about: str = "",
        request_hash: str = "",
        partial: Any = None,
    ) -> Any:
        """Like :meth:`once`, for a step that costs something: ``reserve`` is set aside in the
        plan's budget first, and what ``function`` says it spent takes its place.

        ``function`` is told whether the step had begun in an earlier attempt, which was cut off
        in the middle of it. Raises BudgetUsedUp, which ends the attempt, where the plan may not
        spend that much; ``partial`` is then shown to the person who decides.
        """
        key = self._prefix + key
        async with self._step_locks.setdefault(key, asyncio.Lock()):
            if key in self._steps:
                return self._steps[key]
            again = key in self._begun
            begun = StepBegun(key, about, request_hash, reserve, partial)
            events = await self._report(begun)
            if events and not any(isinstance(event, StepStarted) for event in events):
                raise BudgetUsedUp(NeedsClarification("the plan's budget is used up"))
            if events is not None and not events:  # what is not in the log must not happen
                raise LeaseLost("the attempt is over: its task has stopped meanwhile")
            self._begun.add(key)
            try:
                value, spent = await function(again)
                value = self._recordable(key, value)
            except (Exception, Asking) as fault:
                spent = Spend(calls=1) if isinstance(fault, Exception) else Spend()
                await self._report(StepAbandoned(key, as_text(fault)[:NOTE_LIMIT], spent))
                self._begun.discard(key)
                raise
            await self._report(StepCompleted(key, value, spent))
            self._begun.discard(key)
            self._steps[key] = value
            return value

    async def propose(self, tasks: Sequence[TaskSpec], *, replace: bool = False) -> None:
        """Add tasks to the plan, from its drafting task; with ``replace`` they take the place of
        all that has not started. Tasks that the plan has already change nothing.

        Raises BudgetUsedUp, which ends the attempt, where the plan may not have that many tasks,
        and CommandRejected where the plan cannot take them.
        """
        events = await self._report(TasksProposed(tuple(tasks), replace))
        if events and not any(isinstance(event, PlanRevised | PlanApproved) for event in events):
            raise BudgetUsedUp(NeedsClarification("the plan's budget is used up"))

    def was_cut_off(self, key: str) -> bool:
        """Whether a paid step began and no attempt saw its end."""
        return self._prefix + key in self._begun

    async def ask(
        self,
        key: str,
        question: str,
        *,
        choices: Sequence[str] = (),
        default: str | None = None,
        deadline: float | None = None,
    ) -> str:
        """Ask a person, durably: the first time it ends the attempt (nothing is held while the
        person thinks), and the attempt that the answer starts gets the answer here.

        So what comes before it runs again, except for what :meth:`once` has recorded. ``key``
        names the question within the task. Call it outside of ``try`` blocks that catch
        BaseException. ``deadline``: seconds until ``default`` holds.
        """
        step = f"{self._prefix}ask:{key}"
        if step in self._steps:
            return str(self._steps[step])
        raise Asking(NeedsClarification(question, tuple(choices), default, deadline, key=step))

    def answered(self, key: str) -> str | None:
        """What was answered to :meth:`ask` with this key, if anything was."""
        return self._steps.get(f"{self._prefix}ask:{key}")

    @property
    def recorded_steps(self) -> int:
        """How many inner steps are recorded."""
        return len(self._steps)

    def recorded(self, key: str) -> bool:
        """Whether a step's value is recorded."""
        return self._prefix + key in self._steps

    def inner(
        self, call: str, arguments: dict[str, Any], report: Report | None = None
    ) -> TaskContext:
        """The context of a tool call within this attempt: with arguments, an idempotency key and
        durable steps of its own; the same cancellation. ``call`` names it within the task, the
        same on every attempt. ``report`` may stand between it and the log."""
        context = copy.copy(self)
        context.call = f"{self.call}{call}"
        context.arguments = arguments
        context.idempotency_key = f"{self.idempotency_key}/{call}"
        context._prefix = f"{self._prefix}{call}/"
        context._outer = self
        if report is not None:
            context._report = report
        return context

    def guarded(
        self,
        arguments: dict[str, Any],
        redactor: Redactor | None,
        why_not_fetch: Callable[[str], str | None] | None = None,
    ) -> TaskContext:
        """The same call with the secrets in its arguments resolved; ``redactor`` takes them out
        of what it reports."""
        context = copy.copy(self)
        context.arguments = arguments
        context.redactor = redactor
        context.why_not_fetch = why_not_fetch
        context._outer = self
        if redactor is not None:
            context._report = functools.partial(_report_redacted, self._report, redactor)
        return context

    async def claim(self, key: str, value: Any) -> None:
        """Record a step before what it stands for is done. Raises LeaseLost where the log does
        not take it, because the attempt is over: then it must not be done."""
        key = self._prefix + key
        events = await self._report(StepCompleted(key, value))
        if events is not None and not events:
            raise LeaseLost("the attempt is over: its task has stopped meanwhile")
        self._steps[key] = value

    def _recordable(self, key: str, value: Any) -> Any:
        value = recordable(value, f"the value of step {key!r}")
        return self.redactor.tree(value) if self.redactor is not None else value

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await ``coroutine`` from a sync tool's thread: ``context.wait(context.once(...))``.

        Raises RuntimeError on the event loop's own thread: use ``await`` there.
        """
        if self._loop is None or self._loop is _running_loop():
            coroutine.close()
            raise RuntimeError("context.wait() is for sync tools; here, await the call itself")
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except RuntimeError:
            coroutine.close()  # the loop is gone; keeps Python from warning about it
            raise

    def close(self) -> None:
        """The attempt is over: a note that still waits is dropped."""
        if self._note_timer is not None:
            self._note_timer.cancel()
            self._note_timer = None
        self._waiting_note = None

    def _send_waiting_note(self) -> None:
        self._note_timer = None
        note, self._waiting_note = self._waiting_note, None
        if note is not None:
            self._last_note = asyncio.get_running_loop().time()
            self._note_task = asyncio.ensure_future(self._report_quietly(note))

    async def _report_quietly(self, note: str) -> None:
        # Nobody awaits this; a note that cannot be recorded must not fail the attempt.
        with contextlib.suppress(Exception):
            await self._report(TaskProgressed(note))


async def _report_redacted(
    report: Report, redactor: Redactor, event: ExecutorEvent
) -> Sequence[Event] | None:
    texts = {
        name: redactor.tree(value)
        for name in event.__struct_fields__
        if isinstance(value := getattr(event, name), str | list | dict) and name != "key"
    }
    return await report(msgspec.structs.replace(event, **texts))


async def _call(function: Callable[[], Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function()
    value = await run_in_thread(function)
    return await value if inspect.isawaitable(value) else value


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
