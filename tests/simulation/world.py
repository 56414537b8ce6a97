"""``World``: processes, people and a database on one seeded event loop."""

from __future__ import annotations

import asyncio
import contextvars
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from random import Random
from types import SimpleNamespace
from typing import Any

from planfold.app import App
from planfold.errors import CommandRejected, PlanfoldError
from planfold.eventstore.wakeup import WORK
from planfold.planner.commands import (
    ApprovePlan,
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    ClarificationProvided,
    CompleteTask,
    HandleExecutorEvent,
    PausePlan,
    RetryTask,
    SkipTask,
    UnpausePlan,
)
from planfold.planner.tasks import NodeKind, PlanStatus, TaskStatus
from planfold.readmodels.replay import Replayer
from planfold.runtime import reporter, slots
from planfold.runtime.attempt import Attempt
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.plan_reader import ENDED
from planfold.runtime.settings import Settings
from tests.simulation.event_loop import OWNER, Deadlock, SimulatedLoop
from tests.simulation.faults import Faults
from tests.simulation.records import Records, Violation
from tests.simulation.stores import (
    Database,
    Line,
    SharedLiveness,
    SimulatedStore,
    empty_database,
)
from tests.simulation.work import make_plan, make_revision, simulated_executors

EPOCH = 1_700_000_000.0
PATIENCE_S = 600.0  # of simulated time, in which a plan must advance once nothing fails any more
LOST_HINT_S = 2.0
MOST_TURNS = 40_000
EMPTY = empty_database()


class Told(Dispatcher):
    """Its callers are told only of what the log holds."""

    def __init__(self, records: Records, store: SimulatedStore, *, every_step: bool) -> None:
        super().__init__(store, every_step=every_step)
        self._records = records

    async def send(self, aggregate: Any, aggregate_id: str, command: Any, **rest: Any) -> list[Any]:
        since = self._records.length(aggregate_id)
        try:
            events = await super().send(aggregate, aggregate_id, command, **rest)
        except CommandRejected:
            self._records.refused(aggregate_id, command, since)
            raise
        if not events:
            self._records.refused(aggregate_id, command, since)
        self._records.shown(aggregate_id, events, f"the sender of {type(command).__name__}")
        return events


class Process:
    """One process with an app and a worker. It observes its worker."""

    def __init__(self, world: World, number: int) -> None:
        self.alive = True
        self.stalled_until = 0.0
        self.number = number
        self._world = world
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)
        self._ended: asyncio.Future[None] = world.loop.create_future()
        self.stopping = asyncio.Event()
        line = Line(world.faults, self.crash, self.note)
        liveness = SharedLiveness(world.workers, world.locks)
        self.store = SimulatedStore(
            world.database, number, line, liveness, hinted=world.hinted, direct=world.direct
        )
        self.app = App(
            self.store,
            simulated_executors(world.records, world.faults, number),
            Settings(concurrency=world.concurrency, drain_s=world.drain_s, workspace="/"),
        )
        self.app.dispatcher = Told(world.records, self.store, every_step=world.every_step)
        self.worker: Any = None
        self.spawn(self._work())

    def note(self, text: str) -> None:
        self._world.note(f"process {self.number}: {text}")

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        return self._context.run(asyncio.ensure_future, work)  # type: ignore[arg-type]

    async def _work(self) -> None:
        while True:
            self.stopping.clear()
            self.worker = self.app.worker(observer=self)
            self._world.records.processes[self.worker.owner] = self.number
            self.note(f"starts {self.worker.owner}")
            async with self.worker:
                await self.stopping.wait()
            self.note("stopped its worker")

    def crash(self) -> None:
        if self.alive:
            self.note("crashes")
            self.alive = False
            if not self._ended.done():
                self._ended.set_result(None)
            self._world.loop.end(self)

    async def ask(self, question: Awaitable[Any]) -> Any:
        """What a person who uses this process gets; raises ConnectionError when it ends, or when
        they do not wait for the answer."""
        asking = self.spawn(question)
        if self._world.faults.happens("person", 0.3):
            late = self._world.faults.of("person").choice((0.0, 0.0001, 0.001, 0.1))
            self._world.loop.call_later(late, asking.cancel)
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        both = [asking, self._ended]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=2 * PATIENCE_S)
        if not (asking.done() or self._ended.done()):
            self._world.violated(f"process {self.number} gave no answer to a person")
        if not asking.done():
            raise ConnectionError("the process has ended")
        if asking.cancelled():
            raise ConnectionError("the person did not wait")
        return asking.result()

    def reported(self, aggregate_id: str, events: Any) -> None:
        self._world.records.shown(aggregate_id, events, "an observer")

    def trouble(self, fault: PlanfoldError) -> None:
        self.note(f"trouble: {fault}")


