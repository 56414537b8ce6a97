"""``PlanReader``: reads plans from the log, and waits for their events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec.structs import replace

from planfold.choices import wrong_choice
from planfold.errors import ConfigurationError, NotFound
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.stored import StoredPlan, StoredSchedule
from planfold.planner.tasks import PlanStatus
from planfold.projects import DEFAULT
from planfold.readmodels.plan_fold import PlanFold
from planfold.runtime.aggregate import PLAN
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.lookups import folded
from planfold.runtime.origins import base_of, history_of
from planfold.runtime.plan_lists import PlanList
from planfold.runtime.task_names import task_id_in

if TYPE_CHECKING:  # views are imported by the methods that make them: few programs need them all
    from planfold.readmodels.explanation import Explanation, Present
    from planfold.readmodels.ledger import Ledger
    from planfold.readmodels.plan_difference import PlanDifference
    from planfold.readmodels.plan_view import PlanView
    from planfold.readmodels.replay import Replay
    from planfold.readmodels.simulation import Simulation
    from planfold.readmodels.statistics import Statistics
    from planfold.readmodels.timeline import Timeline
    from planfold.readmodels.workers import Unclaimed

STORED_PLAN: Final = replace(PLAN, handler=StoredPlan)
ENDED: Final = frozenset({PlanStatus.Completed, PlanStatus.Failed, PlanStatus.Cancelled})
STATUSES: Final = frozenset(status.value for status in PlanStatus)
LONG_LOG: Final = 5_000  # events; of a longer log, only what is asked for is read
PAGE: Final = 256  # events that are read at a time


class PlanReader(PlanList):
    """Looks at the plans of a store, and waits for them. Changes nothing."""

    def __init__(self, store: EventStore, dispatcher: Dispatcher) -> None:
        self.store = store
        self.dispatcher = dispatcher

    async def planner(self, plan_id: str, *, at_least: int | None = None) -> Planner:
        """The plan's aggregate in its present state in the log, for reading; with ``at_least``,
        any state at that version or later. Raises NotFound."""
        try:
            planner = await self.dispatcher.view(PLAN, plan_id, at_least=at_least)
        except NotFound:
            raise await self._missing(plan_id) from None
        assert isinstance(planner, Planner)
        return planner

    def _settled(self, plan_id: str) -> Planner | None:
        """The plan as this process knows it; None where another process may have written since."""
        planner = self.dispatcher.settled(PLAN, plan_id)
        return planner if isinstance(planner, Planner) else None

    async def task_id(self, plan_id: str, key: int | str) -> int:
        """The id of a task named by id or label. Raises NotFound."""
        return task_id_in(plan_id, (await self.planner(plan_id)).state, key)

    async def view(self, plan_id: str, *, at: int | datetime | None = None) -> PlanView:
        """The plan's present state in the log, or its state ``at`` a version or a time: see
        :meth:`fold`. Raises NotFound, CorruptLog."""
        from planfold.readmodels.plan_view import plan_view

        if at is not None:
            return plan_view(plan_id, (await self.fold(plan_id, at)).state)
        return plan_view(plan_id, (await self.planner(plan_id)).state)

    async def fold(self, plan_id: str, at: int | datetime | None = None) -> PlanFold:
        """The plan's log, folded up to a version or a time, both included (None: all of it). A
        time without a zone is local time.

        Raises:
            NotFound: there is no such plan, it has no such version, or it had not begun then.
            CorruptLog: this version cannot read an event up to there.
        """
        if at is None and (long := await self._long(plan_id)) is not None:
            return long
        version = at if isinstance(at, int) else None
        until = at.timestamp() if isinstance(at, datetime) else None
        fold, state = await self.new_fold(plan_id), None
        async for envelope in self.history(plan_id):
            late = until is not None and envelope.recorded_at > until
            if late or (version is not None and envelope.version > version):
                break
            fold.apply(envelope)
            state = fold.state
        if state is None or (version is not None and state.version < version):
            raise NotFound(await self._why_not_at(plan_id, at))
        return fold

    async def new_fold(self, plan_id: str) -> PlanFold:
        """A fold of nothing yet; that of a fork begins with the state of its origin."""
        return PlanFold(plan_id, await base_of(self.store, plan_id))

    async def _long(self, plan_id: str) -> PlanFold | None:
        """The present fold of a plan whose log is long, from its snapshot and the events after
        it. None: its log is to be read, because it is short or what was approved is asked for."""
        head = await self.store.head(plan_id)
        if head is None or head.stream_id != PLAN.stream_id or head.version <= LONG_LOG:
            return None
        planner = await folded(self.store, STORED_PLAN, plan_id)
        assert isinstance(planner, Planner)
        schedule, status = planner.state.schedule, head.head.get("status")
        if isinstance(schedule, StoredSchedule) and status in STATUSES:
            schedule.say(head.version, PlanStatus(status))
        if planner.state.status is PlanStatus.AwaitingApproval:
            return None
        return PlanFold(plan_id, planner.state)

    async def diff(
        self,
        plan_id: str,
        other_id: str,
        *,
        at: int | datetime | None = None,
        other_at: int | datetime | None = None,
    ) -> PlanDifference:
        """How another plan, or the same one at another version or time, differs from this one: see
        :class:`PlanDifference`. Raises NotFound, CorruptLog."""
        from planfold.readmodels.plan_difference import Side, plan_difference

        sides = list[Side]()
        for each, moment in ((plan_id, at), (other_id, other_at)):
            state = (await self.fold(each, moment)).state
            sides.append(Side(state, await history_of(self.store, each, state.version)))
        return plan_difference(sides[0], sides[1])

    async def _why_not_at(self, plan_id: str, at: int | datetime | None) -> str:
        state = (await self.planner(plan_id)).state
        if isinstance(at, int):
            return f"plan {plan_id} has no version {at}; its versions are 1 to {state.version}"
        began = datetime.fromtimestamp(state.created_at).isoformat(" ", "seconds")
        return f"plan {plan_id} had not begun at {at}; it began at {began}"

    async def replay(self, plan_id: str) -> Replay:
        """Fold the plan's log and decide each of its commands again; ``difference`` of the result
        is the first event that comes out otherwise. Nothing is run and nothing is written.

        Raises:
            NotFound: there is no such plan.
            CorruptLog: this version cannot read it.
        """
        from planfold.readmodels.replay import Replayer

        replayer = Replayer(plan_id, await base_of(self.store, plan_id))
        async for envelope in self.history(plan_id):
            replayer.take(envelope)
            if replayer.found.difference is not None:
                return replayer.found
        return replayer.finish()

    async def history(self, plan_id: str, *, after: int = 0) -> AsyncIterator[Envelope]:
        """The plan's recorded events after a version, oldest first, a page at a time. Raises
        NotFound."""
        head = await self.store.head(plan_id)
        if head is None or head.stream_id != PLAN.stream_id:
            raise await self._missing(plan_id)
        while page := await self.store.read_versions(plan_id, after=after, limit=PAGE):
            for envelope in page:
                yield envelope
            after = page[-1].version

    async def _timeline(self, plan_id: str) -> Timeline:
        """What each task of a plan waited for and ran so far. Raises NotFound, CorruptLog."""
        from planfold.readmodels.timeline import Timeline

        timeline = Timeline(plan_id, await base_of(self.store, plan_id))
        async for envelope in self.history(plan_id):
            timeline.apply(envelope)
        return timeline

    async def why(
        self, plan_id: str, task: int | str | None = None, *, history: bool = False
    ) -> Explanation:
        """Why a plan, or one of its tasks (id or label), does not run, failed or was skipped; and
        of a task what it waited for so far. The log of a plan with more than 5,000 events is read
        only for a ``history``: without it, that is empty, and since when a reason holds may be
        unknown.

        Raises NotFound, CorruptLog.
        """
        from planfold.readmodels.explanation import Present, explain
        from planfold.readmodels.workers import look_at_queue

        timeline: Timeline | Present | None = None
        if not history and (fold := await self._long(plan_id)) is not None:
            timeline = Present(fold)
        timeline = timeline or await self._timeline(plan_id)
        task_id = None if task is None else task_id_in(plan_id, timeline.state, task)
        look = await look_at_queue(self.store.queue, plan_id, always=True)
        return explain(timeline, look, self.store.clock(), task_id)

    async def unclaimed(self, plan_id: str, state: PlannerState | None = None) -> Unclaimed:
        """Which dispatched tasks of a plan no worker holds; ``state`` is the plan's, where it is
        known. Raises NotFound."""
        from planfold.readmodels.workers import look_at_queue, unclaimed

        if state is None:
            state = (await self.planner(plan_id)).state
        runs = state.status in (PlanStatus.Running, PlanStatus.Cancelling)
        look = await look_at_queue(self.store.queue, plan_id, always=runs)
        return unclaimed(look, plan_id, state.tasks)

    async def ledger(self, plan_id: str) -> Ledger:
        """Where a plan's time went, along its critical path. Raises NotFound, CorruptLog."""
        from planfold.readmodels.ledger import ledger_of

        return ledger_of(await self._timeline(plan_id), self.store.clock())

    async def picture(self, plan_id: str, form: Literal["svg", "html"] = "svg") -> str:
        """A plan's graph with the state of its tasks, and its timeline: as SVG, or as a page with
        a table of the tasks. Raises NotFound, CorruptLog, and ConfigurationError for another
        form."""
        _check_form(form, ("svg", "html"))
        from planfold.readmodels.picture import Picture  # most programs need none

        picture = Picture(await self._timeline(plan_id), self.store.clock())
        return picture.svg() if form == "svg" else picture.html()

    async def trace(
        self, plan_id: str, form: Literal["otlp", "chrome"] = "otlp", *, content: bool = False
    ) -> dict[str, Any]:
        """A plan that has ended as a trace: for OpenTelemetry, or in Chrome's format. The ids in it
        are derived from those of the plan and its events. With ``content`` also titles,
        arguments, results, answers and errors.

        Raises:
            CommandRejected: the plan has not ended.
            NotFound: there is no such plan.
            CorruptLog: this version cannot read it.
            ConfigurationError: there is no such form.
        """
        _check_form(form, ("otlp", "chrome"))
        from importlib.metadata import version

        from planfold.readmodels.trace import trace_of
        from planfold.readmodels.trace_formats import chrome, otlp

        log = [envelope async for envelope in self.history(plan_id)]
        base = await base_of(self.store, plan_id)
        trace = trace_of(plan_id, log, content=content, base=base)
        return otlp(trace, version("planfold")) if form == "otlp" else chrome(trace)

    async def what_if(
        self,
        plan_id: str,
        *,
        max_parallel: int | None = None,
        route_limits: Mapping[str, int] | None = None,
        answers: Mapping[int | str, float] | None = None,
    ) -> Simulation:
        """How long a plan that has completed or failed would have taken under other limits, and
        with ``answers`` after so many seconds, by task (id or label).

        Raises:
            CommandRejected: it has not completed or failed, or a limit or a time is out of range.
            NotFound: there is no such plan or task.
        """
        from planfold.readmodels.simulation import simulate

        seconds = {await self.task_id(plan_id, k): s for k, s in (answers or {}).items()}
        timeline = await self._timeline(plan_id)
        return simulate(
            timeline, max_parallel=max_parallel, route_limits=route_limits, answers=seconds
        )

    async def statistics(self, *, since: float = 0.0, rebuild: bool = False) -> Statistics:
        """The outcomes of all plans. ``since`` counts only events recorded from then on (seconds
        since the epoch), which reads the whole log. Without it, what workers and services have
        counted and saved is used; ``rebuild`` removes that, and counts the whole log."""
        from planfold.runtime.kept_statistics import KeptStatistics, count_all, statistics_of

        if since:
            return await count_all(self.store, statistics_of(self.store, since))
        if rebuild:
            await self.store.checkpoints.forget_read_models()
        return await KeptStatistics(self.store).catch_up()

    async def status(self, plan_id: str) -> PlanStatus:
        """The status of a plan. Raises NotFound."""
        if planner := self._settled(plan_id):
            return planner.state.status
        stream = await self.store.head(plan_id)
        if stream is None or stream.stream_id != PLAN.stream_id:
            raise await self._missing(plan_id)
        if stream.head.get("status") not in STATUSES:  # the head was damaged
            return (await self.planner(plan_id)).state.status
        return PlanStatus(stream.head["status"])

    async def project(self, plan_id: str) -> str:
        """The project of a plan. Raises NotFound."""
        if planner := self._settled(plan_id):
            return planner.state.config.project
        stream = await self.store.head(plan_id)
        if stream is None or stream.stream_id != PLAN.stream_id:
            raise await self._missing(plan_id)
        if "status" not in stream.head:  # the head was damaged
            return (await self.planner(plan_id)).state.config.project
        return str(stream.head.get("project", DEFAULT))

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
        from planfold.readmodels.plan_view import plan_view

        await self.planner(plan_id, at_least=1)
        wanted = ENDED | frozenset(stop_at)
        while True:
            ticket = self.store.wakeup.status_ticket(plan_id)
            if planner := self._settled(plan_id):
                if planner.state.status in wanted:
                    return plan_view(plan_id, planner.state)
            elif await self.status(plan_id) in wanted:
                return await self.view(plan_id)
            self.store.watch_other_processes()
            await ticket.wait()


def _check_form(form: str, forms: tuple[str, ...]) -> None:
    if fault := wrong_choice(form, forms):
        raise ConfigurationError(f"form: {fault}")
