"""``App``: the composition root. It puts store, dispatcher, executors and drafters together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from planfold import projects
from planfold.assembly import anchored, assembled, files_dir, planner_config, workspace_of
from planfold.databases import open_store
from planfold.errors import ConfigurationError
from planfold.eventstore.codec import Codec
from planfold.eventstore.port import EventStore
from planfold.executors.registry import Executors
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import PlanStatus
from planfold.runtime.aggregate import CREDENTIAL, PLAN, SCHEDULES, SIGNALS, Aggregate
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.facts import log_facts
from planfold.runtime.forking import new_plan_id as new_plan_id
from planfold.runtime.inputs import check_text
from planfold.runtime.own_aggregates import OwnAggregates
from planfold.runtime.plan_reader import ENDED
from planfold.runtime.settings import Settings, load_settings
from planfold.shared_limits import SharedLimit
from planfold.tools.tool import Toolbox

if TYPE_CHECKING:
    from types import ModuleType

    from planfold.drafting.draft import PlanDraft
    from planfold.drafting.templates import Template
    from planfold.executors.python import PythonTool
    from planfold.llm.model import Model
    from planfold.readmodels.plan_view import PlanView
    from planfold.runtime.log import Log
    from planfold.runtime.reporter import Observer
    from planfold.runtime.worker import Worker
    from planfold.transfer.archive import Archived


class App(OwnAggregates):
    """planfold for programs: submit plans, decide, follow them, and run workers.

    Made by :func:`open_app`; belongs to one event loop. A plan is named by its id, a task by its
    id or label. A method returns when its events are durable. It raises NotFound where there is
    no such plan or task, and Transient where the database cannot be read or written now.

    ``executors`` are those of its workers, ``settings`` its settings with absolute paths,
    ``aggregates`` the kinds of streams it knows.

    Example:
        import planfold

        async with planfold.open_app("sqlite:///plans.db") as app:
            plan_id = await app.submit("1. Run `echo hello` {#hello}")
            await app.approve(plan_id, by="ada")
            plan = await app.run(plan_id)
            print(plan.status, plan.task("hello").result["stdout"])
    """

    def __init__(
        self,
        store: EventStore,
        executors: Executors,
        settings: Settings,
        aggregates: Sequence[Aggregate] = (PLAN,),
        *,
        knows_tools: bool = True,
    ) -> None:
        every_step = settings.durability == "every-step"
        super().__init__(store, Dispatcher(store, every_step=every_step, committed=log_facts))
        self._knows_tools = knows_tools
        self.aggregates = aggregates
        self.executors = executors
        self.settings = settings

    @cached_property
    def log(self) -> Log:
        """The event log: to read, to follow, and for consumers and projections."""
        from planfold.runtime.log import Log  # most programs need none

        return Log(self.store)

    async def submit(
        self,
        plan: PlanDraft | str,
        *,
        params: Mapping[str, Any] | None = None,
        plan_id: str | None = None,
        approved_by: str | None = None,
        config: PlannerConfig | None = None,
        priority: int | None = None,
        pause_before: Iterable[int | str] = (),
        tags: Iterable[str] = (),
    ) -> str:
        """Check a plan (a draft, text: Markdown, prose, JSON, or the name of a template) and record
        it; returns its id. ``params`` are the values of its parameters: JSON, or texts of JSON.

        It waits for approval unless ``approved_by`` says who gave it. With a ``plan_id`` of your
        own, submitting the same plan again does nothing. A draft gives another plan once a tool's
        ``retry`` or effect has changed; :meth:`status` says whether a plan exists. Workers take
        tasks of a higher ``priority`` (-1,000 to 1,000; None: that of ``config``) first. The plan
        pauses before the tasks ``pause_before``; ``tags`` join those of the draft.

        Raises:
            InvalidPlan: with all faults.
            CommandRejected: ``plan_id`` is used for another plan, is empty or longer than 512
                bytes; the priority is out of range; or a name or text cannot be recorded (NUL, half
                a surrogate pair).
        """
        from planfold.drafting.compiler import compile_plan
        from planfold.drafting.first_command import begin_plan  # only those who write plans need it

        draft = self._bound(plan, params)
        tasks = compile_plan(draft, self.executors.toolbox)
        config = config or self.planner_config()
        if priority is not None:
            config = replace(config, priority=priority)
        begin = begin_plan(draft, tasks, config, approved_by, pause_before, tags)
        new, plan_id = plan_id is None, new_plan_id() if plan_id is None else plan_id
        await self._send(plan_id, begin, new=new)
        return plan_id

    async def revise(
        self,
        plan_id: str,
        plan: PlanDraft | str,
        *,
        params: Mapping[str, Any] | None = None,
        approved_by: str | None = None,
    ) -> str:
        """Replace the tasks that have not started by a plan (as for :meth:`submit`); returns the
        hash of the revision, which waits for approval unless ``approved_by`` says who gave it.

        The plan may be the whole one, edited, or only what is still to come. Running and
        completed tasks are not changed; tasks that failed, were skipped or cancelled are planned
        again, or dropped where the new plan does not have them.

        Raises:
            InvalidPlan: with all faults; nothing is changed.
            CommandRejected: the plan cannot be revised now.
            ConfigurationError: the tools are not known, because of ``load=False``.
            NotFound: there is no such plan.
        """
        from planfold.drafting.revision import compile_revision

        toolbox = self._toolbox()
        draft = self._bound(plan, params)
        state = (await self.planner(plan_id)).state
        await self._send(plan_id, compile_revision(draft, toolbox, state, approved_by=approved_by))
        return (await self.planner(plan_id)).state.revision_hash

    async def wish(
        self,
        text: str,
        *,
        plan_id: str | None = None,
        approved_by: str | None = None,
        config: PlannerConfig | None = None,
        priority: int | None = None,
    ) -> str:
        """Let the model of ``config`` (or of the settings) make a plan of ``text``; returns the
        plan's id. A worker then plans; ``approved_by`` approves all that it plans in advance.
        ``plan_id`` and ``priority`` as for :meth:`submit`.

        Raises:
            CommandRejected: see :meth:`submit`.
            ConfigurationError: no model is configured.
        """
        from planfold.drafting.model.wish import begin_with_wish  # it loads a Markdown parser

        check_text("text", text)
        if approved_by is not None:
            check_text("approved_by", approved_by)
        config = config or self.planner_config()
        if not config.model:
            raise ConfigurationError(
                'no model is configured; set model = "openai:..." in planfold.toml'
            )
        if priority is not None:
            config = replace(config, priority=priority)
        plan_id = new_plan_id() if plan_id is None else plan_id
        await self.send(plan_id, begin_with_wish(text, config, approved_by=approved_by))
        return plan_id

    def draft(self, text: str, *, source: str = "-") -> PlanDraft:
        """Read a plan from text; ``source`` (a file name) determines its language.

        Raises:
            InvalidPlan: JSON or YAML that is not a plan, or a text in which a name is misspelt.
        """
        from planfold.drafting.files import load_plan

        return load_plan(text, source=source, tools=[t.name for t in self.executors.toolbox])

    def _bound(self, plan: PlanDraft | str, params: Mapping[str, Any] | None) -> PlanDraft:
        from planfold.drafting.templates import drafted

        executors = self.executors
        return drafted(plan, params or {}, executors.toolbox, executors.templates).draft

    def planner_config(
        self, *, max_parallel: int | None = None, project: str = projects.DEFAULT
    ) -> PlannerConfig:
        """The settings of new plans."""
        config = replace(planner_config(self.settings), project=project)
        return config if max_parallel is None else replace(config, max_parallel=max_parallel)

    def _executors(self) -> Executors | None:
        return self.executors if self._knows_tools else None

    def _toolbox(self) -> Toolbox:
        if not self._knows_tools:
            raise ConfigurationError(
                "this App was opened with load=False, so it does not know the tools that tasks "
                "are checked against; open it with load=True to begin or revise a plan"
            )
        return self.executors.toolbox

    async def archive(
        self,
        folder: Path | str,
        *,
        older_than: float,
        statuses: Iterable[PlanStatus] = ENDED,
        tags: Iterable[str] = (),
        title: str = "",
        project: str | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> Archived:
        """Move plans that ended at least ``older_than`` seconds ago, with one of these statuses and
        all of these ``tags``, with ``title`` in their title and of the ``project``, into a new file
        in ``folder``. Plans that a consumer of the log has not read yet stay.
        ``dry_run`` only counts; ``progress`` is called with the number of plans archived so far.

        Raises:
            ConfigurationError: the folder cannot be written.
            CorruptLog: a file does not hold what was written to it; its plans stay.
            Transient: the disk is full, or the database cannot be written now.
        """
        from planfold.transfer.archive import Choice, archive

        before, of = self.store.clock() - older_than, (frozenset(tags), title, project)
        choice = Choice(PLAN.stream_id, frozenset(statuses), before, *of)
        return await archive(self.store, Path(folder), choice, dry_run=dry_run, progress=progress)

    async def run(self, plan_id: str) -> PlanView:
        """Run one plan in this process until it has ended, or until it can only continue with a
        person or a worker that is not running; ``stopped_because`` of the view then says why.

        Raises:
            NotFound: there is no such plan.
            CorruptLog: this version cannot read it, so it would never end here.
        """
        from planfold.runtime.plan_run import until_rest

        await self.planner(plan_id)
        async with self.worker(plan_id=plan_id) as worker:
            return await until_rest(self, self.executors, plan_id, worker.owner)

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

        Leaving the block, also by an exception, drains it: no more tasks are taken, and those that
        run get ``drain_s`` seconds (``settings.drain_s``) to end before they are interrupted.
        ``observer`` gets the recorded events and the faults; without one, faults are logged to
        "planfold". Recorded events are logged to "planfold.plans".

        Raises:
            ConfigurationError: ``concurrency`` or ``drain_s`` is out of its range.

        Example:
            import planfold

            async with planfold.open_app("sqlite:///plans.db") as app:
                async with app.worker(concurrency=8, drain_s=20):
                    plan_id = await app.submit("1. Run `true`", approved_by="ada")
                    plan = await app.result(plan_id)
        """
        from planfold.runtime.logging_observer import LoggingObserver
        from planfold.runtime.worker import Worker

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
            observer=observer or LoggingObserver(),
            keep_signals_s=settings.keep_signals_s,
        )


