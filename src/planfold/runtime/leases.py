"""``Leases``: compares the leases that the queue grants this worker with what runs here.

A lease lasts 30 s and is renewed every 10 s, before new tasks are claimed. Each answer of the queue
is compared in both directions: an attempt without a lease stops; a leased task that does not run
here, because the answer to a claim or a commit was lost, begins or is released. A worker that
cannot renew stops its tasks after 24 s, before another may claim them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from planfold.errors import CorruptLog, PlanfoldError, Transient
from planfold.eventstore.port import EventStore
from planfold.eventstore.queue import Lease, Suspects
from planfold.eventstore.wakeup import WORK
from planfold.executors.executor import Outcome
from planfold.runtime.attempt import Attempt, Key, by_own_clock, end_attempts, identity, stop_lost
from planfold.runtime.letter import LOG, Basis
from planfold.runtime.reporter import as_planfold_error
from planfold.runtime.runner import Runner
from planfold.runtime.share import WorkShare
from planfold.runtime.slots import Reserved, Slots, reserved
from planfold.runtime.worker_loop import EVERY_S, standstill

RENEW_EVERY_S = 10.0
GIVE_UP_RENEWING_S = 24.0
ANSWER_S = 10.0  # for what is not a renewal, so that the next renewal comes in time
SHORTEST_TRY_S = 4.0  # to renew after the process or its event loop was suspended
MAKE_ROOM_S = 30.0  # no new tasks, so that a suspect can run alone
MAKE_ROOM_EVERY_S = 60.0  # at most, because long tasks may not end in that time
REPORT_S = 5.0  # how long a worker that stops waits for its last reports to be recorded


class Leases:
    """The table of leased tasks of one worker. ``enter`` makes the worker known to others,
    ``trouble`` gets what does not work."""

    def __init__(
        self,
        store: EventStore,
        slots: Slots,
        runner: Runner,
        enter: Callable[[], Awaitable[None]],
        trouble: Callable[[PlanfoldError], None],
    ) -> None:
        self._store, self._queue = store, store.queue
        self._slots, self._owner = slots, slots.owner
        self._runner = runner
        self._context = copy_context()  # without what attempts set
        self._enter, self._trouble = enter, trouble
        self._share = WorkShare(store.queue, slots)
        self._running: dict[Key, Attempt] = {}
        self._ending: set[Attempt] = set()  # over, but not yet reported or released
        self._ended: set[Reserved] = set()  # since the queue was last asked
        self._surplus: deque[Lease] = deque()  # claimed, but commits took their places first
        self._surplus_until = 0.0  # loop time; then another worker may be free
        self._barred: set[str] = set()  # plans that cannot be worked on here
        self._entered = self._doubt = False
        self._full = False  # the last claim left tasks behind
        self._opens_in = EVERY_S  # seconds after which a limit may give a task a place
        self._renewed_at = 0.0, 0.0  # loop time and the store's clock
        self._last_round: float | None = None
        self._made_room_at = float("-inf")  # loop time
        self._generation = -1
        self._stopping = False
        self.shut_down: Callable[[], bool] = lambda: False
        slots.begin, slots.withdraw, slots.doubt = self._begin, self._withdraw, self._doubts
        runner.decline, runner.done = self._decline, self._done
        runner.reporter.over = self._handed_in

    @property
    def attempts(self) -> int:
        """How many tasks run here, or have ended and are being reported."""
        return len(self._running) + len(self._ending)

    # --- the loop ----------------------------------------------------------------------------

    async def round(self) -> float:
        """Renew, compare, release, claim. Returns the seconds until the next round."""
        loop = asyncio.get_running_loop()
        self._note_standstill(loop.time())
        if self._last_round is None:
            self._renewed_at = loop.time(), 0.0
        give_up_at = self._renewed_at[0] + GIVE_UP_RENEWING_S
        try:
            async with asyncio.timeout_at(max(give_up_at, loop.time() + SHORTEST_TRY_S)):
                await self._keep()
                async with asyncio.timeout(ANSWER_S):
                    await self._give_back()
                    await self._claim()
        except Exception as fault:
            self._doubt = True  # its answer may be lost: compare in the next round
            if loop.time() >= self._renewed_at[0] + GIVE_UP_RENEWING_S:
                for attempt in self._running.values():
                    attempt.lose()
            if isinstance(fault, TimeoutError):
                raise Transient("the task queue gave no answer in time") from None
            raise
        finally:
            self._last_round = loop.time()
        return min(self._share.pause, self._opens_in)

    def _note_standstill(self, now: float) -> None:
        passed = now - (self._last_round or now)
        if passed > RENEW_EVERY_S and self._running:
            self._trouble(standstill(passed, (a.lease.route for a in self._running.values())))

    async def _keep(self) -> None:
        if not self._entered or self._is_renewal_due():
            began = asyncio.get_running_loop().time(), self._store.clock()
            entry = () if self._entered else (self._enter(),)
            await asyncio.gather(*entry, self._compare(self._queue.renew))  # in one commit
            self._entered = True
            self._renewed_at = began
            await self._make_room()
        elif self._doubt or self._others_wrote():
            await self._compare(self._queue.owned)

    def _is_renewal_due(self) -> bool:
        """By the loop's clock, and by the store's: a machine that slept stops only the first."""
        renewed, at = self._renewed_at
        passed = asyncio.get_running_loop().time() - renewed
        return max(passed, self._store.clock() - at) >= RENEW_EVERY_S

    def _others_wrote(self) -> bool:
        generation = self._store.generation()
        before, self._generation = self._generation, generation
        if before == generation:
            return False
        self._slots.waiting = self._slots.waiting or before >= 0
        return bool(self._running)

    # --- both directions ------------------------------------------------------------------------

    async def _compare(self, ask: Callable[[str], Awaitable[list[Lease]]]) -> None:
        """Compare leases and attempts. Tasks that may change while the queue answers, and attempts
        whose commit is not durable yet, wait for the next comparison."""
        running = {key: a for key, a in self._running.items() if a.basis.durable}
        before = self._known()
        self._doubt = False
        self._ended.clear()
        try:
            leases = await ask(self._owner)
        except BaseException:
            self._doubt = True
            raise
        known = before | self._known() | self._ended
        stop_lost(running, leases)
        kept = set(map(identity, self._surplus))
        self._surplus = deque(lease for lease in leases if identity(lease) in kept)
        for lease in leases:
            if reserved(lease) not in known:
                await self._adopt(lease)

    def _known(self) -> set[Reserved]:
        attempts = (*self._running.values(), *self._ending)
        mine = {reserved(a.lease) for a in attempts if not a.basis.failed}
        return mine | set(map(reserved, self._surplus)) | self._slots.reserved

    async def _adopt(self, lease: Lease) -> None:
        """A task is leased to this worker but never began here: begin it, or release it."""
        slots = self._slots
        busy = bool(self._running or slots.reserved)
        # Under a limit it would begin later than its start was counted.
        if (
            not lease.limits
            and slots.open
            and slots.free > 0
            and not (busy and (lease.suspect or slots.alone))
        ):
            slots.alone = slots.alone or lease.suspect
            self._begin(lease)
        else:
            await self._queue.release(self._owner, lease, started=False, counts=False)

    # --- claim and begin ----------------------------------------------------------------------

    async def _claim(self) -> None:
        slots, self._opens_in = self._slots, EVERY_S
        half = max(1, slots.concurrency // 2)
        self._begin_surplus()
        self._full = slots.free < 1
        if not slots.open:
            return  # what is claimed while draining would only be interrupted
        if not (self._running or slots.reserved) and await self._claim_suspect():
            return
        if slots.free < 1 and slots.waiting and slots.turns is None:
            slots.bound(half)  # else commits fill every place before the next claim
        kinds = [(a.lease.route, a.lease.tool) for a in self._running.values()]
        most = await self._share.claimable(asyncio.get_running_loop().time(), kinds)
        if most < 1 or slots.alone:
            return
        leases = await self._granted(most, "no")
        here = {aggregate_id for aggregate_id, _ in self._running}
        self._runner.expect_others(self._share.claimed(leases, here))
        self._full = bool(leases) and len(leases) >= slots.free and not self._share.leaves
        slots.waiting = self._full
        slots.bound(half if self._full else None)
        self._surplus.extend(leases)
        self._surplus_until = asyncio.get_running_loop().time() + EVERY_S
        self._begin_surplus()
        self._opens_in = EVERY_S if self._full else await self._queue.opens_in() or EVERY_S

    async def _granted(self, most: int, suspects: Suspects) -> list[Lease]:
        asked, served = self._store.clock(), self._served()
        # A claim whose answer was lost may answer now: a comparison may have found its tasks first.
        here = {attempt.identity for attempt in (*self._running.values(), *self._ending)}
        here.update(map(identity, self._surplus))
        leases = await self._queue.claim(self._owner, most, suspects=suspects, **served)
        found = [lease for lease in leases if identity(lease) not in here]
        return [by_own_clock(lease, asked, self._store.clock()) for lease in found]

    async def _claim_suspect(self) -> bool:
        """Nothing runs here: claim one suspect, if there is one, and run it alone."""
        self._slots.alone = True
        leases: list[Lease] = []
        try:
            if await self._queue.waiting_suspects(self._owner, **self._served()):
                leases = await self._granted(1, "only")
        finally:
            self._slots.alone = bool(leases)
        for lease in leases:
            self._begin(lease)
        return bool(leases)

    async def _make_room(self) -> None:
        """A suspect waits for a worker that runs nothing: claim no more tasks for a while."""
        if not self._running or any(a.lease.suspect for a in self._running.values()):
            return
        passed = asyncio.get_running_loop().time() - self._made_room_at
        if self._slots.alone:
            self._slots.alone = passed < MAKE_ROOM_S
        elif passed >= MAKE_ROOM_EVERY_S and await self._queue.waiting_suspects(
            self._owner, **self._served()
        ):
            self._slots.alone = True
            self._made_room_at = asyncio.get_running_loop().time()

    def _served(self) -> dict[str, Any]:
        return {
            "aggregate_id": self._slots.plan_id,
            "routes": self._slots.routes,
            "without_tools": self._slots.declined,
            "barred": self._barred,
        }

    def _begin_surplus(self) -> None:
        while self._surplus and self._slots.open and self._slots.free > 0:
            self._begin(self._surplus.popleft())
        late = asyncio.get_running_loop().time() >= self._surplus_until
        if self._surplus and (late or not self._slots.open):
            self._surplus.clear()  # the next comparison gives it back
            self._doubt = True

    def _begin(self, lease: Lease, basis: Basis = LOG) -> None:
        if not self._slots.open:
            return  # stop() releases it
        key = (lease.aggregate_id, lease.task_id)
        former = self._running.get(key)
        if former is not None:
            former.lose()
            self._ending.add(former)
        attempt = self._running[key] = Attempt(lease, self._is_stopping, basis)
        self._slots.running = len(self._running)
        run, loop = self._run(attempt, self._runner.run), asyncio.get_running_loop()
        attempt.running = loop.create_task(run, context=self._context.copy())
        if len(self._running) == 2 and self._share.look_soon():
            self._store.wakeup.notify(WORK)

    async def _run(self, attempt: Attempt, work: Callable[[Attempt], Awaitable[bool]]) -> None:
        is_on_its_way = False
        try:
            is_on_its_way = await work(attempt)
        except Exception as fault:
            self._note(attempt.lease, fault)
        finally:
            if attempt.to_release is not None:
                self._done(attempt)
                if not self._stopping:
                    self._doubts()  # the next round gives it back
            elif not is_on_its_way:
                self._forget(attempt)

    def _handed_in(self, attempt: Attempt, outcome: Outcome, fault: BaseException | None) -> None:
        """The report is recorded; where it cannot be, a task sees to it."""
        in_time, attempt.handed_in = attempt.handed_in, False
        if in_time and fault is None:
            self._forget(attempt)
        elif in_time:
            report = partial(self._runner.report, outcome=outcome, fault=fault)
            attempt.running = asyncio.create_task(self._run(attempt, report))

    def _withdraw(self, aggregate_id: str, task_ids: Iterable[int]) -> None:
        for task_id in task_ids:
            attempt = self._running.get((aggregate_id, task_id))
            if attempt is not None and attempt.basis.durable:  # else it is of a later commit
                attempt.cancel()

    # --- the end ------------------------------------------------------------------------------

    def _done(self, attempt: Attempt) -> None:
        """The attempt has ended: its slot is free, also for tasks that its report dispatches."""
        key = (attempt.lease.aggregate_id, attempt.lease.task_id)
        self._ending.add(attempt)
        if self._running.get(key) is attempt:
            del self._running[key]
            self._slots.running = len(self._running)
            attempt.alone = not self._running
            if self._surplus:
                self._begin_surplus()
            if self._full or self._slots.alone:  # there may be more to claim
                self._store.wakeup.notify(WORK)

    def _forget(self, attempt: Attempt) -> None:
        self._ending.discard(attempt)
        lease = attempt.lease
        if not attempt.basis.failed:
            self._ended.add((lease.aggregate_id, lease.task_id, lease.attempt))
        if lease.limits:  # they may have a place now
            self._store.wakeup.notify(WORK)

    async def _give_back(self) -> None:
        """Release what ended without a report; again in the next round where that fails."""
        for attempt in [a for a in self._ending if not a.reports]:
            if attempt.basis.durable:
                started, began = attempt.to_release is True, attempt.began_at > 0.0
                await self._queue.release(self._owner, attempt.lease, started=started, counts=began)
            elif not attempt.basis.failed:
                continue  # its lease is on its way
            self._forget(attempt)

    def _awaits_commits(self) -> bool:
        """Whether commits in progress may still lease tasks to this worker."""
        pending = (a for a in self._ending if not (a.basis.durable or a.basis.failed))
        return bool(self._slots.reserved) or any(pending)

    def _decline(self, lease: Lease) -> None:
        self._slots.declined.add(lease.tool or lease.route)
        self._entered = False  # enter again, so that others see what is missing here

    def _doubts(self) -> None:
        """A commit failed: what began before it is void, and is compared in the next round."""
        for attempt in self._running.values():
            if attempt.basis.failed:
                attempt.lose()
        self._doubt = True
        self._store.wakeup.notify(WORK)

    def _note(self, lease: Lease, fault: Exception) -> None:
        fault = as_planfold_error(fault, CorruptLog, f"{lease.aggregate_id}: ")
        if isinstance(fault, CorruptLog):
            self._barred.add(lease.aggregate_id)
        self._trouble(fault)

    def _is_stopping(self) -> bool:
        return self._stopping or self.shut_down()

    async def stop(self, drain_s: float) -> None:
        """Let running attempts end for ``drain_s`` seconds, then interrupt them; release all
        leases."""
        running = [a.running for a in self._running.values() if a.running]
        if drain_s and running:
            await asyncio.wait(running, timeout=drain_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(REPORT_S):
                while any(attempt.reports for attempt in self._ending):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        self._stopping = True
        for attempt in self._ending:
            if attempt.handed_in:  # its lease is released; a report that comes all the same counts
                attempt.handed_in, attempt.to_release = False, True
        await end_attempts([*self._running.values(), *self._ending], self._trouble)
        for attempt in list(self._running.values()):  # cancelled before its first step
            self._done(attempt)

    async def leave(self) -> None:
        """Release tasks that were not reported or never began, and record that this worker has
        ended."""
        try:
            async with asyncio.timeout(REPORT_S):
                self._begin_surplus()
                await self._give_back()
                while self._awaits_commits():  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                await self._give_back()
                await self._compare(self._queue.renew)
        finally:
            self._entered = self._stopping = False  # it may be entered again
            self._last_round = None
            await asyncio.wait_for(self._queue.leave(self._owner), REPORT_S)
