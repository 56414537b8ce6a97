"""The people of a simulation: they submit plans, look at them, answer, and change their minds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

from planfold.app import App
from planfold.drafting.revision import compile_revision
from planfold.errors import PlanfoldError
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
    UndoPlan,
    UnpausePlan,
)
from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskStatus
from planfold.runtime.plan_reader import ENDED
from planfold.schedules.schedule import PlanSchedule
from tests.simulation.plans import COMMON_KEY, SIGNAL, PlanAuthor, toolbox
from tests.simulation.process import PATIENCE_S
from tests.simulation.records import PlanRecord

if TYPE_CHECKING:
    from tests.simulation.world import World

LATE_WHIMS = ("change", "complete", "fork", "retry", "retry", "revise", "skip", "undo", "undo")
WHIMS = ("cancel", "cancel task", "pause", "signal", *LATE_WHIMS)
SCHEDULE = "nightly"
OCCURRENCES = 2  # that are waited for
Question = Callable[[App], Awaitable[Any]]


class People:
    """They use the processes of a world. What they do wrong comes from its faults."""

    def __init__(self, world: World, random: Random, features: frozenset[str]) -> None:
        self._world = world
        self._random = random
        self._features = features
        self._author = PlanAuthor(random, features)
        self._signalled: set[tuple[str, int, int]] = set()
        self._forks = 0
        self._begins: set[str] = set()  # plans that persons submit
        self._waiting: list[asyncio.Task[Any]] = []  # for the ends of plans

    async def work(self, plans: int) -> None:
        """Until nothing fails any more, and all plans have ended."""
        self._begins = {f"plan-{number}" for number in range(plans)}
        persons = [self._person(f"plan-{number}") for number in range(plans)]
        if "schedule" in self._features:
            persons.append(self._schedule())
        await asyncio.gather(*persons)
        await self._see_all_end()

    def all_ended(self) -> bool:
        """Whether all plans that are to begin have begun and ended."""
        plans = self._world.records.plans
        if "schedule" in self._features or not self._begins or not self._begins <= plans.keys():
            return False
        return all(plan.state.status in ENDED for plan in plans.values())

    async def try_(self, question: Question) -> Any:
        """Ask one of the processes; None where it refuses, fails or ends."""
        with suppress(PlanfoldError, ConnectionError):
            process = self._world.living()
            return await process.ask(question(process.app))
        return None

    async def _person(self, plan_id: str) -> None:
        random, faults = self._random, self._world.faults
        plan = self._author.plan(self._world.size.tasks)
        while plan_id not in self._world.records.plans:
            await self.try_(lambda app: app._send(plan_id, plan))
            await asyncio.sleep(0.01 * random.random())
        self._waiting.append(asyncio.create_task(self._result(plan_id)))
        reading = asyncio.create_task(self._read(plan_id))
        while not faults.over:
            await asyncio.sleep(random.choice((0.001, 0.01, 0.05, 0.3)) * random.random())
            await self._act(random.choice((plan_id, *self._world.records.plans)))
        await reading

    async def _read(self, plan_id: str) -> None:
        """Look at the plan now and then."""
        while not self._world.faults.over:
            await asyncio.sleep(self._random.choice((0.001, 0.1, 1.0)) * self._random.random())
            if self._random.random() < 0.95:
                await self._view(plan_id)
            else:
                await self._ask_why(plan_id)

    async def _ask_why(self, plan_id: str) -> None:
        """A plan that has not ended waits for something."""
        found = await self.try_(lambda app: app.why(plan_id))
        if found is not None and found.status not in ENDED and not found.reasons:
            self._world.violated(f"{plan_id} is {found.status.value} for no reason")

    async def _act(self, plan_id: str) -> None:
        """Look at the plan, answer what it asks, or change one's mind."""
        view = await self._view(plan_id)
        if view is None:
            return
        random = self._random
        if view.questions and random.random() < 0.5:
            await self._answer(plan_id, view.questions)
        elif view.status is PlanStatus.AwaitingApproval and random.random() < 0.5:
            await self._send(plan_id, ApprovePlan(view.revision_hash, "a person"))
        elif self._world.faults.happens("person", 2.0):
            await self._change(plan_id, view)

    async def _send(self, plan_id: str, command: Any) -> None:
        self._world.note(f"a person sends {command!r}"[:200])
        await self.try_(lambda app: app._send(plan_id, command))

    async def _view(self, plan_id: str) -> Any:
        view = await self.try_(lambda app: app.view(plan_id))
        if view is not None:
            self._world.records.viewed(view)
        return view

    async def _answer(self, plan_id: str, questions: Any) -> None:
        question = self._random.choice(questions)
        answer = self._random.choice(question.choices or ("text",))
        result = {"result": {"run": -1}} if question.then == "outcome" and answer == "done" else {}
        report = ClarificationProvided(answer, "a person", **result)
        now = self._world.clock()
        await self._send(plan_id, HandleExecutorEvent(question.task_id, report, now=now))

    # --- whims --------------------------------------------------------------------------------

    async def _change(self, plan_id: str, view: Any) -> None:
        random = self._world.faults.of("person")
        kind = random.choice(LATE_WHIMS if view.status in ENDED else WHIMS)
        if kind == "fork":
            await self._fork(random, plan_id, view)
        elif kind == "signal":
            await self._give_signal(random, plan_id)
        elif kind == "revise":
            await self._revise(plan_id)
        elif (command := self._whim(random, kind, view)) is not None:
            await self._send(plan_id, command)

    def _whim(self, random: Random, kind: str, view: Any) -> Any:
        task = random.choice([t for each in view.tasks for t in (each, *each.items)])
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
            over = (TaskStatus.Failed, TaskStatus.Cancelled)
            failed = [t for t in view.tasks if t.status in over]
            return RetryTask(random.choice(failed).id) if failed else None
        if kind == "undo":
            return UndoPlan("a person") if "undo" in self._features else None
        return CancelPlan("a whim")

    async def _revise(self, plan_id: str) -> None:
        state = self._world.records.plans[plan_id].state
        draft, by = self._author.revision(state), self._random.choice(("a person", None))
        with suppress(PlanfoldError):
            command = compile_revision(draft, toolbox(), state, approved_by=by)
            await self._send(plan_id, command)

    async def _fork(self, random: Random, plan_id: str, view: Any) -> None:
        if "fork" not in self._features or self._forks > 2:
            return
        self._forks += 1
        fork_id = f"fork-{self._forks}"
        at = random.choice((None, random.randint(1, view.version)))
        repeat = tuple(t.id for t in view.tasks) if random.random() < 0.3 else ()
        kept = random.random() < 0.5
        self._world.note(f"a person forks {plan_id} at {at} as {fork_id}, repeat {repeat}")
        await self.try_(
            lambda app: app.fork(
                plan_id, at=at, keep_answers=kept, repeat=repeat, by="a person", fork_id=fork_id
            )
        )

    async def _give_signal(self, random: Random, plan_id: str) -> None:
        if "wait" not in self._features:
            return
        key = random.choice((COMMON_KEY, plan_id, str(random.randrange(4))))
        await self._signal(key, f"{key}/{random.randrange(3)}")

    async def _signal(self, key: str, signal_id: str) -> bool:
        """Whether it was given, now or before."""
        self._world.note(f"a person gives the signal {signal_id}")
        data = {"signal": signal_id}
        given = await self.try_(lambda app: app.signal(SIGNAL, key, data, id=signal_id))
        return given is not None

    # --- schedules ----------------------------------------------------------------------------

    async def _schedule(self) -> None:
        """Add a schedule, and remove it when it has begun plans and nothing fails any more."""
        random, plans = self._random, self._world.records.plans
        draft = PlanAuthor(random, frozenset()).draft(most=3)
        about = {
            "overlap": random.choice(("skip", "queue", "allow")),
            "catch_up": random.choice(("skip", "once", "all")),
            "approved_by": random.choice(("a person", None)),
        }
        added = None
        while added is None:
            await asyncio.sleep(random.random())
            added = await self.try_(
                lambda app: app.add_schedule(SCHEDULE, "* * * * *", draft, **about)
            )
        end, lazy_until = float("inf"), random.choice((0.0, 2 * 60.0))
        while self._world.loop.time() < end:
            await asyncio.sleep(random.random())
            begun = [plan_id for plan_id in plans if plan_id.startswith(SCHEDULE)]
            if self._world.loop.time() > lazy_until:  # the next one may wait for its end
                for plan_id in begun:
                    await self._continue(plans[plan_id])
            if end == float("inf") and self._world.faults.over:
                end = self._world.loop.time() + PATIENCE_S
            if self._world.faults.over and len(begun) >= OCCURRENCES:
                break
        else:
            self._world.violated(f"the schedule began {len(begun)} plans in {PATIENCE_S:g} s")
        await self._remove_schedule()

    async def _remove_schedule(self) -> None:
        await self.try_(lambda app: app.remove_schedule(SCHEDULE))
        schedule = self._world.records.others[f"schedule/{SCHEDULE}"].handler
        assert isinstance(schedule, PlanSchedule)
        if schedule.state.added is not None:
            self._world.violated("the schedule was not removed")

    # --- the end ------------------------------------------------------------------------------

    async def _see_all_end(self) -> None:
        """Nothing fails any more: the plans have to advance until they end."""
        records, loop = self._world.records, self._world.loop
        for plan_id in list(records.plans):
            self._waiting.append(asyncio.create_task(self._result(plan_id)))
            if self._random.random() < 0.3:
                await self._ask_why(plan_id)
        length, since = 0, loop.time()
        while left := [plan for plan in records.plans.values() if plan.state.status not in ENDED]:
            await asyncio.sleep(0.05 if loop.time() - since < 5.0 else 2.0)
            for plan in left:
                await self._continue(plan)
            now = sum(len(plan.log) for plan in records.plans.values())
            if now > length:
                length, since = now, loop.time()
            elif loop.time() > since + PATIENCE_S:
                status = ", ".join(f"{plan.id} is {plan.state.status.value}" for plan in left)
                self._world.violated(f"{status}; nothing has advanced for {PATIENCE_S:g} s")
                await loop.create_future()
        for view in await asyncio.gather(*self._waiting):
            if view is not None:
                records.viewed(view)

    async def _result(self, plan_id: str) -> Any:
        return await self.try_(lambda app: app.result(plan_id))

    async def _continue(self, plan: PlanRecord) -> None:
        """Do what the plan waits for."""
        state = plan.state
        if state.status is PlanStatus.AwaitingApproval:  # else a reader would send commits
            await self._send(plan.id, ApprovePlan(state.revision_hash, "a person"))
        elif state.status is PlanStatus.Paused:
            before = () if state.paused else tuple(state.breakpoints)
            await self._send(plan.id, UnpausePlan(before, "a person"))
        elif state.questions and (view := await self._view(plan.id)) and view.questions:
            await self._answer(plan.id, view.questions)
        for task in [task for task in state.tasks.values() if task.waits]:
            await self._end_wait(plan, task)

    async def _end_wait(self, plan: PlanRecord, task: Task) -> None:
        """Give a wait its signal, once: it must not be lost."""
        place, wait = (plan.id, task.id, task.attempt), task.spec.wait
        if wait is None or wait.signal is None or place in self._signalled:
            return
        key = plan.id if task.signal_key is None else task.signal_key
        if await self._signal(key, f"{plan.id}/{task.id}/{task.attempt}"):
            self._signalled.add(place)
