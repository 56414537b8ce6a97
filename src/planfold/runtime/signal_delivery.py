"""``SignalDelivery``: registers waits where their signals are stored, and delivers signals to
plans.

Both directions work alike. A stream that has something for another one is due. A worker sends it to
the other stream, then records that here; if the worker dies in between, the next one sends it
again, which changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from planfold.errors import NotFound
from planfold.eventstore.port import EventStore
from planfold.handler import Handler
from planfold.planner.commands import (
    HandleExecutorEvent,
    RegisterWait,
    TaskCompleted,
)
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task
from planfold.runtime.aggregate import PLAN, SIGNALS
from planfold.runtime.dispatcher import Dispatcher
from planfold.signals.inbox import (
    AwaitSignal,
    ConfirmDelivery,
    KeptSignal,
    SignalInbox,
    WaitPlace,
    inbox_id,
)

KEEP_SIGNALS_S: Final = 7 * 86_400.0
AT_ONCE: Final = 100  # plans that one signal is given to at the same time


class SignalDelivery:
    """``keep_s``: a wait gets signals that came up to so many seconds before it began."""

    def __init__(self, store: EventStore, dispatcher: Dispatcher, keep_s: float) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._keep_s = keep_s

    async def register(self, plan_id: str, _: PlannerState, task: Task) -> None:
        """Register a wait in the inbox of its signal's name and key."""
        await self._await(plan_id, task)
        place = WaitPlace(plan_id, task.id, task.attempt)
        known = RegisterWait(place.task_id, place.attempt)
        name = f"{_name('wait', place)}/registered"
        await self._dispatcher.send(PLAN, plan_id, known, command_id=name)

    async def await_again(self, plan_id: str) -> None:
        """Register all waits of a plan again, also those that its log calls registered: the plan
        may have been copied here without the inboxes. Raises NotFound."""
        plan = await self._dispatcher.view(PLAN, plan_id)
        assert isinstance(plan, Planner)
        for task in [task for task in plan.state.tasks.values() if task.waits]:
            await self._await(plan_id, task)

    async def _await(self, plan_id: str, task: Task) -> None:
        wait = task.spec.wait
        if wait is None or wait.signal is None:
            return
        place = WaitPlace(plan_id, task.id, task.attempt)
        key = plan_id if task.signal_key is None else task.signal_key
        since = (task.waiting_since or self._store.clock()) - self._keep_s
        command = AwaitSignal(wait.signal, key, place, since)
        stream, name = inbox_id(wait.signal, key), _name("wait", place)
        await self._dispatcher.send(SIGNALS, stream, command, command_id=name)

    async def deliver(self, stream: str, handler: Handler[Any, Any]) -> None:
        """Deliver the signals of an inbox to the plans that wait for them."""
        assert isinstance(handler, SignalInbox)
        owed = list(handler.owed.items())
        await take_all([partial(self._deliver_one, stream, *one) for one in owed])

    async def _deliver_one(self, stream: str, place: WaitPlace, signal: KeptSignal) -> None:
        report = HandleExecutorEvent(
            place.task_id, TaskCompleted(signal.data), place.attempt, self._store.clock()
        )
        with suppress(NotFound):  # the plan was archived, or the wait's task is gone
            await self._dispatcher.send(
                PLAN, place.plan_id, report, command_id=f"signal/{signal.id}"
            )
        confirmed = ConfirmDelivery(place)
        name = _name("delivery", place)
        await self._dispatcher.send(SIGNALS, stream, confirmed, command_id=name)


async def take_all(steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run all steps, also after one of them fails, for example on a damaged plan; then raise the
    fault."""
    faults: list[BaseException] = []
    for first in range(0, len(steps), AT_ONCE):
        some = (step() for step in steps[first : first + AT_ONCE])
        found = await asyncio.gather(*some, return_exceptions=True)
        faults += [each for each in found if each is not None]
    if faults:
        raise faults[0]


def _name(what: str, place: WaitPlace) -> str:
    return f"{place.plan_id}/{what}/{place.task_id}/{place.attempt}"
