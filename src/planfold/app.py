"""``App``: the composition root. It puts store, dispatcher, executors and drafters together."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from msgspec.structs import replace

from planfold.assembly import assembled, files_dir, planner_config, workspace_of
from planfold.databases import open_store
from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft
from planfold.drafting.files import load_plan
from planfold.errors import CommandRejected, ConfigurationError, NotFound, Permanent
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore, StreamHead
from planfold.eventstore.transfer import where_archived
from planfold.executors.recordable import recordable
from planfold.executors.registry import Executors
from planfold.llm.model import Models
from planfold.planner.commands import (
    ApprovePlan,
    ClarificationProvided,
    Command,
    HandleExecutorEvent,
    Initialize,
    PlannerConfig,
)
from planfold.planner.events import Event
from planfold.planner.planner import Planner
from planfold.planner.tasks import PlanStatus
from planfold.readmodels.plan_view import PlanView, plan_view
from planfold.runtime.aggregate import PLAN, Aggregate
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.reporting import Observer
from planfold.runtime.settings import Settings, load_settings
from planfold.runtime.standstill import LOOK_EVERY_S, needed_worker, unserved, waits_for_person
from planfold.runtime.troubles import LoggedTroubles
from planfold.runtime.worker import Worker

if TYPE_CHECKING:
    from planfold.assembly import ToolSource

ENDED = frozenset({PlanStatus.Completed, PlanStatus.Failed, PlanStatus.Cancelled})
PAGE = 256  # events that are read at a time
WAITING = frozenset({PlanStatus.AwaitingApproval, PlanStatus.AwaitingAnswer})


class App:
    """planfold for programs: submit plans, follow them, answer, and run workers.

    Made by :func:`open_app`; belongs to one event loop.
    """

    def __init__(
        self,
        store: EventStore,
        executors: Executors,
        settings: Settings,
        aggregates: Sequence[Aggregate] = (PLAN,),
    ) -> None:
        self.store = store
        self.aggregates = aggregates
        self.executors = executors
        self.settings = settings
        self.dispatcher = Dispatcher(store)

    async def submit(
        self,
        plan: PlanDraft | str,
        *,
        plan_id: str | None = None,
        approved_by: str | None = None,
        config: PlannerConfig | None = None,
    ) -> str:
        """Check a plan (a draft, or text: Markdown, prose, JSON) and record it; returns its id.

        It waits for approval unless ``approved_by`` says who gave it. With a ``plan_id`` of your
        own, submitting the same plan again does nothing.

        Raises:
            InvalidPlan: with all faults.
            CommandRejected: ``plan_id`` stands for another plan.
        """
        draft = self.draft(plan) if isinstance(plan, str) else plan
        tasks = compile_plan(draft, self.executors.toolbox)
        plan_id = plan_id or new_plan_id()
        command = Initialize(
            draft.title, tasks, draft.goal, config or self.planner_config(), approved_by
        )
        await self.send(plan_id, command)
        return plan_id

    async def wish(
        self,
        text: str,
        *,
        plan_id: str | None = None,
        approved_by: str | None = None,
        config: PlannerConfig | None = None,
    ) -> str:
        """Let the model of ``config`` (or of the settings) make a plan of ``text``; returns the
        plan's id. A worker then plans; ``approved_by`` approves beforehand all that it plans.

        Raises:
            ConfigurationError: no model is configured.
        """
        from planfold.drafting.model.wish import begin_with_wish  # it loads a Markdown parser

        config = config or self.planner_config()
        if not config.model:
            raise ConfigurationError(
                'no model is configured; set model = "openai:..." in planfold.toml'
            )
        plan_id = plan_id or new_plan_id()
        await self.send(plan_id, begin_with_wish(text, config, approved_by=approved_by))
        return plan_id

    def draft(self, text: str, *, source: str = "-") -> PlanDraft:
        """Read a plan from text; ``source`` (a file name) tells its language.

        Raises:
            InvalidPlan: JSON or YAML that is not a plan, with the place of each fault.
        """
        return load_plan(text, source=source, tools=[t.name for t in self.executors.toolbox])

    def planner_config(self, *, max_parallel: int | None = None) -> PlannerConfig:
        """The settings of new plans."""
        config = planner_config(self.settings)
        if max_parallel is None:
            return config
        return replace(config, max_parallel=max_parallel)

    async def send(
        self, plan_id: str, command: Command, *, command_id: str | None = None
    ) -> list[Event]:
        """Send one command to a plan; returns the events it caused, durable by then. With a
        ``command_id`` of your own, sending it again does nothing.

        Raises:
            CommandRejected, NotFound: see :meth:`Planner.process`.
            Conflict: ``command_id`` stands for another command.
        """
        return await self.dispatcher.send(
            PLAN,
            plan_id,
            command,
            command_id=command_id or f"command-{secrets.token_hex(8)}",
            correlation_id=plan_id if isinstance(command, Initialize) else "",
            idempotent=command_id is not None,
        )

    async def answer(
        self,
        plan_id: str,
        task: int | str,
        text: str,
        *,
        by: str = "",
        failed: bool = False,
        result: Any = UNSET,
    ) -> None:
        """Answer the question of a task (id or label); ``failed`` reports that what a person was
        asked to do could not be done.

        ``result`` is the task's result, as JSON, where the answer is that an attempt whose outcome
        was unknown is done; without one the result is null.

        Raises:
            CommandRejected: the task asks nothing, or does not take this answer or a result.
            NotFound: there is no such plan or task.
        """
        if result is not UNSET:
            result = _recorded(result)
        report = ClarificationProvided(_valid_text(text), by, failed, result)
        task_id = await self.task_id(plan_id, task)
        await self.send(plan_id, HandleExecutorEvent(task_id, report, now=self.store.clock()))

    async def approve(
        self, plan_id: str, revision_hash: str | None = None, *, by: str = ""
    ) -> None:
        """Approve a revision of a plan: the given one, or the present one."""
        revision = revision_hash or (await self.planner(plan_id)).state.revision_hash
        await self.send(plan_id, ApprovePlan(revision, by))

    async def planner(self, plan_id: str) -> Planner:
        """The plan's aggregate as it stands, for reading. Raises NotFound."""
        planner = await self.dispatcher.view(PLAN, plan_id)
        assert isinstance(planner, Planner)
        return planner

    async def task_id(self, plan_id: str, key: int | str) -> int:
        """The id of a task named by id or label. Raises NotFound."""
        tasks = (await self.planner(plan_id)).state.tasks
        for task in tasks.values():
            if key in (task.id, task.spec.label, str(task.id)):
                return task.id
        raise NotFound(f"plan {plan_id} has no task {key!r}")

    async def view(self, plan_id: str) -> PlanView:
        """The plan as its log says. Raises NotFound, CorruptLog."""
        envelopes = await self.store.read(Query(aggregate_id=plan_id, stream_id=PLAN.stream_id))
        if not envelopes:
            raise await self._missing(plan_id)
        return plan_view(plan_id, envelopes)

    async def plans(self) -> list[StreamHead]:
        """All plans, oldest first, with title, status and counts in ``head``."""
        return await self.store.heads(PLAN.stream_id)

    async def status(self, plan_id: str) -> PlanStatus:
        """Where a plan stands. Raises NotFound."""
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
        """Wait until the plan has ended, or stands at a status in ``stop_at``.

        Raises:
            NotFound: there is no such plan.
            CorruptLog: this version cannot read it, so it would never end here.
        """
        await self.planner(plan_id)
        wanted = ENDED | frozenset(stop_at)
        while True:
            ticket = self.store.wakeup.ticket(plan_id)
            if await self.status(plan_id) in wanted:
                return await self.view(plan_id)
            self.store.watch_other_processes()
            await ticket.wait()

    async def run(self, plan_id: str) -> PlanView:
        """Work on one plan here until it has ended, or nothing more can happen without a person
        or a worker that does not live; ``stopped_because`` of the view says then for what it
        waits.

        Raises:
            NotFound: there is no such plan.
            CorruptLog: this version cannot read it, so it would never end here.
        """
        await self.planner(plan_id)
        async with self.worker(plan_id=plan_id) as worker:
            look_at = time.monotonic() + LOOK_EVERY_S
            while True:
                ticket = self.store.wakeup.ticket(plan_id)
                status = await self.status(plan_id)
                if status in ENDED:
                    return await self.view(plan_id)
                reason = None
                if status in WAITING:
                    reason = waits_for_person((await self.planner(plan_id)).state)
                elif time.monotonic() >= look_at:
                    reason = await self._waits_for_worker(plan_id, worker)
                    look_at = time.monotonic() + LOOK_EVERY_S
                if reason is not None:
                    return replace(await self.view(plan_id), stopped_because=reason)
                self.store.watch_other_processes()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await ticket.wait()

    async def _waits_for_worker(self, plan_id: str, worker: Worker) -> str | None:
        """Which worker the plan needs, where nothing else can take it further."""
        version = await self.store.version(plan_id)
        state = (await self.planner(plan_id)).state
        tasks = await unserved(self.store, self.executors, plan_id, state, worker.owner)
        if not tasks or await self.store.version(plan_id) != version:
            return None
        return (
            f"task {tasks[0].id} waits for {needed_worker(tasks[0].spec)}; this process has none: "
            "add it to tools= or start a worker that has it"
        )

    def worker(
        self,
        *,
        plan_id: str | None = None,
        concurrency: int | None = None,
        routes: Iterable[str] | None = None,
        drain_s: float | None = None,
        observer: Observer | None = None,
    ) -> Worker:
        """A worker on this process's event loop: ``async with app.worker(): ...``.

        Leaving the block drains it: no more tasks are taken, and those that run get ``drain_s``
        seconds (``settings.drain_s``) to end before they are cut off. ``observer`` is told what
        was recorded and what does not work; without one, trouble is logged to "planfold".

        Raises:
            ConfigurationError: ``concurrency`` or ``drain_s`` is out of its range.
        """
        changes = {"concurrency": concurrency, "drain_s": drain_s}
        given = {name: value for name, value in changes.items() if value is not None}
        settings = replace(self.settings, **given)
        workspace = workspace_of(settings)
        return Worker(
            self.store,
            self.dispatcher,
            self.executors,
            concurrency=settings.concurrency,
            drain_s=settings.drain_s,
            plan_id=plan_id,
            routes=routes,
            aggregates=self.aggregates,
            workspace=workspace,
            files_dir=files_dir(settings, workspace),
            observer=observer or LoggedTroubles(),
        )


