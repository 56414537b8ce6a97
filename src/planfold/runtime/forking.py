"""``PlanForking``: another way for a plan, from one of its versions on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from planfold.errors import CommandRejected, NotFound
from planfold.planner.commands import ForkPlan, NameCheckpoint
from planfold.planner.events import (
    ClarificationRequested,
    Event,
    MapExpanded,
    PlanForked,
    TaskDecided,
    TaskDispatched,
    TasksReset,
    WaitStarted,
)
from planfold.planner.forks import effects_again, tasks_to_run
from planfold.planner.items import id_text
from planfold.planner.planner import Planner
from planfold.planner.repeats import SHOWN, may_have_happened
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Task, TaskSpec, TaskStatus, in_words
from planfold.planner.transitions import ENDED
from planfold.planner.undone import undone_since
from planfold.runtime.decisions import PlanDecisions
from planfold.runtime.fork import Fork, RepeatedEffect
from planfold.runtime.inputs import check_id, check_new_id, check_text
from planfold.runtime.origins import decision_end, decision_start, events_up_to, state_at
from planfold.runtime.task_names import task_id_in

_BEGINNINGS: Final = (
    *(TaskDispatched, MapExpanded, WaitStarted, ClarificationRequested),
    TaskDecided,  # by hand, perhaps before an attempt
)


class _Wanted(msgspec.Struct, frozen=True):
    """The arguments of :meth:`PlanForking.fork`."""

    at: int | str | None
    changes: Mapping[str, Any]
    answers: Mapping[int | str, str]
    keep_answers: bool
    repeat: tuple[int | str, ...]
    by: str
    approved_by: str | None
    fork_id: str | None


class PlanForking(PlanDecisions):
    """Names versions of plans, and begins plans that continue them."""

    async def checkpoint(self, plan_id: str, name: str) -> int:
        """Name the present version of a plan, for :meth:`restore`; returns the version. The names
        are in ``checkpoints`` of :meth:`view`.

        Raises:
            CommandRejected: the plan has a checkpoint of that name, or it cannot be recorded.
            NotFound: there is no such plan.
        """
        check_text("name", name)
        await self.send(plan_id, NameCheckpoint(name))
        return (await self.planner(plan_id)).state.checkpoints[name]

    async def restore(
        self,
        plan_id: str,
        name: str,
        *,
        keep_answers: bool = False,
        repeat: Iterable[int | str] = (),
        dry_run: bool = False,
        fork_id: str | None = None,
    ) -> Fork:
        """Fork a plan at a checkpoint, without changes. The plan itself stays as it is. See
        :meth:`fork` for what it raises.

        Raises:
            NotFound: the plan has no such checkpoint.
        """
        return await self.fork(
            plan_id,
            at=checkpoint_in(plan_id, (await self.planner(plan_id)).state, name),
            keep_answers=keep_answers,
            repeat=repeat,
            dry_run=dry_run,
            fork_id=fork_id,
        )

    async def fork(
        self,
        plan_id: str,
        *,
        at: int | str | None = None,
        changes: Mapping[str, Any] | None = None,
        answers: Mapping[int | str, str] | None = None,
        keep_answers: bool = False,
        repeat: Iterable[int | str] = (),
        by: str = "",
        approved_by: str | None = None,
        dry_run: bool = False,
        fork_id: str | None = None,
    ) -> Fork:
        """Begin a plan that continues another one from a version on; that one stays as it is.

        ``at`` is a version (in the middle of a decision: its end), or a task (label, or id as
        text): the version before it began; None: the latest. ``changes`` maps TASK.FIELD to a
        value: an argument of the task's tool, ``description`` or ``timeout``. ``answers`` maps
        questions to texts, also of questions to come; ``by`` gave them. The changed tasks, what
        descends from a change, and what had begun and not ended run again; nothing else does.

        Later questions are asked again; with ``keep_answers`` they get the answers that they got.
        ``repeat`` names tasks of effect ``once`` that may happen again although they happened, or
        may happen, in the origin. With changed tasks the fork waits for approval unless
        ``approved_by`` says who gave it. ``dry_run`` writes nothing and refuses no effect.

        With a ``fork_id`` of your own, the same call again does nothing and returns the same fork,
        also where ``at`` is None and the plan has continued.

        Raises:
            CommandRejected: ``fork_id`` is used for another plan.
            CommandRejected: an effect would happen again that is not in ``repeat``, a changed task
                cannot run, or the task to fork at has not begun.
            InvalidPlan: a change names no task or field, or its value does not fit.
            ConfigurationError: with changes, where the tools are not known (``load=False``).
            NotFound: there is no such plan, version or task.
        """
        wanted = _Wanted(
            at, changes or {}, answers or {}, keep_answers, tuple(repeat), by, approved_by, fork_id
        )
        return await self._fork(plan_id, wanted, dry_run=dry_run)

    async def _fork(self, plan_id: str, wanted: _Wanted, *, dry_run: bool) -> Fork:
        present = (await self.planner(plan_id)).state
        recorded = await self._recorded_fork(wanted.fork_id, plan_id)
        version = await self._version(plan_id, present, wanted.at)
        if recorded is not None and wanted.at is None:
            version = recorded.version
        base = await state_at(self.store, plan_id, version)
        command = ForkPlan(
            origin=plan_id,
            version=version,
            tasks=self._changed(base, wanted.changes),
            answers=_named_answers(plan_id, base, wanted.answers),
            kept=_prepared_in(base) | (_answers_of(present, base) if wanted.keep_answers else {}),
            repeat=tuple(base.tasks),
            by=wanted.by,
            approved_by=wanted.approved_by,
            undone=undone_since(base, present),
        )
        allowed = dict.fromkeys(task_id_in(plan_id, base, key) for key in wanted.repeat)
        sources = [(plan_id, present)]
        for origin_id, _ in present.origins:
            sources.append((origin_id, (await self.planner(origin_id)).state))
        fork, events = _tried(plan_id, base, command, sources)
        if dry_run:
            return fork
        once = tuple(e.task_id for e in fork.effects if e.effect is Effect.Once)
        command = msgspec.structs.replace(command, happened=once, repeat=tuple(allowed))
        new_id = wanted.fork_id or new_plan_id()
        try:
            await self._send(new_id, command)
        except CommandRejected:
            if not await self._has_begun_so(wanted, events, command):
                raise
        return msgspec.structs.replace(fork, plan_id=new_id)

    async def _recorded_fork(self, fork_id: str | None, plan_id: str) -> PlanForked | None:
        """The first event of a plan that is already this fork."""
        if fork_id is None:
            return None
        check_id("fork_id", fork_id)
        await check_new_id("fork_id", fork_id, self.store)
        for envelope in await self.store.read_versions(fork_id, limit=1):
            if isinstance(event := envelope.event, PlanForked) and event.origin == plan_id:
                return event
        return None

    async def _has_begun_so(
        self, wanted: _Wanted, events: Sequence[Event], command: ForkPlan
    ) -> bool:
        """Whether the plan with this id began with exactly these events."""
        recorded = await self._recorded_fork(wanted.fork_id, command.origin)
        if wanted.fork_id is None or recorded is None:
            return False
        forked, *rest = events
        assert isinstance(forked, PlanForked)
        prepared = recorded.prepared if wanted.keep_answers else forked.prepared
        forked = msgspec.structs.replace(
            forked, repeat=command.repeat, checksum=recorded.checksum, prepared=prepared
        )
        begun = await self.store.read_versions(wanted.fork_id, limit=len(events) + 1)
        cause = begun[0].metadata.causation_id  # what has another one is of a later decision
        return [e.event for e in begun if e.metadata.causation_id == cause] == [forked, *rest]

    def _changed(self, base: PlannerState, changes: Mapping[str, Any]) -> tuple[TaskSpec, ...]:
        if not changes:
            return ()
        from planfold.drafting.task_changes import changed_tasks  # it loads the compiler

        return changed_tasks(base, changes, self._toolbox())

    async def _version(self, plan_id: str, present: PlannerState, at: int | str | None) -> int:
        last = present.version
        if at is None:
            return last
        if isinstance(at, str):
            return await self._before(plan_id, present, task_id_in(plan_id, present, at))
        if not 1 <= at <= last:
            raise NotFound(f"plan {plan_id} has no version {at}; its versions are 1 to {last}")
        return await decision_end(self.store, plan_id, at)

    async def _before(self, plan_id: str, present: PlannerState, task_id: int) -> int:
        """The version before a task began, or began again."""
        began = 0
        async for version, event in self._own_events(plan_id, present.version):
            match event:
                case TasksReset(task_ids) if task_id in task_ids:
                    began = 0
                case _ if isinstance(event, _BEGINNINGS) and event.task_id == task_id:
                    began = began or version
        if began and (version := await decision_start(self.store, plan_id, began)):
            return version
        task = present.tasks[task_id]
        if present.origins and (task.attempt or task.status in ENDED):
            origin, _ = present.origins[0]
            raise CommandRejected(
                f"task {id_text(task_id)} began before plan {plan_id} was forked; fork {origin} "
                "instead"
            )
        raise CommandRejected(
            f"task {id_text(task_id)} has not begun (it {in_words(task.status)}); name a version, "
            "or fork the latest one"
        )

    async def _own_events(self, plan_id: str, last: int) -> AsyncIterator[tuple[int, Any]]:
        async for envelope in events_up_to(self.store, plan_id, last):
            yield envelope.version, envelope.event


def checkpoint_in(plan_id: str, state: PlannerState, name: str) -> int:
    """The version of a plan that has this name. Raises NotFound."""
    if name not in state.checkpoints:
        known = ", ".join(state.checkpoints) or "none"
        raise NotFound(f"plan {plan_id} has no checkpoint {name!r}; its checkpoints: {known}")
    return state.checkpoints[name]


def new_plan_id() -> str:
    """Short, unique enough for any number of plans, and safe in a shell and a URL."""
    return f"plan-{os.urandom(5).hex()}"


def _named_answers(
    plan_id: str, base: PlannerState, answers: Mapping[int | str, str]
) -> dict[int, str]:
    for text in answers.values():
        check_text("answers", text, nul=False)
    return {task_id_in(plan_id, base, key): text for key, text in answers.items()}


def _prepared_in(base: PlannerState) -> dict[int, str]:
    """Answers to future questions that were given when this fork was begun."""
    tasks = base.tasks
    return {i: t for i, t in base.prepared.items() if i not in tasks or not tasks[i].superseded}


def _answers_of(present: PlannerState, base: PlannerState) -> dict[int, str]:
    """Answers to questions that the fork may ask as they were asked in the origin."""
    return {
        i: task.result
        for i, task in present.tasks.items()
        if task.kind is NodeKind.Clarification
        and task.status is TaskStatus.Completed
        and isinstance(task.result, str)
        and i in base.tasks
        and base.tasks[i].spec == task.spec
        and not base.tasks[i].superseded
    }


def _tried(
    plan_id: str, base: PlannerState, command: ForkPlan, sources: list[tuple[str, PlannerState]]
) -> tuple[Fork, list[Event]]:
    """The events that ``command`` would cause. ``base`` becomes the state of the fork. Raises
    CommandRejected."""
    tasks = {i: task for i, task in base.tasks.items() if i not in command.undone}
    happened = {i: task.status for i, task in tasks.items() if may_have_happened(base, task)}
    approved, planner = base.approved, Planner(base)
    events = planner.process(command)
    for event in events:
        planner.apply(event)
    forked = events[0]
    assert isinstance(forked, PlanForked)
    begun = {*forked.again, *forked.interrupted}
    to_run = {task.id: task for task in tasks_to_run(planner.state)}
    found = _repeated_effects(planner.state, sources)
    for task_id in happened.keys() & to_run.keys():
        if to_run[task_id].spec.effect is not Effect.Safe:
            status = happened[task_id]
            found.setdefault(task_id, _repeated(to_run[task_id], plan_id, status))
    fork = Fork(
        plan_id="",
        origin=command.origin,
        version=command.version,
        again=forked.again,
        interrupted=forked.interrupted,
        to_come=tuple(i for i in to_run if i not in begun),
        effects=tuple(found[i] for i in sorted(found)),
        revision_hash=forked.revision_hash,
        waits_for_approval=not planner.state.approved,
        origin_waits=not approved,
        pauses_before=tuple(sorted(planner.state.breakpoints)),
    )
    return fork, events


def _repeated_effects(
    fork: PlannerState, sources: list[tuple[str, PlannerState]]
) -> dict[int, RepeatedEffect]:
    """What happened, or may happen, in the origins, by the task of the fork that repeats it."""
    found: dict[int, RepeatedEffect] = {}
    for origin_id, state in sources:
        for task, known in effects_again(state, state.outcome is not None, fork):
            repeated = _repeated(task, origin_id, known[0].status, known)
            before = found.get(task.id)
            if before is None or (before.effect, repeated.effect) == (Effect.Keyed, Effect.Once):
                found[task.id] = repeated
    return found


def _repeated(
    task: Task, plan_id: str, status: TaskStatus, known: Sequence[Task] = ()
) -> RepeatedEffect:
    spec, effect = task.spec, task.spec.effect
    if spec.drafts:  # the model may draft tasks that have the effects of these
        once = any(each.spec.effect is Effect.Once or each.spec.drafts for each in known)
        effect = Effect.Once if once else Effect.Keyed
    others = tuple(each.id for each in known[:SHOWN] if each.id != task.id)
    return RepeatedEffect(task.id, spec.label, spec.description, effect, plan_id, status, others)