@asynccontextmanager
async def open_app(
    database: str | Settings | None = None,
    *,
    tools: Iterable[PythonTool[..., Any] | Template | ModuleType | str] = (),
    executors: Executors | None = None,
    models: Callable[[str], Model] | None = None,
    aggregates: Iterable[Aggregate] = (),
    limits: Mapping[str, SharedLimit] | None = None,
    create: bool = True,
    load: bool = True,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[App]:
    """Open a database (``sqlite:///path``, ``sqlite:///:memory:``,
    ``postgresql://user:password@host/database``) with the built-in executors. The settings come
    from ``planfold.toml`` in the current folder, and so does the database where none is given
    (``PLANFOLD_DB`` wins); :class:`Settings` instead of an address replace all of them. Without
    ``create`` the database must exist.

    ``tools`` are tools and templates, modules that hold them, or module names; ``models`` finds
    language models by name, as in settings, instead of the vendors' libraries (it raises
    ConfigurationError for an unknown name); ``aggregates`` are further
    kinds of handlers whose events the store shall keep; ``limits`` are added to the shared limits
    of the settings; ``clock`` replaces the store's own (this
    host's, or the PostgreSQL server's). Without ``load`` nothing is added to ``executors``, and no
    tools are imported: enough to look at plans and to send them commands, not to run them.

    Relative paths (the database, the workspace) are resolved against the current folder when
    this is called.

    Raises:
        ConfigurationError: the address, a setting or a tool is wrong.

    Example:
        import planfold
        from planfold.testing import ManualClock

        async with planfold.open_app("sqlite:///:memory:", clock=ManualClock()) as app:
            print(app.settings.workspace)
    """
    settings = database if isinstance(database, Settings) else load_settings(database=database)
    settings = anchored(settings)
    if limits:
        settings = replace(settings, limits={**settings.limits, **limits})
    async with AsyncExitStack() as stack:
        chosen = executors or Executors()
        if load:
            chosen = await stack.enter_async_context(assembled(settings, tools, executors, models))
        chosen.toolbox.limits = settings.limits
        kinds = (PLAN, CREDENTIAL, SIGNALS, SCHEDULES, *aggregates)
        codec = Codec(t for aggregate in kinds for t in aggregate.event_types)
        store = await open_store(settings.database, codec, clock, create)
        stack.push_async_callback(store.close)
        yield App(store, chosen, settings, kinds, knows_tools=load or executors is not None)
