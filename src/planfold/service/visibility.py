"""What a credential for some projects sees of the log of all plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from planfold.errors import CorruptLog, NotFound
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope
from planfold.projects import sees
from planfold.readmodels.statistics import Statistics
from planfold.runtime.kept_statistics import statistics_of

if TYPE_CHECKING:
    from planfold.app import App

REMEMBERED: Final = 10_000  # plans


class ProjectsOfPlans:
    """Knows whether plans are of some projects. The project of a plan never changes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._known: dict[str, str] = {}

    async def sees(self, projects: Sequence[str], plan_id: str) -> bool:
        """Whether a credential for these projects sees a plan. One that was archived in the
        meantime, or cannot be read, is not seen."""
        if not projects:
            return True
        if plan_id not in self._known:
            try:
                project = await self._app.project(plan_id)
            except (NotFound, CorruptLog):
                return False
            if len(self._known) >= REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[plan_id] = project
        return sees(projects, self._known[plan_id])


class ProjectStatistics:
    """Statistics of the plans of some projects: a projection, see
    :class:`planfold.subscriptions.projection.Projection`."""

    def __init__(self, app: App, of_plans: ProjectsOfPlans, projects: tuple[str, ...]) -> None:
        self.found: Statistics = statistics_of(app.store)
        self._of_plans = of_plans
        self._projects = projects

    async def load(self) -> Checkpoint | None:
        return await self.found.load()

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        seen = [e for e in envelopes if await self._of_plans.sees(self._projects, e.aggregate_id)]
        await self.found.apply(seen, checkpoint)
