"""``Process``: a process of a simulation, with an app and a worker."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from planfold.app import App
from planfold.errors import CommandRejected, PlanfoldError
from planfold.eventstore.port import EventStore
from planfold.runtime.aggregate import PLAN, SCHEDULES, SIGNALS
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.letter import Letter
from planfold.runtime.settings import Settings
from planfold.signals.inbox import GiveSignal
from tests.simulation.event_loop import OWNER
from tests.simulation.plans import LIMITS
from tests.simulation.records import Records
from tests.simulation.stores import Line
from tests.simulation.tools import simulated_executors

if TYPE_CHECKING:
    from tests.simulation.world import World

AGGREGATES = (PLAN, SIGNALS, SCHEDULES)
PATIENCE_S = 600.0  # of simulated time, in which a plan must advance once nothing fails any more


class Told(Dispatcher):
    """Its callers hear only of what the log holds."""

    def __init__(self, records: Records, store: EventStore, *, every_step: bool) -> None:
        super().__init__(store, every_step=every_step)
        self._records = records

    async def send(self, aggregate: Any, aggregate_id: str, command: Any, **rest: Any) -> list[Any]:
        since = self._records.length(aggregate_id)
        try:
            events = await super().send(aggregate, aggregate_id, command, **rest)
        except CommandRejected:
            self._records.refused(aggregate, aggregate_id, command, since, rest)
            raise
        if not events and not isinstance(command, GiveSignal):  # that one was given before
            self._records.refused(aggregate, aggregate_id, command, since, rest)
        self._records.shown(aggregate_id, events, f"the sender of {type(command).__name__}")
        return events

    def post(self, aggregate: Any, aggregate_id: str, letter: Letter, **options: Any) -> None:
        if letter.patient:
            letter.answer = ToldLater(letter, self._records, aggregate, aggregate_id)
        super().post(aggregate, aggregate_id, letter, **options)


class ToldLater:
    """The answer to a report for which no task waits."""

    def __init__(self, letter: Letter, records: Records, aggregate: Any, plan_id: str) -> None:
        self._answer, self._command = letter.answer, letter.command
        self._records, self._aggregate, self._plan_id = records, aggregate, plan_id
        self._since = records.length(plan_id)
        self.done, self.cancelled = self._answer.done, self._answer.cancelled

    def set_result(self, events: list[Any], /) -> None:
        if not events:
            self._refused()
        self._records.shown(self._plan_id, events, "the worker that reports")
        self._answer.set_result(events)

    def set_exception(self, fault: BaseException, /) -> None:
        if isinstance(fault, CommandRejected):
            self._refused()
        self._answer.set_exception(fault)

    def _refused(self) -> None:
        self._records.refused(self._aggregate, self._plan_id, self._command, self._since, {})


class Process:
    """It observes its worker."""

    def __init__(self, world: World, number: int) -> None:
        self.alive = True
        self.stalled_until = 0.0
        self.number = number
        self.store: Any = None
        self.app: Any = None
        self.worker: Any = None
        self.stopping = asyncio.Event()
        self._world = world
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)
        self._asked: dict[asyncio.Future[None], None] = {}  # ends of questions of people
        self._open()
        self.spawn(self._work())

    def _open(self) -> None:
        world = self._world
        self.store = world.backend.open(self, Line(world.faults, self.crash, self.note))
        settings = Settings(
            concurrency=world.concurrency, drain_s=world.drain_s, workspace="/", limits=LIMITS
        )
        executors = simulated_executors(world.runs, world.faults, self.number)
        self.app = App(self.store, executors, settings, AGGREGATES)
        self.app.dispatcher = Told(world.records, self.store, every_step=world.every_step)

    def __str__(self) -> str:
        return f"process {self.number}"

    def note(self, text: str) -> None:
        self._world.note(f"{self}: {text}")

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        return self._context.run(asyncio.ensure_future, work)  # type: ignore[arg-type]

    def call_later(self, seconds: float, callback: Any, *arguments: Any) -> None:
        """Let something happen in this process, if it lives then."""
        self._context.run(self._world.loop.call_later, seconds, callback, *arguments)

    async def _work(self) -> None:
        while True:
            self.stopping.clear()
            self.worker = self.app.worker(observer=self)
            self._world.runs.processes[self.worker.owner] = self.number
            self.note(f"starts {self.worker.owner}")
            async with self.worker:
                await self.stopping.wait()
            self.note("stopped its worker")

    def crash(self) -> None:
        if self.alive:
            self.note("crashes")
            self.alive = False
            self._world.loop.end(self)
            for over in self._asked:
                _resolve(over)

    async def ask(self, question: Awaitable[Any]) -> Any:
        """What a person who uses this process gets; raises ConnectionError when it ends, or when
        they do not wait for the answer."""
        asking, loop = self.spawn(question), self._world.loop
        if self._world.faults.happens("person", 0.3):
            late = self._world.faults.of("person").choice((0.0, 0.0001, 0.001, 0.1))
            loop.call_later(late, asking.cancel)
        over: asyncio.Future[None] = loop.create_future()
        asking.add_done_callback(lambda _: _resolve(over))
        self._asked[over] = None
        timer = loop.call_later(2 * PATIENCE_S, _resolve, over)
        await over
        timer.cancel()
        self._asked.pop(over, None)
        if not asking.done() and self.alive:
            self._world.violated(f"{self} gave no answer to a person")
        if not asking.done():
            raise ConnectionError("the process has ended")
        if asking.cancelled():
            raise ConnectionError("the person did not wait")
        return asking.result()

    def reported(self, aggregate_id: str, events: Any) -> None:
        self._world.records.shown(aggregate_id, events, "an observer")

    async def see(self) -> None:
        """Nothing happens any more: what this process knows of the log is what it holds."""
        await self.store.look()
        mailboxes = self.app.dispatcher._mailboxes
        for plan in self._world.records.plans.values():
            if (PLAN.stream_id, plan.id) in mailboxes:
                version = (await self.app.dispatcher.view(PLAN, plan.id)).state.version
                if version != len(plan.log):
                    self._world.violated(f"{plan.id} is at {len(plan.log)}; {self} sees {version}")

    def trouble(self, fault: PlanfoldError) -> None:
        self.note(f"trouble: {fault}")

    def busy(self) -> list[str]:
        """What has not come to rest."""
        if not self.alive or self.worker is None:
            return []
        found, slots = [], self.worker._slots
        if slots.reserved or slots.running or self.worker.running:
            found.append(
                f"{self}: {slots.running} slots taken, "
                f"{sorted(slots.reserved)} reserved, {self.worker.running} attempts"
            )
        for mailbox in self.app.dispatcher._mailboxes.values():
            if mailbox.busy or mailbox.held or mailbox.waiting:
                found.append(f"{self}: mailbox {mailbox.aggregate_id}")
        return found


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
