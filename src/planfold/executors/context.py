"""``TaskContext``: what a running attempt knows and may say, and its durable steps."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from planfold.executors.cancellation import Cancellation
from planfold.executors.journal import NOTE_LIMIT, Asking, BudgetUsedUp, Journal, Report
from planfold.executors.recordable import as_text
from planfold.planner.budget import Spend
from planfold.planner.commands import (
    ExecutorEvent,
    NeedsClarification,
    StepBegun,
    TaskProgressed,
    TasksProposed,
)
from planfold.planner.events import Event, PlanApproved, PlanRevised
from planfold.planner.items import id_text
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskSpec
from planfold.tools.redaction import Redactor

__all__ = ["Asking", "BudgetUsedUp", "Journal", "Report", "TaskContext", "WhyNotFetch"]

PROGRESS_INTERVAL = 1.0  # seconds between two recorded notes of one attempt

# Why a redirect to a URL may not be followed, or None; and whether all headers would be sent there.
WhyNotFetch = Callable[[str, bool], str | None]

T = TypeVar("T")


class TaskContext:
    """The interface of a running attempt to its plan. A worker makes one for each attempt.

    - ``plan_id``, ``task`` and ``attempt`` (from 1) say what runs; ``plan`` is the state of the
      whole plan, for reading: it changes while the attempt runs, and may show results that are
      not durable yet and that a crash forgets.
    - ``arguments`` are the tool call's, with references resolved. For an attempt that is not
      ``safe`` they are always durable.
    - ``idempotency_key`` is the same for all attempts of one run of a task.
    - ``cancelled`` is set when the attempt should stop: end within 10 s, or be interrupted.
    - ``workspace`` is where files belong; ``files_dir`` is for output that is too long for the log.

    What :meth:`once`, :meth:`paid` and :meth:`ask` return is durable: later attempts get it again.
    In a sync tool, which runs in a thread, call them through :meth:`wait`.

    Example:
        import planfold
        from planfold.testing import run_tool

        @planfold.tool(effect="safe")
        async def fetch_all(urls: list[str], context: planfold.TaskContext) -> list[str]:
            pages = []
            for number, url in enumerate(urls, 1):
                pages.append(await context.once(url, lambda url=url: f"page of {url}"))
                await context.progress(f"{number} of {len(urls)}")
            return pages

        run = await run_tool(fetch_all, {"urls": ["a", "b"]}, steps={"a": "fetched before"})
        print(run.result)  # ['fetched before', 'page of b']
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
        self.idempotency_key = f"{plan_id}/{id_text(task.spec.id)}/{task.run}"
        self.cancelled = Cancellation()
        self.workspace = workspace
        self.files_dir = files_dir
        self._plan = plan or PlannerState()
        self.call = ""  # the inner call that this is the context of, else empty
        # What takes the values of secrets out of reports and output, where there are any; and
        # why a URL may not be followed to, where a policy bounds that.
        self.redactor: Redactor | None = None
        self.why_not_fetch: WhyNotFetch | None = None
        self.heed_retry_after: Callable[[float], None] | None = None
        self.journal = Journal(report, steps, set(self._plan.begun_by_task.get(task.spec.id, ())))
        self._outer: TaskContext | None = None
        self._loop = _running_loop()
        self._last_note = float("-inf")  # loop time
        self._waiting_note: str | None = None
        self._note_timer: asyncio.TimerHandle | None = None
        self._note_task: asyncio.Task[None] | None = None

    @property
    def plan(self) -> PlannerState:
        """The state of the whole plan, for reading."""
        self._plan.tasks.values()  # decodes those that the state has from a snapshot
        return self._plan

    @property
    def progressed_at(self) -> float:
        """When there was progress last, by ``time.monotonic()``."""
        return self.journal.course.progressed_at

    def cancel(self) -> None:
        """Ask the attempt to stop: sets ``cancelled`` and calls those who watch it."""
        self.cancelled.set()

    def touch(self) -> None:
        """Say that there is progress, without a note: it keeps ``stall_timeout`` from ending the
        attempt. Notes, durable steps, and the output of commands and requests do so as well. May be
        called from any thread."""
        self.journal.course.progressed_at = time.monotonic()

    def retry_after(self, seconds: float) -> None:
        """Say that a server asked to wait so many seconds (``Retry-After``): no task under a rate
        limit of this one starts before that, on any worker. A day at most; without limits it does
        nothing. May be called from any thread."""
        context = self
        while context._outer is not None:
            context = context._outer
        if context.heed_retry_after is not None:
            context.heed_retry_after(seconds)

    async def progress(self, note: str) -> None:
        """Record a note about the attempt's progress in the log.

        At most one note a second is recorded. An earlier note waits until the second has passed,
        and a newer one replaces it; so the newest is recorded, except when the attempt ends
        first. Notes are cut at 1,000 characters. Every call counts as progress for
        ``stall_timeout``.
        """
        self.touch()
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
        await self.journal.report(TaskProgressed(note))

    async def report(self, event: ExecutorEvent) -> Sequence[Event]:
        """Report something about the plan instead of this attempt's outcome: tasks that a model
        proposes, a summary. Returns the resulting events. A repeated report changes nothing."""
        return await self.journal.report(event) or ()

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """Run ``function`` (sync, in a thread, or async) durably: once its value is recorded,
        later attempts get that value instead of running it again.

        Returns the value as recorded, that is, converted to JSON and back (a tuple becomes a
        list), so that every attempt gets the same. Calls with the same key wait for each other.
        An exception of ``function`` passes through and nothing is recorded. After a crash between
        the end of ``function`` and the record it runs again, so it must tolerate that, or use
        ``idempotency_key``. Every call returns a copy of its own.

        Raises Permanent when the value is not JSON, and PlanfoldError when the attempt is over (a
        thread may outlive its timeout) or lost to another worker: ``function`` is then not run,
        or its value not recorded. The same holds for :meth:`paid` and :meth:`ask`.
        """
        return await self.journal.once(key, function)

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
        """Like :meth:`once`, for a step that costs something: ``reserve`` is first reserved in
        the plan's budget, and then replaced by the amount that ``function`` reports as spent.

        The argument of ``function`` says whether the step had begun in an earlier attempt that
        was interrupted. Raises BudgetUsedUp, which ends the attempt, where the plan may not
        spend that much; ``partial`` is then shown to the person who decides.
        """
        begun = StepBegun(key, about, request_hash, reserve, partial)
        return await self.journal.paid(key, function, begun)

    async def propose(self, tasks: Sequence[TaskSpec], *, replace: bool = False) -> None:
        """Add tasks to the plan, from its drafting task; with ``replace`` they replace all tasks
        that have not started. Tasks that the plan already has change nothing.

        Raises BudgetUsedUp, which ends the attempt, where the plan may not have that many tasks,
        and CommandRejected where the plan cannot take them.
        """
        events = await self.journal.report(TasksProposed(tuple(tasks), replace))
        if events and not any(isinstance(event, PlanRevised | PlanApproved) for event in events):
            raise BudgetUsedUp(NeedsClarification("the plan's budget is used up"))

    def was_cut_off(self, key: str) -> bool:
        """Whether a paid step began and its end was not recorded."""
        return self.journal.was_cut_off(key)

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

        So code before it runs again, except for steps that :meth:`once` has recorded. ``key``
        names the question within the task. Call it outside of ``try`` blocks that catch
        BaseException. ``deadline``: seconds until ``default`` applies.
        """
        asked = NeedsClarification(question, tuple(choices), default, deadline)
        return self.journal.ask(key, asked)

    @property
    def recorded_steps(self) -> int:
        """How many inner steps are recorded."""
        return len(self.journal)

    def recorded(self, key: str) -> bool:
        """Whether a step's value is recorded."""
        return key in self.journal

    def inner(self, call: str, arguments: dict[str, Any]) -> TaskContext:
        """The context of a tool call within this attempt: with arguments, an idempotency key and
        durable steps of its own; the same cancellation. ``call`` names it within the task, the
        same on every attempt."""
        context = copy.copy(self)
        context.call = f"{self.call}{call}"
        context.arguments = arguments
        context.idempotency_key = f"{self.idempotency_key}/{call}"
        context.journal = self.journal.inner(call)
        context._outer = self
        return context

    def guarded(
        self,
        arguments: dict[str, Any],
        redactor: Redactor | None,
        why_not_fetch: WhyNotFetch | None = None,
    ) -> TaskContext:
        """The same call with the secrets in its arguments resolved; ``redactor`` takes them out
        of what it reports."""
        context = copy.copy(self)
        context.arguments = arguments
        context.redactor = redactor
        context.why_not_fetch = why_not_fetch
        context.journal = self.journal.guarded(redactor)
        context._outer = self
        return context

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
        """End the attempt: no step may begin, and a note that still waits is dropped."""
        self.journal.course.ended = True
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
        # This is not awaited; a note that cannot be recorded must not fail the attempt.
        with contextlib.suppress(Exception):
            await self.journal.report(TaskProgressed(note))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
