"""``Worker``: runs dispatched tasks under a lease and reports their outcomes.

It starts and stops its parts, and does nothing else: ``leases`` hold its tasks, ``runner`` runs
them, ``timers`` continue what is due, ``slots`` let the dispatcher hand it tasks.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any, Self

from planfold.errors import PlanfoldError
from planfold.eventstore.port import EventStore
from planfold.eventstore.queue import WorkerRecord
from planfold.executors.registry import Executors
from planfold.readmodels.histogram import Histogram
from planfold.runtime.aggregate import PLAN, SCHEDULES, SIGNALS, Aggregate
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.leases import Leases
from planfold.runtime.machine import this_machine
from planfold.runtime.occurrences import Occurrences
from planfold.runtime.reporter import Observer, Reporter, Unobserved
from planfold.runtime.runner import Runner
from planfold.runtime.signal_delivery import KEEP_SIGNALS_S, SignalDelivery
from planfold.runtime.slots import Slots
from planfold.runtime.sub_plans import SubPlans, handovers
from planfold.runtime.timers import HandOver, Timers
from planfold.runtime.worker_loop import EVERY_S, WorkerLoop


class Worker:
    """Use it as ``async with worker:``; leaving the block stops it.

    ``concurrency`` bounds the tasks it runs at once; ``plan_id`` makes it serve one plan only, with
    its sub-plans, ``routes`` only these queue routes (None: all that its executors know);
    ``aggregates`` are the kinds of streams that it continues when they are due; ``drain_s`` is how
    many seconds running tasks have to end when the block is left.

    Example:
        import planfold

        async with planfold.open_app("sqlite:///plans.db") as app:
            plan_id = await app.submit("1. Run `true`", approved_by="ada")
            async with app.worker(concurrency=4) as worker:
                print((await app.result(plan_id)).status, worker.fenced)
    """

    def __init__(
        self,
        store: EventStore,
        dispatcher: Dispatcher,
        executors: Executors,
        *,
        concurrency: int = 64,
        plan_id: str | None = None,
        routes: Iterable[str] | None = None,
        aggregates: Sequence[Aggregate] = (PLAN,),
        workspace: Path | None = None,
        files_dir: Path | None = None,
        drain_s: float = 0.0,
        observer: Observer | None = None,
        keep_signals_s: float = KEEP_SIGNALS_S,
    ) -> None:
        self.owner = f"worker-{secrets.token_hex(6)}"
        self.fault: PlanfoldError | None = None
        self._observer = observer or Unobserved()
        self._store = store
        self._dispatcher = dispatcher
        self._drain_s, self._undeclared = drain_s, executors.toolbox.limits
        workspace = workspace or Path.cwd()
        served = executors.routes() if routes is None else frozenset(routes)
        self._slots = Slots(self.owner, concurrency, plan_id=plan_id, routes=served)
        self._context = copy_context()  # of its program, without what attempts and callers set
        self._reporter = Reporter(store, dispatcher, self.owner, self._reported, self.trouble)
        files = files_dir or workspace / ".planfold" / "files"
        runner = Runner(store, dispatcher, executors, self._reporter, workspace, files)
        self._leases = Leases(store, self._slots, runner, self._enter, self.trouble)
        due = self._handovers(executors, keep_signals_s)
        timers = [Timers(store, dispatcher, aggregates, plan_id, self.trouble, due)]
        if plan_id is not None:  # signals for it come from other streams
            timers.append(Timers(store, dispatcher, (SIGNALS,), None, self.trouble, due))
        self._loops = [
            WorkerLoop(self._leases.round, store.wakeup, self.trouble, longest_pause_s=EVERY_S),
            *(WorkerLoop(timer.round, store.wakeup, self.trouble) for timer in timers),
        ]
        self._leases.shut_down = lambda: self._loops[0].being_cancelled

    def _handovers(self, executors: Executors, keep_signals_s: float) -> dict[str, HandOver]:
        store, dispatcher = self._store, self._dispatcher
        signals = SignalDelivery(store, dispatcher, keep_signals_s)
        found = handovers(signals, SubPlans(store, dispatcher, executors.toolbox))
        return found | {SCHEDULES.stream_id: Occurrences(store, dispatcher, executors).hand_over}

    async def __aenter__(self) -> Self:
        self._slots.open = True
        self._dispatcher.slots.append(self._slots)
        self._store.watch_other_processes()
        for loop in self._loops:
            loop.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(drain_s=self._drain_s)

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Take no more tasks, and give those that run ``drain_s`` seconds to end. A task that has
        not ended then is interrupted and released: one with the effect class ``once`` asks a person
        for its outcome, any other runs again. Leaving the ``async with`` block does the same, with
        the worker's ``drain_s``. Stopping a stopped worker does nothing.

        Example:
            import planfold

            async with planfold.open_app("sqlite:///plans.db") as app:
                async with app.worker() as worker:
                    await worker.stop(drain_s=5)
                    print(worker.running)  # 0
        """
        self._slots.open = False
        await self._leases.stop(drain_s)
        for loop in self._loops:
            await loop.stop()
        with suppress(PlanfoldError, TimeoutError):
            await self._leases.leave()
        await self._dispatcher.save_snapshots()
        if self._slots in self._dispatcher.slots:
            self._dispatcher.slots.remove(self._slots)

    @property
    def running(self) -> int:
        """How many tasks run here, or have ended and are being reported."""
        return self._leases.attempts

    @property
    def fenced(self) -> int:
        """How many reports were refused because the task had passed to another worker."""
        return self._reporter.fenced

    @property
    def report_durations(self) -> Histogram:
        """How long reports took until they were recorded."""
        return self._reporter.durations

    @property
    def append_durations(self) -> Histogram:
        """How long appends of its App took until they were durable: its reports', and others'."""
        return self._dispatcher.append_durations

    def trouble(self, fault: PlanfoldError) -> None:
        """Something does not work here; it will be tried again."""
        self.fault = fault
        self._context.copy().run(self._observer.trouble, fault)

    def _reported(self, aggregate_id: str, events: Sequence[Any]) -> None:
        self._context.copy().run(self._observer.reported, aggregate_id, events)

    async def _enter(self) -> None:
        await self._store.queue.enter(self._record())
        await self._store.queue.declare(self._undeclared)
        self._undeclared = {}  # what another worker declares later counts

    def _record(self) -> WorkerRecord:
        routes = self._slots.routes
        return WorkerRecord(
            self.owner,
            None if routes is None else tuple(sorted(routes)),
            self._slots.concurrency,
            this_machine(),
            os.getpid(),
            declined=tuple(sorted(self._slots.declined)),
            plan_id=self._slots.plan_id,
        )
