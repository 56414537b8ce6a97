"""``PlanSchedules``: schedules of plans, for programs and the command line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec
from msgspec.structs import replace

from planfold.choices import wrong_choice
from planfold.errors import CommandRejected, ConfigurationError, Conflict, NotFound
from planfold.executors.registry import Executors
from planfold.patterns import pattern
from planfold.planner.config import PlannerConfig
from planfold.planner.planner import Planner
from planfold.planner.revisions import hash_revision
from planfold.runtime.aggregate import SCHEDULES
from planfold.runtime.forking import PlanForking
from planfold.runtime.inputs import check_text, recordable_command
from planfold.runtime.occurrences import (
    Occurrences,
    compiled,
    cron_of,
    ended_before,
    schedule_state,
)
from planfold.runtime.schedule_view import ScheduleView, view_of
from planfold.schedules.commands import (
    AddSchedule,
    CatchUp,
    EditSchedule,
    Overlap,
    PauseSchedule,
    RemoveSchedule,
    RunSchedule,
    ScheduleCommand,
    ScheduledPlan,
    UnpauseSchedule,
)
from planfold.schedules.events import OccurrencesDecided, ScheduleAdded
from planfold.schedules.schedule import ScheduleState, schedule_id
from planfold.tags import check_tags

if TYPE_CHECKING:
    from planfold.drafting.draft import PlanDraft

_NAME: Final = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)


class PlanSchedules(PlanForking):
    """Adds schedules, and decides about them. A worker begins their plans: any worker of the
    database that runs all plans.

    Every method returns when its events are durable, and raises NotFound where there is no
    schedule of that name.
    """

    async def add_schedule(
        self,
        name: str,
        cron: str,
        plan: PlanDraft | str,
        *,
        tz: str = "UTC",
        catch_up: CatchUp = "once",
        overlap: Overlap = "skip",
        params: Mapping[str, Any] | None = None,
        approved_by: str | None = None,
        config: PlannerConfig | None = None,
        tags: Iterable[str] = (),
    ) -> ScheduleView:
        """Begin ``plan`` (as for :meth:`submit`) at each occurrence of ``cron``: minute, hour, day
        of the month, month and day of the week in the time zone ``tz``. Adding the same again does
        nothing.

        An occurrence that is over for a minute was missed: ``catch_up`` says whether the missed
        ones are left out, run late as one, or run late each. ``overlap`` says whether an
        occurrence is left out, waits or runs while the plan of the one before has not ended.

        Where ``approved_by`` approves the plan, its occurrences run without approval as long as
        the tools give the same tasks. Each plan has the tag ``schedule=NAME`` beside ``tags``.

        Raises:
            InvalidPlan: with all faults.
            CommandRejected: the name, ``cron``, ``tz`` or a choice is wrong, or another schedule
                has the name.
            ConfigurationError: the tools are not known, because of ``load=False``.
        """
        check_schedule(name, cron, tz, catch_up, overlap)
        next_at = _first(cron, tz, self.store.clock())
        wanted = ScheduledPlan(
            {}, "", approved_by, config or self.planner_config(), _tags(name, tags)
        )
        scheduled = await self._scheduled(plan, params or {}, wanted)
        added = AddSchedule(name, " ".join(cron.split()), tz, scheduled, next_at, catch_up, overlap)
        await self._change(name, added)
        return await self.schedule(name)

    async def edit_schedule(
        self,
        name: str,
        *,
        cron: str | None = None,
        plan: PlanDraft | str | None = None,
        tz: str | None = None,
        catch_up: CatchUp | None = None,
        overlap: Overlap | None = None,
        params: Mapping[str, Any] | None = None,
        approved_by: str | None = None,
        tags: Iterable[str] | None = None,
        by: str = "",
    ) -> ScheduleView:
        """Change what is given of a schedule; all else stays, also what happened to it. The
        arguments are those of :meth:`add_schedule`. With another ``cron`` or ``tz`` it continues
        with the first occurrence from now on. Plans that have begun stay as they are.

        A ``plan`` replaces the former one: ``approved_by`` approves it, else each of its plans
        waits for approval. ``approved_by`` without a plan approves the plan that the schedule has.

        Raises:
            InvalidPlan: with all faults; nothing is changed.
            CommandRejected: ``cron``, ``tz`` or a choice is wrong, or there are ``params`` without
                a ``plan``.
            ConfigurationError: the tools are not known, because of ``load=False``.
        """
        if params and plan is None:
            raise CommandRejected("params are the values of a plan; give the plan again with them")
        given = EditSchedule(cron, tz, None, catch_up, overlap, by=by)
        own_tags = None if tags is None else _tags(name, tags)
        while True:
            version = await self.store.version(schedule_id(name)) if _is_name(name) else 0
            added = await self._added(name)
            edit = _edit_of(added, given, self.store.clock())
            wanted = replace(
                added.plan,
                approved_by=approved_by or (None if plan is not None else added.plan.approved_by),
                tags=added.plan.tags if own_tags is None else own_tags,
            )
            if plan is not None:
                wanted = await self._scheduled(plan, params or {}, wanted)
            try:
                await self._change(name, replace(edit, plan=wanted), version)
            except Conflict as conflict:  # another edit was first
                if conflict.topic != "version":
                    raise
            else:
                return await self.schedule(name)

    async def schedules(self) -> list[ScheduleView]:
        """All schedules, by name."""
        heads = await self.store.heads(SCHEDULES.stream_id)
        found = [
            await self._view(await schedule_state(self.dispatcher, head.aggregate_id))
            for head in heads
            if not head.head.get("removed")
        ]
        return sorted((view for view in found if view is not None), key=lambda view: view.name)

    async def schedule(self, name: str) -> ScheduleView:
        """The schedule of this name."""
        view = await self._view(await self._state(name))
        assert view is not None
        return view

    async def _view(self, state: ScheduleState) -> ScheduleView | None:
        head = await self.store.head(state.previous) if state.previous else None
        return view_of(state, "" if head is None else str(head.head.get("status", "")))

    async def pause_schedule(self, name: str, *, reason: str = "", by: str = "") -> bool:
        """Begin no plan of a schedule until it is unpaused; those that began continue. False: it
        is paused already, and nothing changes."""
        return bool(await self._change(name, PauseSchedule(reason, by)))

    async def unpause_schedule(self, name: str, *, by: str = "") -> bool:
        """Continue a schedule that is paused, with its next occurrence: those in between are left
        out. False: it is not paused, and nothing changes."""
        next_at = cron_of(await self._added(name)).after(self.store.clock())
        return bool(await self._change(name, UnpauseSchedule(next_at, by)))

    async def run_schedule(self, name: str, *, by: str = "") -> str:
        """Begin the plan of a schedule now, beside its occurrences; returns the plan's id. It is
        submitted at once where the tools are known (``load=True``), else by a worker. Where
        ``overlap`` is ``queue``, it may have to wait for the plan before.

        Raises:
            CommandRejected: the schedule is paused, the plan before has not ended and
                ``overlap`` is ``skip``, or the id of the plan is in use.
            InvalidPlan: the tools have changed, so that there is no such plan any longer.
        """
        state, executors = await self._state(name), self._executors()
        if executors is not None:
            plan = (await self._added(name)).plan
            await asyncio.to_thread(compiled, plan, executors)  # before anything is recorded
        ended = await ended_before(self.store, state)
        events = await self._change(name, RunSchedule(self.store.clock(), ended, by))
        if executors is not None:
            occurrences = Occurrences(self.store, self.dispatcher, executors)
            await occurrences.hand_over(schedule_id(name))
        if not events:  # the same request again
            return (await self._state(name)).previous
        decided = events[0]
        assert isinstance(decided, OccurrencesDecided)
        plan_id = (decided.queued or decided.started[-1:])[0].plan_id
        fault = (await self._state(name)).fault
        if fault.startswith(f"{plan_id}: "):
            raise CommandRejected(f"{fault}; run the schedule again, which takes the next id")
        return plan_id

    async def remove_schedule(self, name: str, *, by: str = "") -> None:
        """End a schedule. The plans that it submitted continue."""
        await self._change(name, RemoveSchedule(by))

    async def _scheduled(
        self, plan: PlanDraft | str, params: Mapping[str, Any], wanted: ScheduledPlan
    ) -> ScheduledPlan:
        """``wanted`` with this plan. Raises InvalidPlan, CommandRejected, ConfigurationError."""
        executors = self._executors()
        if executors is None:
            raise ConfigurationError(
                "this App was opened with load=False, so it does not know the tools of the plan; "
                "open it with load=True to schedule a plan"
            )
        draft = self._bound(plan, params)
        return await asyncio.to_thread(_scheduled, draft, wanted, executors)

    async def _change(
        self, name: str, command: ScheduleCommand, version: int | None = None
    ) -> list[Any]:
        """``version``: of the stream that the command was made for (None: of any)."""
        _check_name(name)
        try:
            recordable = recordable_command(command)
            return await self._record_change(schedule_id(name), recordable, version)
        except NotFound:
            raise _missing(name) from None

    async def _record_change(
        self, stream: str, command: ScheduleCommand, version: int | None
    ) -> list[Any]:
        named = f"{stream}/{type(command).__name__}"
        return await self.dispatcher.send(
            SCHEDULES, stream, command, command_id=named, expected_version=version
        )

    async def _state(self, name: str) -> ScheduleState:
        state = ScheduleState()
        if _is_name(name):
            with suppress(NotFound):
                state = await schedule_state(self.dispatcher, schedule_id(name))
        if state.added is None:
            raise _missing(name)
        return state

    async def _added(self, name: str) -> ScheduleAdded:
        added = (await self._state(name)).added
        assert added is not None
        return added

    # --- what the app has -----------------------------------------------------------------------

    def _executors(self) -> Executors | None:
        """Those with the tools of plans; None where the tools are not known."""
        raise NotImplementedError

    def _bound(self, plan: PlanDraft | str, params: Mapping[str, Any]) -> PlanDraft:
        raise NotImplementedError

    def planner_config(self) -> PlannerConfig:
        """The settings of new plans."""
        raise NotImplementedError


def _scheduled(draft: PlanDraft, wanted: ScheduledPlan, executors: Executors) -> ScheduledPlan:
    """``wanted`` with a draft, and the revision that it compiles to. Raises InvalidPlan,
    CommandRejected."""
    from planfold.drafting.compiler import compile_plan

    compile_plan(draft, executors.toolbox)  # finds faults before it is written as JSON
    given = msgspec.json.decode(msgspec.json.encode(draft))
    found = replace(wanted, draft=given)
    begin = compiled(found, executors)
    Planner().process(begin)  # refuses what it would refuse later
    return replace(found, revision_hash=hash_revision(begin.tasks))


def _edit_of(added: ScheduleAdded, given: EditSchedule, now: float) -> EditSchedule:
    """``given`` with the first occurrence from ``now`` on. Raises CommandRejected."""
    cron = added.cron if given.cron is None else given.cron
    tz = added.tz if given.tz is None else given.tz
    policies = (given.catch_up or added.catch_up, given.overlap or added.overlap)
    check_schedule(added.name, cron, tz, *policies)
    return replace(given, cron=" ".join(cron.split()), tz=tz, next_at=_first(cron, tz, now))


def check_schedule(
    name: object,
    cron: object,
    tz: object,
    catch_up: object = "once",
    overlap: object = "skip",
) -> None:
    """Raises CommandRejected where these cannot be those of a schedule."""
    from planfold.instants import zone_of

    _check_name(name)
    for field, value, allowed in (
        ("catch_up", catch_up, CatchUp),
        ("overlap", overlap, Overlap),
    ):
        if fault := wrong_choice(value, get_args(allowed)):
            raise CommandRejected(f"{field}: {fault}")
    check_text("cron", cron)
    check_text("tz", tz)
    try:
        zone_of(str(tz))
    except ValueError as fault:
        raise CommandRejected(f"tz: {fault}") from None
    _first(str(cron), str(tz), 0.0)


def _tags(name: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Those of each plan of a schedule. Raises CommandRejected."""
    found = tuple(dict.fromkeys((f"schedule={name}", *tags)))
    check_tags(found)
    return found


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _check_name(name: object) -> None:
    if not _is_name(name):
        raise CommandRejected(
            f"{str(name)[:50]!r} is not the name of a schedule; use up to 40 letters, digits and "
            ". _ - (first a letter or a digit)"
        )


def _first(cron: str, tz: str, after: float) -> float:
    from planfold.cron import Cron  # most programs have no schedules

    try:
        first = Cron(cron, tz).after(after)
    except ValueError as fault:
        raise CommandRejected(f"cron {cron[:50]!r}: {fault}") from None
    if first is None:
        raise CommandRejected(f"cron {cron[:50]!r}: it does not occur within 50 years")
    return first


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no schedule {name!r}").about("schedule")
