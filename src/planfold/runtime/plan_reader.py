"""``PlanReader``: reads plans from the log, and waits for their events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from planfold.errors import NotFound
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore, StreamHead
from planfold.eventstore.transfer import where_archived
from planfold.planner.planner import Planner
from planfold.planner.tasks import PlanStatus
from planfold.readmodels.plan_view import PlanView, plan_view
from planfold.runtime.aggregate import PLAN
from planfold.runtime.dispatcher import Dispatcher

ENDED: Final = frozenset({PlanStatus.Completed, PlanStatus.Failed, PlanStatus.Cancelled})
PAGE: Final = 256  # events that are read at a time


class PlanReader:
    """Looks at the plans of a store, and waits for them. Changes nothing."""

    def __init__(self, store: EventStore, dispatcher: Dispatcher) -> None:
        self.store = store
        self.dispatcher = dispatcher

    async def planner(self, plan_id: str) -> Planner:
        """The plan's aggregate in its present state, for reading. Raises NotFound."""
        try:
            planner = await self.dispatcher.view(PLAN, plan_id)
        except NotFound:
            raise await self._missing(plan_id) from None
        assert isinstance(planner, Planner)
        return planner

    async def task_id(self, plan_id: str, key: int | str) -> int:
        """The id of a task named by id or label. Raises NotFound."""
        tasks = (await self.planner(plan_id)).state.tasks.values()
        for task in sorted(tasks, key=lambda task: task.superseded):
            if key in (task.id, task.spec.label, str(task.id)):
                return task.id
        raise NotFound(f"plan {plan_id} has no task {key!r}")

    async def view(self, plan_id: str) -> PlanView:
        """The plan's present state in the log. Raises NotFound, CorruptLog."""
        return plan_view(plan_id, (await self.planner(plan_id)).state)

    async def plans(self) -> list[StreamHead]:
        """All plans, oldest first, with title, status and counts in ``head``."""
        return await self.store.heads(PLAN.stream_id)

    async def status(self, plan_id: str) -> PlanStatus:
        """The status of a plan. Raises NotFound."""
        head = self.dispatcher.head(PLAN, plan_id)
        if head is None:
            stream = await self.store.head(plan_id)
            if stream is None or stream.stream_id != PLAN.stream_id:
                raise await self._missing(plan_id)
            head = stream.head
        return PlanStatus(head["status"])

    async def _missing(self, plan_id: str) -> NotFound:
        archived = await self.store.transfer.tombstones([plan_id])
        if archived:
            return NotFound(where_archived(archived[0])).about("archived")
        return NotFound(f"there is no plan {plan_id!r}").about("plan")

    async def watch(self, plan_id: str, *, after: int = 0) -> AsyncIterator[Envelope]:
        """The plan's events after a position, then new ones as they happen; ends when the plan
        has ended. Raises NotFound."""
        query = Query(aggregate_id=plan_id)
        while True:
            ticket = self.store.wakeup.ticket(plan_id)
            # Asked before reading, so that nothing can be missed.
            ended = await self.status(plan_id) in ENDED
            page = await self.store.read(query, after=after, limit=PAGE)
            for envelope in page:
                yield envelope
                after = envelope.position
            if page:
                continue
            if ended:
                return
            self.store.watch_other_processes()
            await ticket.wait()

    async def result(self, plan_id: str, *, stop_at: Iterable[PlanStatus] = ()) -> PlanView:
        """Wait until the plan has ended, or has a status in ``stop_at``.

        Raises:
            NotFound: there is no such plan.
            CorruptLog: this version cannot read it, so it would never end here.
        """
        await self.planner(plan_id)
        wanted = ENDED | frozenset(stop_at)
        while True:
            ticket = self.store.wakeup.status_ticket(plan_id)
            if await self.status(plan_id) in wanted:
                return await self.view(plan_id)
            self.store.watch_other_processes()
            await ticket.wait()