@asynccontextmanager
async def open_app(
    database: str | Settings | None = None,
    *,
    tools: Iterable[ToolSource] = (),
    executors: Executors | None = None,
    models: Models | None = None,
    aggregates: Iterable[Aggregate] = (),
    create: bool = True,
    load: bool = True,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[App]:
    """Open a database (``sqlite:///path``, ``sqlite:///:memory:``,
    ``postgresql://user:password@host/database``) with the built-in executors.

    ``tools`` are decorated functions, modules that hold them, or module names; ``models`` finds
    language models by name, instead of the vendors' libraries; ``aggregates`` are further
    kinds of handlers whose events the store shall keep; ``clock`` replaces the store's own (this
    host's, or the PostgreSQL server's). Without ``load`` nothing is added to ``executors``, and no
    tools are imported: enough to look at plans and to send them commands, not to run them.

    Raises:
        ConfigurationError: the address, a setting or a tool is wrong.
    """
    settings = database if isinstance(database, Settings) else load_settings(database=database)
    async with AsyncExitStack() as stack:
        chosen = executors or Executors()
        if load:
            chosen = await stack.enter_async_context(assembled(settings, tools, executors, models))
        kinds = (PLAN, *aggregates)
        codec = Codec(t for aggregate in kinds for t in aggregate.events)
        store = await open_store(settings.database, codec, clock, create)
        stack.push_async_callback(store.close)
        yield App(store, chosen, settings, kinds)


def new_plan_id() -> str:
    """Short, unique enough for any number of plans, and safe in a shell and a URL."""
    return f"plan-{secrets.token_hex(5)}"


def _recorded(result: Any) -> Any:
    try:
        return recordable(result, "the result")
    except Permanent as fault:
        raise CommandRejected(str(fault)) from None


def _valid_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CommandRejected("the text is not valid Unicode (a lone surrogate)") from None
    return text