class World:
    """``run`` lets a seed happen; raises Violation."""

    def __init__(self, seed: int, without: Collection[str] = ()) -> None:
        self.random = Random(f"{seed}/world")
        self.faults = Faults(seed, without)
        choice = self.random.choice
        self.loop = SimulatedLoop(Random(f"{seed}/order"))
        self.offset = 0.0
        self.database = Database(EMPTY, self.clock)
        self.trace: list[str] = []
        self.violation: Violation | None = None
        self.records = Records(self.database, self.violated, self.note)
        self.database.committed = self._committed
        self.workers: dict[str, Any] = {}
        self.locks = choice((True, False))
        self.hinted = choice((True, False))
        self.direct = choice((0.0, 0.5, 0.9))
        self.every_step = self.random.random() < 0.05
        self.concurrency = choice((1, 2, 4, 16))
        self.drain_s = choice((0.0, 0.0, 1.0))
        self.chaos_s = choice((0.3, 1.0, 5.0))
        self.processes: list[Process] = []
        self._count = 0

    # --- what the rest of the world sees ----------------------------------------------------

    def clock(self) -> float:
        return EPOCH + self.loop.time() + self.offset

    def note(self, text: str) -> None:
        self.trace.append(f"{self.loop.time():10.5f} {text}")

    def violated(self, text: str) -> None:
        if self.violation is None:
            self.note(f"VIOLATION {text}")
            self.violation = Violation(text)
            self.loop.stop()

    def _committed(self, by: int) -> None:
        """Hints for the other processes. Where one is lost, they see the change when they poll."""
        changed, self.records.changed = self.records.changed, set()
        for process in self.processes:
            if process.number == by or not process.alive:
                continue
            late = self.faults.of("hint").choice((0.0001, 0.001, 0.05))
            if self.faults.happens("hint", 2.0):
                late = LOST_HINT_S
            process._context.run(self.loop.call_later, late, self._hint, process, changed)

    @staticmethod
    def _hint(process: Process, changed: set[str]) -> None:
        process.store.hints += 1
        process.store.wakeup.notify(WORK, *changed)

    # --- the course of events -----------------------------------------------------------------

    def run(self) -> None:
        with reproducible(self.loop, self.random):
            main = self.loop.create_task(self._main())
            main.add_done_callback(lambda _: self.loop.stop())
            try:
                self.loop.run_forever()
                if self.violation is None and main.done():
                    main.result()
            except Deadlock as fault:
                self.violated(str(fault))
            finally:
                self._discard()
        if self.violation is not None:
            raise self.violation

    def _discard(self) -> None:
        self.faults.over = True
        for process in self.processes:
            process.alive = False
            self.loop.end(process)
        self.loop.end(None)  # type: ignore[arg-type]
        self.loop._ready.clear()  # type: ignore[attr-defined]
        self.loop._scheduled.clear()  # type: ignore[attr-defined]
        self.loop.close()
        self.database.connection.close()

    async def _main(self) -> None:
        self.loop.set_exception_handler(self._unhandled)
        for _ in range(self.random.choice((1, 1, 2, 3))):
            self._start()
        people = [
            asyncio.create_task(self._person(f"plan-{number}"))
            for number in range(self.random.choice((1, 1, 2, 3)))
        ]
        nature = asyncio.create_task(self._nature())
        watch = asyncio.create_task(self._watch_turns())
        await nature
        await asyncio.gather(*people)
        await self._rest()
        watch.cancel()
        self._check_end()

    async def _watch_turns(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self.loop.turns > MOST_TURNS:
                self.violated("it never comes to rest")

    def _unhandled(self, _: Any, context: dict[str, Any]) -> None:
        fault = context.get("exception")
        self.violated(f"unhandled: {context.get('message')}: {fault!r}")

    def _start(self) -> Process:
        self._count += 1
        process = Process(self, self._count)
        self.processes.append(process)
        return process

    def living(self) -> Process:
        """A process that a person may use."""
        living = [process for process in self.processes if process.alive]
        return self.random.choice(living) if living else self._start()

    async def _nature(self) -> None:
        faults, end = self.faults, self.loop.time() + self.chaos_s
        while self.loop.time() < end:
            await asyncio.sleep(self.random.choice((0.001, 0.01, 0.1, 1.0)) * self.random.random())
            for kind, happen in self._happenings().items():
                if faults.happens(kind, 0.5):
                    happen(faults.of(kind))
        faults.over = True
        self.note("nothing fails any more")
        if not any(process.alive for process in self.processes):
            self._start()

    def _happenings(self) -> dict[str, Callable[[Random], None]]:
        return {"crash": self._crash, "stop": self._stop, "stall": self._stall, "clock": self._set}

    def _crash(self, random: Random) -> None:
        self.living().crash()
        if random.random() < 0.8:
            self._start()

    def _stop(self, _: Random) -> None:
        self.living().stopping.set()

    def _stall(self, random: Random) -> None:
        process = self.living()
        seconds = random.choice((0.01, 1.0, 15.0, 50.0))
        process.note(f"stands still for {seconds} s")
        process.stalled_until = self.loop.time() + seconds

    def _set(self, random: Random) -> None:
        self.records.steady = False
        step = random.choice((-100.0, -1.0, 1.0, 35.0, 100.0))
        self.note(f"the clock is set by {step} s")
        self.offset += step

    # --- people -------------------------------------------------------------------------------

    async def _person(self, plan_id: str) -> None:
        random = self.random
        plan = make_plan(random)
        while plan_id not in self.records.plans or not self.records.plans[plan_id].log:
            await self._try(lambda app: app._send(plan_id, plan))
            await asyncio.sleep(0.01 * random.random())
        reading = asyncio.create_task(self._read(plan_id))
        while not self.faults.over:
            await asyncio.sleep(random.choice((0.001, 0.1, 1.0)) * random.random())
            await self._act(plan_id)
        await reading
        await self._see_it_end(plan_id)

    async def _read(self, plan_id: str) -> None:
        """Look at the plan now and then."""
        while not self.faults.over:
            await asyncio.sleep(self.random.choice((0.001, 0.1, 1.0)) * self.random.random())
            await self._view(plan_id)

    async def _try(self, question: Callable[[App], Awaitable[Any]]) -> Any:
        """Ask one of the processes; None where it refuses, fails or ends."""
        with suppress(PlanfoldError, ConnectionError):
            process = self.living()
            return await process.ask(question(process.app))
        return None

    async def _act(self, plan_id: str) -> None:
        """Look at the plan, answer what it asks, or change one's mind."""
        view = await self._view(plan_id)
        if view is None:
            return
        random = self.random
        if view.questions and random.random() < 0.5:
            await self._answer(plan_id, view)
        elif view.status is PlanStatus.AwaitingApproval and random.random() < 0.5:
            await self._send(plan_id, ApprovePlan(view.revision_hash, "a person"))
        elif self.faults.happens("person"):
            command = self._whim(plan_id, view)
            if command is not None:
                await self._send(plan_id, command)

    async def _send(self, plan_id: str, command: Any) -> None:
        self.note(f"a person sends {command!r}"[:200])
        await self._try(lambda app: app._send(plan_id, command))

    async def _view(self, plan_id: str) -> Any:
        view = await self._try(lambda app: app.view(plan_id))
        if view is not None:
            self.records.viewed(view)
        return view

    async def _answer(self, plan_id: str, view: Any) -> None:
        question = self.random.choice(view.questions)
        answer = self.random.choice(question.choices or ("text",))
        result = {"result": {"run": -1}} if question.then == "outcome" and answer == "done" else {}
        report = ClarificationProvided(answer, "a person", **result)
        await self._send(plan_id, HandleExecutorEvent(question.task_id, report, now=self.clock()))

    def _whim(self, plan_id: str, view: Any) -> Any:
        random = self.faults.of("person")
        task = random.choice(view.tasks)
        kinds = ("change", "cancel task", "retry", "revise", "cancel", "pause", "skip", "complete")
        kind = random.choice(kinds)
        if kind == "change":
            asked = [t for t in view.tasks if t.kind is NodeKind.Clarification]
            task = random.choice(asked) if asked else task
            repeat = tuple(t.id for t in view.tasks)
            return ChangeAnswer(task.id, random.choice(("yes", "no")), "a person", repeat)
        if kind == "cancel task":
            return CancelTask(task.id, random.random() < 0.5)
        if kind == "pause":
            tasks = (task.id,) if random.random() < 0.5 else ()
            unpauses = view.paused or any(t.breakpoint for t in view.tasks)
            return UnpausePlan(tasks, "a person") if unpauses else PausePlan(tasks, "a whim")
        if kind in ("skip", "complete"):
            by_hand: dict[str, Any] = {"reason": "a whim", "by": "a person"}
            skips = kind == "skip"
            command = SkipTask(task.id, **by_hand)
            return command if skips else CompleteTask(task.id, {"run": -1}, **by_hand)
        if kind == "retry":
            failed = [
                t for t in view.tasks if t.status in (TaskStatus.Failed, TaskStatus.Cancelled)
            ]
            return RetryTask(random.choice(failed).id) if failed else None
        if kind == "revise":
            return make_revision(random, self.records.plans[plan_id].planner.state)
        return CancelPlan("a whim") if random.random() < 0.3 else None

    async def _see_it_end(self, plan_id: str) -> None:
        """Nothing fails any more: the plan has to advance until it ends or waits for a person."""
        plan = self.records.plans[plan_id]
        waiting = asyncio.create_task(self._try(lambda app: app.result(plan_id)))
        length, since = len(plan.log), self.loop.time()
        while (state := plan.planner.state).status not in ENDED:
            await asyncio.sleep(0.05 if self.loop.time() - since < 5.0 else 2.0)
            if state.status is PlanStatus.AwaitingApproval:  # else a reader would send commits
                await self._send(plan_id, ApprovePlan(state.revision_hash, "a person"))
            elif state.status is PlanStatus.Paused:
                before = () if state.paused else tuple(state.breakpoints)
                await self._send(plan_id, UnpausePlan(before, "a person"))
            elif state.questions and (view := await self._view(plan_id)) and view.questions:
                await self._answer(plan_id, view)
            if len(plan.log) > length:
                length, since = len(plan.log), self.loop.time()
            elif self.loop.time() > since + PATIENCE_S:
                status = plan.planner.state.status
                self.violated(f"{plan_id} is {status} and has not advanced for {PATIENCE_S:g} s")
                await self.loop.create_future()
        self.records.viewed(await waiting)

    # --- the end ------------------------------------------------------------------------------

    async def _rest(self) -> None:
        """Wait until every worker has noticed that there is no more to do."""
        end = self.loop.time() + PATIENCE_S
        while self._busy() and self.loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(1.0)

    def _busy(self) -> list[str]:
        found = []
        for process in (p for p in self.processes if p.alive and p.worker is not None):
            taken = process.worker._slots
            if taken.reserved or taken.running or process.worker.running:
                found.append(
                    f"process {process.number}: {taken.running} slots taken, "
                    f"{sorted(taken.reserved)} reserved, {process.worker.running} attempts"
                )
            for mailbox in process.app.dispatcher._mailboxes.values():
                if mailbox.busy or mailbox.held or mailbox.waiting:
                    found.append(f"process {process.number}: mailbox {mailbox.aggregate_id}")
        return found

    def _check_end(self) -> None:
        for text in self._busy():
            self.violated(f"at the end: {text}")
        for plan_id, plan in self.records.plans.items():
            replayer = Replayer(plan_id)
            for envelope in plan.log:
                replayer.take(envelope)
            found = replayer.finish()
            if found.difference is not None:
                self.violated(f"replay: {found.difference}")


@contextmanager
def reproducible(loop: SimulatedLoop, seeded: Random) -> Iterator[None]:
    """What is drawn or timed elsewhere comes from the seed too."""
    state, token_hex, hashed = random.getstate(), secrets.token_hex, Attempt.__hash__
    clock = SimpleNamespace(monotonic=loop.time)
    times = slots.time, reporter.time
    numbers: dict[int, int] = {}
    kept: list[Attempt] = []

    def number(attempt: Attempt) -> int:
        if id(attempt) not in numbers:
            numbers[id(attempt)] = len(numbers)
            kept.append(attempt)
        return numbers[id(attempt)]

    random.seed(seeded.random())
    secrets.token_hex = lambda count=8: f"{random.getrandbits(8 * count):0{2 * count}x}"
    slots.time = reporter.time = clock  # type: ignore[assignment]
    Attempt.__hash__ = number  # type: ignore[assignment]
    try:
        yield
    finally:
        random.setstate(state)
        secrets.token_hex = token_hex
        slots.time, reporter.time = times
        Attempt.__hash__ = hashed  # type: ignore[assignment]
