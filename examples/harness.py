"""A harness for tests of executors: plans in memory, a clock that the test moves, and a model that
speaks from a script. No network, no model, no waiting."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

import planfold
from planfold import App, PlanDraft, PlanView, Settings
from planfold.testing import ManualClock, Reply, ScriptedModel
from planfold.types import ToolExecutor


class Harness:
    """An app with the given executors beside the built-in ones: ``async with Harness(...) as
    harness:``.

    ``model`` gives the ``replies`` one after the other; what it was asked is in its ``requests``.
    """

    def __init__(self, *executors: ToolExecutor, replies: Iterable[Reply] = ()) -> None:
        self.clock = ManualClock()
        self.model = ScriptedModel(replies)
        self.app: App
        self._executors = executors
        settings = Settings(database="sqlite:///:memory:", model=self.model.name)
        self._opening = planfold.open_app(
            settings, models=lambda name: self.model, clock=self.clock
        )
        self._seen = 0

    async def __aenter__(self) -> Self:
        self.app = await self._opening.__aenter__()
        for executor in self._executors:
            self.app.executors.add_tool(executor)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opening.__aexit__(kind, fault, trace)

    async def begin(self, plan: PlanDraft | str) -> str:
        """Record a plan that is approved; it does not run yet."""
        return await self.app.submit(plan, approved_by="test")

    async def run(self, plan_id: str) -> PlanView:
        """Run the plan until it has ended, or only a person can continue it."""
        return await self.app.run(plan_id)

    async def run_up_to(self, plan_id: str, event_type: str) -> None:
        """Run the plan up to its next event of this type, then stop the worker."""
        async with self.app.worker():
            async for envelope in self.app.watch(plan_id, after=self._seen):
                self._seen = envelope.position
                if envelope.event_type == event_type:
                    return
        raise AssertionError(f"the plan has ended without another {event_type}")
