"""``Journal``: the durable steps of one attempt, and the questions that end it."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from planfold.errors import LeaseLost, PlanfoldError
from planfold.eventstore.codec import own
from planfold.executors.faults import describe_exception
from planfold.executors.recordable import as_text, recordable
from planfold.executors.threads import run_in_thread
from planfold.planner.budget import Spend
from planfold.planner.commands import (
    ExecutorEvent,
    NeedsClarification,
    StepAbandoned,
    StepBegun,
    StepCompleted,
)
from planfold.planner.events import Event, StepStarted
from planfold.tools.redaction import Redactor

NOTE_LIMIT = 1_000  # characters

Report = Callable[[ExecutorEvent], Awaitable[Sequence[Event] | None]]


class Asking(BaseException):
    """Ends an attempt with a question; the next attempt finds the answer.

    Not an Exception, so that a tool's ``except Exception`` does not take it for a fault.
    """

    def __init__(self, question: NeedsClarification) -> None:
        self.question = question
        super().__init__(question.question)


class BudgetUsedUp(Asking):
    """The plan may not spend what a step would cost; the plan has already asked a person."""


class _Course:
    """The state that a journal shares with its copies: whether the attempt has ended, and when
    there was progress last, by ``time.monotonic()``."""

    __slots__ = ("ended", "progressed_at")

    def __init__(self) -> None:
        self.ended = False
        self.progressed_at = time.monotonic()


class Journal:
    """What an attempt has recorded, and what earlier attempts of its task had recorded.

    ``report`` takes executor events to the log, ``steps`` are the recorded values by key, and
    ``begun`` are the paid steps whose end is not recorded. The copies that :meth:`inner` and
    :meth:`guarded` make share the records, the locks and the ``course``: once it has ended, steps
    raise LeaseLost before they call anything.
    """

    def __init__(self, report: Report, steps: dict[str, Any], begun: set[str]) -> None:
        self._report = report
        self._steps = steps
        self._begun = begun
        self._locks: dict[str, asyncio.Lock] = {}
        self._prefix = ""
        self._redactor: Redactor | None = None
        self.course = _Course()

    def _require_open(self) -> None:
        if self.course.ended:  # a thread or task of the tool may outlive the attempt
            raise LeaseLost("the attempt has ended; it cannot begin another step")

    async def report(self, event: ExecutorEvent) -> Sequence[Event] | None:
        """Report an event to the log; this counts as progress."""
        self.course.progressed_at = time.monotonic()
        return await self._report(event)

    def __len__(self) -> int:
        return len(self._steps)

    def __contains__(self, key: str) -> bool:
        """Whether the value of a step is recorded."""
        return self._prefix + key in self._steps

    def was_cut_off(self, key: str) -> bool:
        """Whether a paid step began and its end was not recorded."""
        return self._prefix + key in self._begun

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """See :meth:`TaskContext.once`."""
        self._require_open()
        key = self._prefix + key
        if key in self._steps:
            return own(self._steps[key])
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._steps:
                self._require_open()
                await self._record(key, self._recordable(key, await _call(function)))
            return own(self._steps[key])

    async def paid(
        self,
        key: str,
        function: Callable[[bool], Awaitable[tuple[Any, Spend]]],
        begun: StepBegun,
    ) -> Any:
        """See :meth:`TaskContext.paid`; ``begun`` is recorded first, under this journal's key."""
        key = self._prefix + key
        async with self._locks.setdefault(key, asyncio.Lock()):
            self._require_open()
            if key in self._steps:
                return own(self._steps[key])
            again = key in self._begun
            await self._begin(msgspec.structs.replace(begun, key=key))
            self._require_open()
            try:
                value, spent = await function(again)
                value = self._recordable(key, value)
            except (Exception, Asking) as fault:
                await self._abandon(key, fault)
                raise
            await self._record(key, value, spent)
            self._begun.discard(key)
            return own(value)

    async def _begin(self, begun: StepBegun) -> None:
        events = await self.report(begun)
        if events and not any(isinstance(event, StepStarted) for event in events):
            raise BudgetUsedUp(NeedsClarification("the plan's budget is used up"))
        _require_logged(events)
        self._begun.add(begun.key)

    async def _abandon(self, key: str, fault: BaseException) -> None:
        spent = Spend(calls=1) if isinstance(fault, Exception) else Spend()
        if isinstance(fault, PlanfoldError | Asking):  # its message says it all
            why = as_text(fault)
            why = (self._redactor.text(why) if self._redactor is not None else why)[:NOTE_LIMIT]
        else:
            why = describe_exception(fault, redactor=self._redactor, limit=NOTE_LIMIT)
        await self.report(StepAbandoned(key, why, spent))
        self._begun.discard(key)

    async def claim(self, key: str, value: Any) -> None:
        """Record a step before its effect. Raises LeaseLost if the log refuses it because the
        attempt has ended; the effect must then not happen."""
        self._require_open()
        await self._record(self._prefix + key, value)

    async def _record(self, key: str, value: Any, spent: Spend | None = None) -> None:
        _require_logged(await self.report(StepCompleted(key, value, spent)))
        self._steps[key] = value

    def ask(self, key: str, question: NeedsClarification) -> str:
        """The recorded answer. Raises Asking, which ends the attempt, if there is none yet."""
        self._require_open()
        step = f"{self._prefix}ask:{key}"
        if step in self._steps:
            return str(self._steps[step])
        raise Asking(msgspec.structs.replace(question, key=step))

    def inner(self, prefix: str) -> Journal:
        """The journal of an inner call, whose keys begin with ``prefix``."""
        journal = copy.copy(self)
        journal._prefix = f"{self._prefix}{prefix}/"
        return journal

    def guarded(self, redactor: Redactor | None) -> Journal:
        """The same journal; ``redactor`` takes the values of secrets out of what it records."""
        journal = copy.copy(self)
        journal._redactor = redactor
        if redactor is not None:
            journal._report = functools.partial(_report_redacted, self._report, redactor)
        return journal

    def _recordable(self, key: str, value: Any) -> Any:
        value = recordable(value, f"the value of step {key!r}")
        return self._redactor.tree(value) if self._redactor is not None else value


def _require_logged(events: Sequence[Event] | None) -> None:
    if events is not None and not events:  # what is not in the log must not happen
        raise LeaseLost("the attempt has ended: its task was stopped")


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
