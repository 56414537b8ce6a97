"""``World``: processes, people and a database on one seeded event loop."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final, NamedTuple

from planfold.planner.events import PlanForked
from planfold.readmodels.replay import Replayer
from planfold.runtime import leases, share, timers, worker
from planfold.runtime.attempt import Attempt
from tests.simulation.event_loop import Deadlock, SimulatedLoop
from tests.simulation.faults import Faults
from tests.simulation.people import People
from tests.simulation.plans import features_of
from tests.simulation.process import PATIENCE_S, Process
from tests.simulation.queue_record import QueueRecord
from tests.simulation.records import PlanRecord, Records, Violation
from tests.simulation.rules import Rules
from tests.simulation.runs import Runs
from tests.simulation.stores import Database, SharedSqlite, empty_database

EPOCH = 1_700_000_000.0
POLL_S = 5.0  # between two looks of a worker that waits: most of a seed would be such looks
BEFORE_THE_HOUR = 39.0  # seconds after it, after which a minute begins soon
MOST_TURNS = 60_000
SHARE_OF_POSTGRES = 0.35
SHARE_OF_SMALL = 0.9  # of the worlds: they show most bugs in the least time
EMPTY = empty_database()


class Size(NamedTuple):
    """How much may happen in a world: each number is drawn."""

    chaos_s: tuple[float, ...]  # for which things fail
    processes: tuple[int, ...]
    plans: tuple[int, ...]
    tasks: int  # of a plan, fewer than this


SMALL: Final = Size((0.02, 0.1, 0.3), (1, 2), (1, 1, 1, 2), 5)
LARGE: Final = Size((0.3, 1.0, 5.0), (1, 1, 2, 3), (1, 1, 2, 3), 8)


class World:
    """``run`` lets a seed happen; raises Violation. ``database``: else it comes from the seed."""

    def __init__(
        self, seed: int, without: Collection[str] = (), database: str | None = None
    ) -> None:
        self.random = Random(f"{seed}/world")
        self.faults = Faults(seed, without)
        choice = self.random.choice
        self.loop = SimulatedLoop(Random(f"{seed}/order"), MOST_TURNS)
        self.offset = 0.0
        self.database = Database(EMPTY, self.clock)
        self.trace: list[str] = []
        self.violation: Violation | None = None
        self.records = Records(self.database, self.violated, self.note)
        self.queue = QueueRecord(self.records)
        self.runs = Runs(self.records, self.queue, self.loop.time)
        self.rules = Rules(self.records)
        self.backend = self._backend(database)
        self.every_step = self.random.random() < 0.05
        self.concurrency = choice((1, 2, 4, 16))
        self.drain_s = choice((0.0, 0.0, 1.0))
        self.size = SMALL if self.random.random() < SHARE_OF_SMALL else LARGE
        self.chaos_s = choice(self.size.chaos_s)
        self.processes: list[Process] = []
        features = features_of(self.random) - {*without}
        if self.size is SMALL:
            features -= {"schedule"}  # it lasts for minutes
        if "schedule" in features:
            self.offset = BEFORE_THE_HOUR
        self.people = People(self, self.random, features)
        self._count = 0

    def _backend(self, name: str | None) -> Any:
        drawn = "postgres" if self.random.random() < SHARE_OF_POSTGRES else "sqlite"
        if (name or drawn) == "postgres":
            from tests.simulation.postgres import SharedPostgres  # it loads asyncpg

            self.records.one_clock = False
            return SharedPostgres(self.database, self.faults, self.loop)
        return SharedSqlite(self.database, self.random)

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

    def living(self) -> Process:
        """A process that a person may use."""
        living = [process for process in self.processes if process.alive]
        return self.random.choice(living) if living else self._start()

    # --- the course of events -----------------------------------------------------------------

    def run(self) -> None:
        with reproducible(self.loop, self.clock, self.random), self.backend.serving():
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
        self.faults.end()
        for process in self.processes:
            process.alive = False
            self.loop.end(process)
        self.loop.end(None)
        self.loop.close()
        self.database.close()

    async def _main(self) -> None:
        self.loop.set_exception_handler(self._unhandled)
        self.database.committed = self._committed
        for _ in range(self.random.choice(self.size.processes)):
            self._start()
        working = asyncio.create_task(self.people.work(self.random.choice(self.size.plans)))
        nature = asyncio.create_task(self._nature())
        await nature
        await working
        await self._rest()
        await asyncio.gather(*[p.spawn(p.see()) for p in self.processes if p.alive])
        await self._rest()
        self._check_end()

    def _committed(self, by: int) -> None:
        changed, self.records.changed = self.records.changed, {}
        others = [p for p in self.processes if p.alive and p.number != by]
        self.backend.tell(others, changed, self.faults)

    def _unhandled(self, _: Any, context: dict[str, Any]) -> None:
        fault = context.get("exception")
        if "GeneratorExit" in str(fault):
            return  # of a process that has ended: nothing in it asks for this any more
        self.violated(f"unhandled: {context.get('message')}: {fault!r}")

    def _start(self) -> Process:
        self._count += 1
        process = Process(self, self._count)
        self.processes.append(process)
        return process

    # --- nature -------------------------------------------------------------------------------

    async def _nature(self) -> None:
        faults, end = self.faults, self.loop.time() + self.chaos_s
        while self.loop.time() < end and not self._is_over():
            await asyncio.sleep(self.random.choice((0.001, 0.01, 0.1, 1.0)) * self.random.random())
            for kind, happen in self._happenings().items():
                if faults.happens(kind, 0.5):
                    happen(faults.of(kind))
        faults.end()
        self.note("nothing fails any more")
        if not any(process.alive for process in self.processes):
            self._start()

    def _is_over(self) -> bool:
        """Whether everything has ended, and no person changes their mind."""
        return self.people.all_ended() and not self.faults.may("person")

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

    # --- the end ------------------------------------------------------------------------------

    async def _rest(self) -> None:
        """Wait until every worker has noticed that there is no more to do."""
        end = self.loop.time() + PATIENCE_S
        while self._busy() and self.loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(1.0)

    def _busy(self) -> list[str]:
        return [text for process in self.processes for text in process.busy()]

    def _check_end(self) -> None:
        for text in self._busy():
            self.violated(f"at the end: {text}")
        for plan in self.records.plans.values():
            self._replay(plan)

    def _replay(self, plan: PlanRecord) -> None:
        first = plan.log[0].event
        base = None
        if isinstance(first, PlanForked):
            base = self.records.state_at(first.origin, first.version)
        replayer = Replayer(plan.id, base)
        for envelope in plan.log:
            replayer.take(envelope)
        if (difference := replayer.finish().difference) is not None:
            self.violated(f"replay of {plan.id}: {difference}")


@contextmanager
def reproducible(loop: SimulatedLoop, clock: Callable[[], float], seeded: Random) -> Iterator[None]:
    """What is drawn or timed elsewhere comes from the seed too."""
    state, hashed = random.getstate(), Attempt.__hash__
    tokens = secrets.token_hex, secrets.randbits
    times = time.time, time.monotonic, time.clock_gettime
    polling = [(module, module.EVERY_S) for module in (leases, share, timers, worker)]
    numbers: dict[int, int] = {}
    kept: list[Attempt] = []

    def number(attempt: Attempt) -> int:
        if id(attempt) not in numbers:
            numbers[id(attempt)] = len(numbers)
            kept.append(attempt)
        return numbers[id(attempt)]

    random.seed(seeded.random())
    secrets.randbits = random.getrandbits
    secrets.token_hex = lambda count=8: f"{random.getrandbits(8 * count):0{2 * count}x}"
    time.time, time.monotonic, time.clock_gettime = clock, loop.time, lambda _: loop.time()
    Attempt.__hash__ = number  # type: ignore[assignment]
    for module, _ in polling:
        module.EVERY_S = POLL_S  # type: ignore[attr-defined]
    try:
        yield
    finally:
        random.setstate(state)
        secrets.token_hex, secrets.randbits = tokens
        time.time, time.monotonic, time.clock_gettime = times
        Attempt.__hash__ = hashed  # type: ignore[assignment]
        for module, seconds in polling:
            module.EVERY_S = seconds  # type: ignore[attr-defined]
