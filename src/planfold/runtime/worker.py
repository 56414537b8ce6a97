"""``Worker``: runs dispatched tasks under a lease and reports what came of them.

A task is leased to one worker at a time; the lease's epoch fences its report, so that a worker
that was thought dead cannot overwrite what its successor did. Leases live 30 s and are renewed
every 10 s; a worker that cannot renew stops its tasks after 24 s, before anybody takes them over.
A dead worker's tasks come back from the queue rows alone: at once where its process is known to
have ended, else when the lease runs out.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from planfold.errors import CorruptLog, LeaseLost, PlanfoldError
from planfold.eventstore.envelope import version_of
from planfold.eventstore.port import EventStore, Lease, WorkerRecord
from planfold.eventstore.wakeup import WORK
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.handler import QueueChange, Settle, Signal
from planfold.planner.commands import ExecutorEvent, TaskCompleted
from planfold.planner.planner import Planner
from planfold.planner.tasks import Task, TaskStatus
from planfold.runtime.aggregate import PLAN, Aggregate
from planfold.runtime.attempt import Attempt
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.machine import this_machine
from planfold.runtime.reporting import Observer, Reporter, Unobserved, as_planfold_error

RENEW_EVERY_S = 10.0
GIVE_UP_RENEWING_S = 24.0
REPORT_S = 5.0  # how long a worker that stops waits for its last reports to be recorded
TEND_EVERY_S = 1.0  # without any wake-up: dead owners and lost hints are found after this time
LONGEST_PAUSE_S = 8.0  # between two rounds while the store is away
TEND_PAUSE_S = 0.005  # between two rounds, so that a busy log does not mean a busy loop


class Worker:
    """Use it as ``async with worker:``; leaving the block stops it.

    ``concurrency`` bounds the tasks it runs at once; ``plan_id`` makes it serve one plan only,
    ``routes`` only these queue routes (None: all that its executors know); ``aggregates`` are the
    kinds of streams that it continues when they are due.
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
    ) -> None:
        self.owner = f"worker-{secrets.token_hex(6)}"
        self.fault: PlanfoldError | None = None
        self._observer = observer or Unobserved()
        self._store = store
        self._dispatcher = dispatcher
        self._reporter = Reporter(store, dispatcher, self.owner, self)
        self._executors = executors
        self._concurrency = concurrency
        self._plan_id = plan_id
        self._routes = executors.routes() if routes is None else frozenset(routes)
        self._aggregates = aggregates
        self._declined: set[str] = set()
        self._workspace = workspace or Path.cwd()
        self._files_dir = files_dir or self._workspace / ".planfold" / "files"
        self._drain_s = drain_s
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._reporting: set[Attempt] = set()  # and those that a newer attempt has replaced
        self._begun: set[tuple[str, int, int, int]] = set()  # leases that are not settled yet
        self._barred: set[str] = set()  # plans that cannot be worked on here
        self._reserved = 0
        self._short_of_slots = self._accepting = False
        self._generation = -1
        self._chores: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._accepting = True
        self._dispatcher.slots.append(self)
        self._store.watch_other_processes()
        self._chores = [asyncio.create_task(self._renew()), asyncio.create_task(self._tend())]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(drain_s=self._drain_s)

    def _record(self) -> WorkerRecord:
        routes = None if self._routes is None else tuple(sorted(self._routes))
        return WorkerRecord(
            self.owner,
            routes,
            self._concurrency,
            this_machine(),
            os.getpid(),
            declined=tuple(sorted(self._declined)),
        )

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Take no more tasks; give those that run ``drain_s`` seconds to end, then cut them off
        and give them back. What may not run twice counts as started then: a person is asked."""
        self._accepting = False
        running = [a.running for a in self._attempts.values() if a.running]
        if drain_s and running:
            await asyncio.wait(running, timeout=drain_s)
        reporting = [a.running for a in self._reporting if a.running]
        if reporting:
            await asyncio.wait(reporting, timeout=REPORT_S)
        ending = (*self._chores, *running, *reporting)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._chores.clear()
        with suppress(PlanfoldError):
            await self._release_what_never_began()
        if self in self._dispatcher.slots:
            self._dispatcher.slots.remove(self)
        with suppress(PlanfoldError):
            await self._store.queue.leave(self.owner)

    async def _release_what_never_began(self) -> None:
        for lease in await self._store.queue.renew(self.owner):  # those on their way have arrived
            if _identity(lease) not in self._begun:
                await self._store.queue.release(self.owner, lease, started=False)

    def reported(self, aggregate_id: str, events: Sequence[Any]) -> None:
        """See :class:`Observer`."""
        self._observer.reported(aggregate_id, events)

    def trouble(self, fault: PlanfoldError) -> None:
        """See :class:`Observer`."""
        self.fault = fault
        self._observer.trouble(fault)

    @property
    def running(self) -> int:
        """How many tasks run here, or have ended and are being reported."""
        return len(self._attempts) + len(self._reporting)

    @property
    def free(self) -> int:
        return self._concurrency - len(self._attempts) - self._reserved

    # --- what the dispatcher tells it ---------------------------------------------------------

    def reserve(self, aggregate_id: str, route: str) -> bool:
        """See :class:`Slots`."""
        if not self._accepting or self.free < 1 or route in self._declined:
            return False
        if self._plan_id is not None and aggregate_id != self._plan_id:
            return False
        if self._routes is not None and route not in self._routes:
            return False
        self._reserved += 1
        return True

    def give_back(self, count: int) -> None:
        """See :class:`Slots`."""
        self._reserved -= count

    def start(self, leases: Sequence[Lease]) -> None:
        """See :class:`Slots`."""
        self._reserved -= len(leases)
        if self._accepting:  # else stop() gives them back
            for lease in leases:
                self._begin(lease)

    def queue_changed(self, aggregate_id: str, changes: Sequence[QueueChange]) -> None:
        """See :class:`Slots`."""
        for change in changes:
            if isinstance(change, (Settle, Signal)):
                attempt = self._attempts.get((aggregate_id, change.task_id))
                if attempt is not None:
                    attempt.cancel()

    # --- chores ------------------------------------------------------------------------------

    async def _tend(self) -> None:
        failures = 0
        while True:
            ticket = self._store.wakeup.ticket(WORK)
            pause = TEND_EVERY_S
            try:
                await self._claim()
                await self._continue_what_is_due()
                await self._heed_other_processes()
                pause = await self._until_next_due()
                failures = 0
            except Exception as fault:  # the store may be well again on the next round
                self.trouble(as_planfold_error(fault))
                pause = min(TEND_EVERY_S * 2**failures, LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
                failures += 1
            await asyncio.sleep(TEND_PAUSE_S)
            # Not wait_for(): before Python 3.12 it can swallow the cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await ticket.wait()

    async def _claim(self) -> None:
        if not self._accepting:
            return  # what is claimed while draining would only be cut off
        free = self.free
        self._short_of_slots = free < 1
        if free < 1:
            return
        leases = await self._store.queue.claim(
            self.owner,
            free,
            aggregate_id=self._plan_id,
            routes=self._routes,
            without=self._declined,
            barred=self._barred,
        )
        self._short_of_slots = len(leases) == free
        for lease in leases:
            self._begin(lease)

    async def _continue_what_is_due(self) -> None:
        now = self._store.clock()
        queue = self._store.queue
        for aggregate in self._aggregates:
            stream_id = aggregate.stream_id
            for due in await queue.due(now, stream_id=stream_id, aggregate_id=self._plan_id):
                with suppress(PlanfoldError):
                    await self._continue(aggregate, due, now)

    async def _continue(self, aggregate: Aggregate, aggregate_id: str, now: float) -> None:
        handler = await self._dispatcher.view(aggregate, aggregate_id)
        command = handler.next_command(now)
        if command is not None:
            command_id = f"{aggregate_id}@{now:.3f}/{type(command).__name__}"
            await self._dispatcher.send(aggregate, aggregate_id, command, command_id=command_id)

    async def _heed_other_processes(self) -> None:
        generation = self._store.generation()
        if self._generation == generation:
            return
        self._generation = generation
        if self._attempts:
            await self._heed(self._store.queue.owned)

    async def _heed(self, ask: Callable[[str], Awaitable[list[Lease]]]) -> None:
        """Stop what is not ours any more, and what somebody has cancelled."""
        attempts = dict(self._attempts)  # those that begin meanwhile may be missing in the answer
        owned = {(lease.aggregate_id, lease.task_id): lease for lease in await ask(self.owner)}
        for key, attempt in attempts.items():
            lease = owned.get(key)
            if lease is None or lease.epoch != attempt.lease.epoch:
                attempt.lose()
            elif lease.cancel:
                attempt.cancel()

    async def _until_next_due(self) -> float:
        queue, now = self._store.queue, self._store.clock()
        pause = TEND_EVERY_S
        for aggregate in self._aggregates:
            due = await queue.next_due(stream_id=aggregate.stream_id, aggregate_id=self._plan_id)
            if due is not None:
                pause = min(pause, max(due - now, 0.1))
        return pause

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        renewed, entered = loop.time(), False
        while True:
            begun, pause = loop.time(), RENEW_EVERY_S
            try:
                async with asyncio.timeout_at(renewed + GIVE_UP_RENEWING_S):
                    if entered:
                        await self._heed(self._store.queue.renew)
                    else:
                        await self._store.queue.enter(self._record())
                renewed, entered = begun, True
            except Exception as fault:
                self.trouble(as_planfold_error(fault))
                pause = TEND_EVERY_S
                if loop.time() >= renewed + GIVE_UP_RENEWING_S:
                    for attempt in self._attempts.values():
                        attempt.lose()
            await asyncio.sleep(pause)

    # --- attempts ----------------------------------------------------------------------------

    def _begin(self, lease: Lease) -> None:
        key = (lease.aggregate_id, lease.task_id)
        former = self._attempts.get(key)
        if former is not None:
            former.lose()
            self._reporting.add(former)
        attempt = self._attempts[key] = Attempt(lease)
        attempt.running = asyncio.create_task(self._run(attempt))

    async def _run(self, attempt: Attempt) -> None:
        lease = attempt.lease
        self._begun.add(_identity(lease))  # not earlier: a task may be cancelled before it begins
        try:
            outcome = await self._perform(attempt)
            if attempt.lost and not isinstance(outcome, TaskCompleted):
                await self._give_back(lease, started=attempt.may_have_acted)
            elif outcome is not None:
                self._forget(attempt)  # the slot is free from here on, for what the report leads to
                self._reporting.add(attempt)
                await self._reporter.report_outcome(lease, outcome)
            self._begun.discard(_identity(lease))
        except asyncio.CancelledError:
            with suppress(PlanfoldError):
                await self._give_back(lease, started=attempt.may_have_acted)
            raise
        except LeaseLost:
            self._begun.discard(_identity(lease))  # what its new owner says counts
        except Exception as fault:
            self._note(lease, fault)
            with suppress(PlanfoldError):
                await self._give_back(lease, started=True)
        finally:
            self._reporting.discard(attempt)
            self._forget(attempt)

    def _note(self, lease: Lease, fault: Exception) -> None:
        fault = as_planfold_error(fault, CorruptLog, f"{lease.aggregate_id}: ")
        if isinstance(fault, CorruptLog):
            self._barred.add(lease.aggregate_id)
        self.trouble(fault)

    def _forget(self, attempt: Attempt) -> None:
        key = (attempt.lease.aggregate_id, attempt.lease.task_id)
        if self._attempts.get(key) is attempt:
            del self._attempts[key]
            if self._short_of_slots:  # there may be more to claim
                self._store.wakeup.notify(WORK)

    async def _give_back(self, lease: Lease, *, started: bool) -> None:
        await self._store.queue.release(self.owner, lease, started=started)
        self._begun.discard(_identity(lease))

    async def _perform(self, attempt: Attempt) -> Outcome | None:
        lease = attempt.lease
        try:
            task, planner = await self._find(lease)
        except Exception as fault:
            self._note(lease, fault)
            await self._give_back(lease, started=False)
            raise
        if task is None:
            await self._give_back(lease, started=False)
            return None
        executor = self._executors.for_task(task.spec)
        if executor is None:
            self._declined.add(lease.route)
            await self._give_back(lease, started=False)
            await self._store.queue.enter(self._record())  # so that people see who is missing
            return None

        async def report(event: ExecutorEvent) -> Sequence[Any]:
            return await self._reporter.report(lease, event)

        arguments = task.arguments
        if arguments is None:
            arguments = task.spec.tool.arguments if task.spec.tool else {}
        context = TaskContext(
            plan_id=lease.aggregate_id,
            task=task,
            arguments=arguments,
            report=report,
            steps=dict(planner.state.steps(task.id)),
            workspace=self._workspace,
            files_dir=self._files_dir,
            plan=planner.state,
        )
        return await attempt.perform(executor, context)

    async def _find(self, lease: Lease) -> tuple[Task | None, Planner]:
        # After another worker had it, the log may hold steps of this attempt that we never saw.
        seen = version_of(lease.cause) if lease.epoch == 1 else None
        planner = await self._dispatcher.view(PLAN, lease.aggregate_id, at_least=seen)
        assert isinstance(planner, Planner)
        task = planner.state.tasks.get(lease.task_id)
        current = (
            task is not None and task.status is TaskStatus.Running and task.attempt == lease.attempt
        )
        return (task if current else None), planner


def _identity(lease: Lease) -> tuple[str, int, int, int]:
    return lease.aggregate_id, lease.task_id, lease.attempt, lease.epoch
