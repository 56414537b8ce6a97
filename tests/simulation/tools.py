"""The tool of a simulation: it fails, takes long, obeys or not, and leaves effects."""

from __future__ import annotations

import asyncio

from planfold.errors import Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect, NodeKind
from tests.simulation.faults import Faults
from tests.simulation.plans import toolbox
from tests.simulation.runs import Run, Runs


class SimulatedTool:
    """Serves every call: a ``safe`` one returns another value each time, the others leave an
    effect. ``process`` is the number of the process that it runs in."""

    def __init__(self, runs: Runs, faults: Faults, process: int) -> None:
        self._runs = runs
        self._faults = faults
        self._process = process

    async def execute(self, context: TaskContext) -> Outcome:
        faults, effect = self._faults, context.task.spec.effect
        run = self._runs.began(context, self._process)
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
            self._runs.effect(run, effect)
        await self._pause(context)
        return TaskCompleted({"run": run.number, "list": list(range(run.number % 4))})

    async def _step(self, context: TaskContext, run: Run) -> None:
        async def draw() -> int:
            await self._pause(context)
            return self._faults.of("slow").randrange(1_000_000)

        value = await context.once("step", draw)
        self._runs.stepped(run, value)

    async def _pause(self, context: TaskContext) -> bool:
        """Whether it was asked to stop in that time."""
        random = self._faults.of("slow")
        if random.random() < 0.5:
            await asyncio.sleep(0)
            return context.cancelled.is_set()
        seconds = random.choice((0.0001, 0.001, 0.003)) * random.random() * self._faults.pace
        if self._faults.happens("slow"):
            seconds = random.choice((0.05, 1.0, 20.0)) * random.random()
        try:
            async with asyncio.timeout(seconds):
                await context.cancelled.wait()
        except TimeoutError:
            return False
        return True


def simulated_executors(runs: Runs, faults: Faults, process: int) -> Executors:
    executors = Executors()
    executors.toolbox = toolbox()
    executors.add(SimulatedTool(runs, faults, process), kind=NodeKind.ToolCall)
    return executors
