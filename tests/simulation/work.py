"""The plans of a simulation, its tools and its people."""

from __future__ import annotations

import asyncio
from random import Random

from planfold.errors import Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner.commands import Initialize, RevisePlan, TaskCompleted, TaskFailed
from planfold.planner.config import PlannerConfig
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Prompt, TaskSpec, TaskStatus, ToolCall
from planfold.retries import RetryPolicy
from tests.simulation.faults import Faults
from tests.simulation.records import Records, Run

EFFECTS = [Effect.Safe] * 6 + [Effect.Keyed] * 2 + [Effect.Once] * 2


def make_task(random: Random, number: int, parents: list[int]) -> TaskSpec:
    parents = sorted(set(parents))
    continues = random.random() < 0.1
    if random.random() < 0.1:
        prompt = Prompt(("yes", "no"))
        if random.random() < 0.5:
            prompt = Prompt(("yes", "no"), "no", random.choice((1.0, 10.0)))
        return TaskSpec(
            id=number,
            description="ask",
            kind=NodeKind.Clarification,
            depends_on=tuple(parents),
            prompt=prompt,
        )
    effect = random.choice(EFFECTS)
    arguments = {"inputs": [f"${parent}" for parent in parents]} if parents else {}
    return TaskSpec(
        id=number,
        description="work",
        kind=NodeKind.ToolCall,
        tool=ToolCall(effect.value, arguments),
        depends_on=tuple(parents),
        effect=effect,
        retry=RetryPolicy(random.choice((1, 2, 4)), base=random.choice((0.001, 1.0))),
        timeout=5.0 if effect is Effect.Safe and random.random() < 0.1 else None,
        on_failure="continue" if continues else "stop",
    )


def make_plan(random: Random) -> Initialize:
    tasks: list[TaskSpec] = []
    chain = random.choice((0.5, 0.9))
    for number in range(1, random.randrange(2, 9)):
        parents = [number - 1] if number > 1 and random.random() < chain else []
        if number > 2 and random.random() < 0.3:
            parents.append(random.randrange(1, number))
        tasks.append(make_task(random, number, parents))
    config = PlannerConfig(max_parallel=random.choice((None, None, 1, 2)))
    approved_by = "a person" if random.random() < 0.7 else None
    return Initialize("a plan", tuple(tasks), config=config, approved_by=approved_by)


def make_revision(random: Random, state: PlannerState) -> RevisePlan:
    started = [
        task.id
        for task in state.tasks.values()
        if task.status in (TaskStatus.Running, TaskStatus.Completed, TaskStatus.NeedsClarification)
    ]
    first = max(state.tasks) + 1
    tasks: list[TaskSpec] = []
    for number in range(first, first + random.randrange(1, 4)):
        known = [*started, *(task.id for task in tasks)]
        parents = [random.choice(known)] if known and random.random() < 0.7 else []
        tasks.append(make_task(random, number, parents))
    return RevisePlan(tuple(tasks), approved_by=random.choice(("a person", None)))


class SimulatedTool:
    """Serves every call: a ``safe`` one returns another value each time, the others leave an
    effect. ``process`` is the number of the process that it runs in."""

    def __init__(self, records: Records, faults: Faults, process: int) -> None:
        self._records = records
        self._faults = faults
        self._process = process

    async def execute(self, context: TaskContext) -> Outcome:
        faults, effect = self._faults, context.task.spec.effect
        run = self._records.began(context, self._process)
        obeys = faults.of("slow").random() < 0.7
        if await self._pause(context) and obeys:
            return TaskFailed("stopped before it acted", retryable=False)
        if faults.happens("tool"):
            if faults.of("tool").random() < 0.3:
                raise Permanent("simulated: it will never work")
            raise RuntimeError("simulated: it failed before it acted")
        if faults.of("slow").random() < 0.15:
            await self._step(context, run)
        if effect is not Effect.Safe:
            self._records.effect(run, effect)
        await self._pause(context)
        return TaskCompleted({"run": run.number})

    async def _step(self, context: TaskContext, run: Run) -> None:
        async def draw() -> int:
            await self._pause(context)
            return self._faults.of("slow").randrange(1_000_000)

        value = await context.once("step", draw)
        self._records.stepped(run, value)

    async def _pause(self, context: TaskContext) -> bool:
        """Whether it was asked to stop meanwhile."""
        random = self._faults.of("slow")
        if random.random() < 0.5:
            await asyncio.sleep(0)
            return context.cancelled.is_set()
        seconds = random.choice((0.0001, 0.001, 0.003)) * random.random()
        if self._faults.happens("slow"):
            seconds = random.choice((0.05, 1.0, 20.0)) * random.random()
        try:
            async with asyncio.timeout(seconds):
                await context.cancelled.wait()
        except TimeoutError:
            return False
        return True


def simulated_executors(records: Records, faults: Faults, process: int) -> Executors:
    executors = Executors()
    executors.add(SimulatedTool(records, faults, process), kind=NodeKind.ToolCall)
    return executors
