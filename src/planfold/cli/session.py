"""Running or watching plans until nothing more can happen without a person."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    suppress,
)
from typing import TYPE_CHECKING

from planfold.cli.access import ENDED, command_line, unfinished_plans
from planfold.cli.own_worker import Stop
from planfold.cli.progress import Display, LiveTable
from planfold.cli.question_text import signal_line, waiting_line, waiting_lines
from planfold.cli.questions import Asker, Keyboard
from planfold.cli.remedies import explained
from planfold.cli.streams import captured_lines
from planfold.cli.terminal import Paper, clean
from planfold.planner.sub_plans import ROUTE
from planfold.planner.tasks import Effect, PlanStatus, Task, TaskStatus
from planfold.readmodels.labels import name_of
from planfold.readmodels.plan_fold import PlanFold
from planfold.runtime.blockers import (
    LOOK_EVERY_S,
    continued_by,
    has_deadline,
    serves,
    unserved,
)

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.runtime.worker import Worker

TICK_S = 0.1
SIGNALS_TOLD = 20  # of which the command is printed; `why` has those of all
QUEUES_S = 0.5  # between two looks at the queue, while a task is under a shared limit
PAUSE_S = 0.02  # between two polls, so that a busy log does not mean a busy loop


class Session:
    """Follows plans; with a worker it runs them too, with a keyboard it asks.

    ``plan_ids`` None follows every plan of the database that has not ended, and those that are
    submitted while it runs.
    """

    def __init__(
        self,
        app: App,
        plan_ids: Sequence[str] | None,
        display: Display,
        paper: Paper,
        stop: Stop,
        *,
        to_the_end: bool = False,
        since: float | None = None,
        db: str | None = None,
    ) -> None:
        self.app = app
        self.display = display
        self.folds: dict[str, PlanFold] = {}
        self._plan_ids = plan_ids
        self._paper = paper
        self._stop = stop
        self._db = db
        self._to_the_end = to_the_end  # do not leave a plan that waits for a person
        self._since = since or time.time()  # earlier events are not reported
        self._changed = asyncio.Event()
        self._asker: Asker | None = None
        self._looked_for_plans = 0.0
        self._queues_at = 0.0  # when to look at them next (time.monotonic())
        self._moved = time.monotonic()
        self._fault: BaseException | None = None
        self._told_waits: set[tuple[str, int, float]] = set()
        self._told_signals: set[tuple[str, int, int]] = set()

    async def follow(self, worker: Worker | None = None, *, ask: bool = False) -> None:
        """Follow the plans until nothing more can happen, or a signal comes."""
        await self.look()
        await self._show_earlier_attempts(worker)
        keyboard = Keyboard(self._changed.set, own_echo=self.display.redraws) if ask else None
        if keyboard is not None:
            self._asker = Asker(
                self.app, keyboard, self._paper, draws=self.display.redraws, look=self.look
            )
        self._stop.callbacks.append(self._changed.set)
        waker = asyncio.create_task(self._wake())
        try:
            if keyboard is not None:
                keyboard.start()
            with self._suspensions(keyboard), self._captured_lines():
                await self._loop(worker)
        finally:
            waker.cancel()
            with suppress(asyncio.CancelledError):
                await waker
            self._stop.callbacks.clear()
            if keyboard is not None:
                keyboard.stop()
            self.display.close()

    async def _show_earlier_attempts(self, worker: Worker | None) -> None:
        """Show attempts that already run, and those that wait for another worker."""
        for fold in self.folds.values():
            earlier = [
                task
                for task in fold.state.schedule.having((TaskStatus.Running,))
                if max(fold.attempt_at.get(task.id, 0.0), task.waiting_since) < self._since
            ]
            unclaimed = await self.app.unclaimed(fold.plan_id, fold.state) if earlier else None
            for task in earlier:
                waits = "" if unclaimed is None else unclaimed.tasks.get(task.id, "")
                here = worker is not None and serves(self.app.executors, task.spec)
                self.display.began_earlier(fold, task, "" if here else waits)

    async def _loop(self, worker: Worker | None) -> None:
        while True:
            self._changed.clear()
            await self.look()
            folds = list(self.folds.values())
            below = []
            if self._asker is not None:
                await self._asker.step(folds)
                below = self._asker.lines(folds, self._paper.width)
            await self._look_at_queues()
            self.display.draw(folds, below)
            self._tell_waits()
            self._tell_signals()
            self._tell_fault(worker)
            if self._stop.asked.is_set() or await self._is_settled(worker):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._changed.wait()
                    await asyncio.sleep(PAUSE_S)

    async def _wake(self) -> None:
        while True:
            ticket = self.app.store.wakeup.ticket()
            self._changed.set()
            self.app.store.watch_other_processes()
            await ticket.wait()

    @contextmanager
    def _suspensions(self, keyboard: Keyboard | None) -> Iterator[None]:
        """After Ctrl-Z and fg, set up the terminal and draw again."""
        loop = asyncio.get_running_loop()

        def go_on() -> None:
            if keyboard is not None:
                keyboard.take_terminal()
            if isinstance(self.display, LiveTable):
                self.display.redraw_all()
            self._changed.set()

        loop.add_signal_handler(signal.SIGCONT, go_on)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGCONT)

    def _captured_lines(self) -> AbstractContextManager[None]:
        if not self.display.redraws:
            return nullcontext()
        loop = asyncio.get_running_loop()

        def told(line: str) -> None:
            loop.call_soon_threadsafe(self.display.say, [(clean(line), "dim")])

        return captured_lines(told)

    # --- looking --------------------------------------------------------------------------

    async def look(self) -> None:
        """Update every fold from the log, and the display from the folds."""
        for plan_id in await self._wanted():
            fold = self.folds.get(plan_id)
            if fold is None:
                fold = self.folds[plan_id] = await self.app.new_fold(plan_id)
            version = fold.state.version
            for envelope in await self.app.store.read_versions(plan_id, after=version):
                fold.apply(envelope)
                news = envelope.recorded_at >= self._since
                self.display.happened(fold, envelope, news=news)
                self._moved = time.monotonic()

    async def _look_at_queues(self) -> None:
        """Let the table know which tasks wait for a shared limit: the log has them as running."""
        if not isinstance(self.display, LiveTable) or time.monotonic() < self._queues_at:
            return
        self._queues_at = time.monotonic() + QUEUES_S
        for plan_id, fold in self.folds.items():
            self.display.queues.pop(plan_id, None)
            if any(task.spec.limits for task in fold.state.schedule.having((TaskStatus.Running,))):
                found = await self.app.unclaimed(plan_id, fold.state)
                self.display.queues[plan_id] = found

    async def _wanted(self) -> Sequence[str]:
        if self._plan_ids is not None:
            return self._with_sub_plans(self._plan_ids)
        now = time.monotonic()
        if now - self._looked_for_plans > 1.0 or not self.folds:
            self._looked_for_plans = now
            for plan in await unfinished_plans(self.app):
                if plan.aggregate_id not in self.folds:
                    fold = await self.app.new_fold(plan.aggregate_id)
                    self.folds[plan.aggregate_id] = fold
        return list(self.folds)

    def _with_sub_plans(self, plan_ids: Sequence[str]) -> Sequence[str]:
        """These plans and their running sub-plans."""
        found = [*plan_ids]
        for plan_id in found:
            fold = self.folds.get(plan_id)
            if fold is not None and fold.state.schedule.running_on(ROUTE):
                running = fold.state.schedule.having([TaskStatus.Running])
                found += [task.plan_id for task in running if task.runs_plan and task.plan_id]
        for gone in self.folds.keys() - set(found):
            del self.folds[gone]
        return found

    async def _is_settled(self, worker: Worker | None) -> bool:
        stuck = worker is not None and time.monotonic() - self._moved > LOOK_EVERY_S
        for fold in self.folds.values():
            if self._is_at_rest(fold):
                continue
            if not (stuck and await self._is_blocked(fold, worker)):
                return False
        return True

    async def _is_blocked(self, fold: PlanFold, worker: Worker | None) -> bool:
        for plan_id in await continued_by(self.app, fold.plan_id):
            other = fold if plan_id == fold.plan_id else await self.app.fold(plan_id)
            if other is not fold and other.state.status.value in ENDED:
                return False  # its parent is yet to know
            if self._is_at_rest(other):
                continue
            if not await unserved_here(self.app, other, worker):
                return False
        return True

    def _is_at_rest(self, fold: PlanFold) -> bool:
        status = fold.state.status
        if status.value in ENDED:
            return True
        if self._to_the_end:
            return False
        if status in (PlanStatus.AwaitingApproval, PlanStatus.Paused):
            return True
        if status is not PlanStatus.AwaitingAnswer:
            return False
        # A question with a deadline is answered by its default, so the plan continues unattended.
        will_go_on = has_deadline(fold.state)
        asking = self._asker is not None and not self._asker.gave_up
        return not (will_go_on or asking)

    def _tell_waits(self) -> None:
        """Print the answer that a plan waits for, and its deadline, if no person can be asked
        here."""
        if self._asker is not None or self._to_the_end:
            return
        for fold in self.folds.values():
            if fold.state.status is not PlanStatus.AwaitingAnswer:
                continue
            for question in fold.state.questions.values():
                if question.deadline is None:
                    continue
                wait = (fold.plan_id, question.task_id, question.deadline)
                if wait not in self._told_waits:
                    self._told_waits.add(wait)
                    self.display.say(waiting_line(fold, question))

    def _tell_signals(self) -> None:
        """Print the first commands that give the signals which tasks wait for."""
        if self._to_the_end:
            return
        for fold in self.folds.values():
            if not fold.state.schedule.open_waits or len(self._told_signals) >= SIGNALS_TOLD:
                continue
            running = fold.state.schedule.having([TaskStatus.Running])
            for task in [task for task in running if task.waits][:SIGNALS_TOLD]:
                wait = (fold.plan_id, task.id, task.attempt)
                if wait not in self._told_signals and (line := signal_line(fold, task, self._db)):
                    self._told_signals.add(wait)
                    self.display.say(line)

    def _tell_fault(self, worker: Worker | None) -> None:
        fault = worker.fault if worker is not None else None
        if fault is not None and fault is not self._fault:
            self._fault = fault
            self.display.say([(f"trouble: {clean(explained(fault))}", "bad")])


async def unserved_here(app: App, fold: PlanFold, worker: Worker | None = None) -> list[Task]:
    """The tasks that no live worker can run. See :func:`unserved`."""
    owner = worker.owner if worker is not None else ""
    return await unserved(app.store, app.executors, fold.plan_id, fold.state, owner)


def tell_interruption(
    paper: Paper,
    session: Session,
    held: Sequence[tuple[str, int]],
    db: str | None,
    more: Sequence[str] = (),
) -> None:
    """Print the interrupted tasks, and how to continue; ``more``: options of ``resume``."""
    for plan_id, task_id in held:
        fold = session.folds.get(plan_id)
        task = fold.state.tasks.get(task_id) if fold is not None else None
        if task is None or task.status is not TaskStatus.Running:
            continue
        once = task.spec.effect is Effect.Once
        rest = "; it must not run twice, so you will be asked for its outcome" if once else ""
        paper.line((f"interrupted: {name_of(task.spec)}{rest}", "dim"))
    for fold in session.folds.values():
        if any(question.then == "outcome" for question in fold.state.questions.values()):
            paper.lines(waiting_lines(fold, db, paper.width))
    unfinished = [f for f in session.folds.values() if f.state.status.value not in ENDED]
    names = [unfinished[0].plan_id] if len(unfinished) == 1 else []
    paper.line(
        ("Interrupted. Continue with: ", ""), (command_line(db, "resume", *names, *more), "busy")
    )
    paper.flush()
