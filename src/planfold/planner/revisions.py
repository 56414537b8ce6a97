"""Changing what is planned: a revision of tasks that have not started, a retry of those that
did not complete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from planfold.compaction.profiles import find_profile
from planfold.errors import CommandRejected
from planfold.planner.budget import Spend
from planfold.planner.cancellation import find_task, root_cause, stopped
from planfold.planner.commands import Replan, RetryTask, RevisePlan, TasksProposed
from planfold.planner.conditions import ConditionFault, references_of
from planfold.planner.config import MAX_PRIORITY, PlannerConfig
from planfold.planner.events import Event, PlanApproved, PlanRevised
from planfold.planner.followers import redo_undone, reset_with_followers
from planfold.planner.graph import blocks
from planfold.planner.items import (
    MAX_ITEMS,
    MAX_MAP,
    STRIDE,
    id_text,
    map_of,
    source_of,
    written_list,
)
from planfold.planner.references import ITEM, OCCURRENCE, whole_reference
from planfold.planner.state import PlannerState
from planfold.planner.steps import out_of_budget
from planfold.planner.structure import dangling, find_cycles
from planfold.planner.tasks import (
    REPLANNING,
    ForEach,
    Task,
    TaskSpec,
    TaskStatus,
    in_words,
    planning_task,
)
from planfold.planner.transitions import ENDED
from planfold.planner.undone import refuse_while_undoing, without_undo_tasks
from planfold.projects import check_project


def check_structure(tasks: Iterable[TaskSpec], started: Mapping[int, TaskSpec]) -> None:
    """A last check after the plan compiler, which names every fault with its fix.

    Raises:
        CommandRejected: an id is used twice, a dependency is unknown or missing for a reference
            or a failure handler, a condition cannot be read, a map is not complete, or there is a
            cycle.
    """
    graph: dict[int, tuple[int, ...]] = {i: spec.depends_on for i, spec in started.items()}
    specs = tuple(tasks)
    for spec in specs:
        if spec.id >= STRIDE:
            raise CommandRejected(f"task id {spec.id} is too large; ids from {STRIDE} on are items")
        if spec.id in graph:
            raise CommandRejected(
                f"task id {spec.id} is used twice, or its task has already started"
            )
        graph[spec.id] = spec.depends_on
        if spec.run_if == "failed" and not spec.depends_on:
            raise CommandRejected(f"task {spec.id} runs if a task before it failed; there is none")
        if spec.for_each is not None:
            _check_map(spec, spec.for_each)
        _check_references(spec)
    if not graph:
        raise CommandRejected("a plan needs at least one task")
    _check_item_by_item({**started, **{spec.id: spec for spec in specs}})
    for task_id, parent in dangling(graph):
        raise CommandRejected(f"task {task_id} depends on task {parent}, which does not exist")
    for cycle in find_cycles(graph):
        raise CommandRejected(f"tasks wait for each other: {' -> '.join(map(str, cycle))}")


def _check_map(spec: TaskSpec, for_each: ForEach) -> None:
    for name in ("max_items", "concurrency"):
        value = getattr(for_each, name)
        if type(value) is not int or not 1 <= value <= MAX_ITEMS:
            raise CommandRejected(f"{name} of task {spec.id} must be from 1 to {MAX_ITEMS:,}")
    of_list = whole_reference(for_each.items) or written_list(for_each.items) is not None
    if spec.id > MAX_MAP or not of_list:
        raise CommandRejected(
            f"task {spec.id}: for_each must be a reference to a list, or a list in JSON, and the "
            f"id of a map at most {MAX_MAP:,}"
        )


def _check_item_by_item(specs: Mapping[int, TaskSpec]) -> None:
    for spec in specs.values():
        if spec.for_each is None or not spec.for_each.item_by_item:
            continue
        whole = whole_reference(spec.for_each.items)
        plain = whole is not None and whole.text == f"${whole.target}"
        source = specs.get(source_of(spec))
        if not plain or (source is not None and source.for_each is None):
            raise CommandRejected(
                f"task {spec.id} runs item by item, so its for_each must be the result of a map, "
                "such as $3"
            )
        others = [r for r in references_of(spec) if r.target == str(source_of(spec))][1:]
        if others or spec.run_if != "completed":
            why = f"it refers to {others[0].text}" if others else f"its run_if is {spec.run_if}"
            raise CommandRejected(
                f"task {spec.id} runs item by item while the other map runs, but {why}; wait for "
                "the whole map: leave item_by_item out"
            )


def _check_references(spec: TaskSpec) -> None:
    if spec.tool is None and spec.when is None and spec.for_each is None and spec.undo is None:
        return
    try:
        references = references_of(spec)
    except ConditionFault as fault:
        raise CommandRejected(f"the condition of task {spec.id} {fault}") from None
    for reference in references:
        target = reference.target
        if target == OCCURRENCE or (target in ITEM and spec.for_each is not None):
            continue
        if not target.isdecimal() or len(target) > 18 or int(target) not in spec.depends_on:
            raise CommandRejected(
                f"task {spec.id} refers to {reference.text}, but does not depend on that task"
            )


def check_config(config: PlannerConfig) -> None:
    """Raises CommandRejected for limits under which no task could ever start, a priority or a
    share out of range, or a project without a name; ConfigurationError for an unknown profile."""
    find_profile(config.profile, config.own_profile)
    priority = config.priority
    if type(priority) is not int or abs(priority) > MAX_PRIORITY:  # True cannot be read back
        bounds = f"{-MAX_PRIORITY} to {MAX_PRIORITY}"
        raise CommandRejected(f"priority must be an integer from {bounds}, not {priority!r}")
    check_project(config.project)
    if not 0.0 <= config.preview_from <= 1.0:
        raise CommandRejected(f"preview_from must be from 0 to 1, not {config.preview_from!r}")
    limits: dict[str, int | None] = {
        name: getattr(config, name) for name in ("max_parallel", "token_budget", "error_char_limit")
    }
    limits |= {f"the limit of route {route!r}": n for route, n in config.route_limits.items()}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise CommandRejected(f"{name} must be at least 1, not {limit}")


def hash_revision(tasks: Iterable[TaskSpec]) -> str:
    """Twelve hex digits that differ whenever any task differs.

    Raises:
        CommandRejected: a task holds what JSON cannot (a lone surrogate, an integer of 2**64).
    """
    import hashlib  # few processes need it

    ordered = sorted(tasks, key=lambda spec: spec.id)
    try:
        data = msgspec.json.encode(ordered)
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError) as fault:
        raise CommandRejected(f"the tasks cannot be written as JSON: {fault}") from None
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def revise_plan(state: PlannerState, command: RevisePlan) -> Iterator[Event]:
    """Decide ``RevisePlan``."""
    refuse_while_undoing(state)
    if state.cancelled:
        raise CommandRejected("the plan is cancelled; retry a task of it first, or begin a new one")
    given = {spec.id for spec in command.tasks}
    started = {
        i: task.spec
        for i, task in state.tasks.items()
        if i < STRIDE
        and not (_has_not_started(task) or (i in given and may_be_planned_again(task)))
    }
    over = _superseded(state, command, started)
    counted = {i: spec for i, spec in started.items() if i not in over}
    _check_started_keep_parents(counted, given)
    ended = {i: msgspec.structs.replace(started[i], depends_on=()) for i in over}
    check_structure(command.tasks, counted | ended)
    _check_parents(state, command.tasks, started, over)
    planned = (spec for spec in counted.values() if spec.undoes is None)
    revision_hash = hash_revision((*planned, *command.tasks))
    again = any(i in given and _has_ended(task) for i, task in state.tasks.items())
    revised = again or revision_hash != state.revision_hash
    if revised:
        kept = started.keys() | given
        removed = tuple(i for i in state.written() if i not in kept)
        redone = redo_undone(state, keep=given.union(removed, command.superseded))
        yield PlanRevised(removed, command.tasks, revision_hash, command.superseded)
        yield from redone
    if command.approved_by is not None and (revised or not state.approved):
        yield PlanApproved(revision_hash, command.approved_by)


def _has_ended(task: Task) -> bool:
    return task.status in ENDED


def may_be_planned_again(task: Task) -> bool:
    """Whether a task that ended can keep its id in a revision: no attempt of it was made, and it
    is not one that undoes another."""
    over = task.status in (TaskStatus.Skipped, TaskStatus.Cancelled)
    return over and not task.attempt and task.spec.undoes is None


def _superseded(
    state: PlannerState, command: RevisePlan, started: Mapping[int, TaskSpec]
) -> set[int]:
    """The ids of all superseded tasks, by this command and by earlier revisions."""
    for task_id in command.superseded:
        task = find_task(state, task_id)
        if not _has_ended(task) or task.status is TaskStatus.Completed:
            raise CommandRejected(
                f"task {id_text(task_id)} {in_words(task.status)}; a revision supersedes only "
                "tasks that failed, were skipped or cancelled"
            )
        if task_id not in started:
            raise CommandRejected(
                f"task {id_text(task_id)} is in the revision and superseded by it; leave one of "
                "them out"
            )
    return {*command.superseded, *(i for i in started if state.tasks[i].superseded)}


def _check_parents(
    state: PlannerState,
    tasks: Iterable[TaskSpec],
    started: Mapping[int, TaskSpec],
    over: Collection[int],
) -> None:
    for spec in tasks:
        for parent in spec.depends_on:
            if parent in started and started[parent].undoes is not None:
                raise CommandRejected(
                    f"task {spec.id} depends on task {parent}, which undoes another one; remove "
                    "the dependency"
                )
            blocked = spec.run_if == "completed" and parent in started
            if parent in over or (blocked and blocks(state.tasks[parent])):
                became = in_words(state.tasks[parent].status)
                raise CommandRejected(
                    f"task {spec.id} depends on task {parent}, which {became}; depend on its "
                    "replacement, or remove the dependency"
                )


def replan(state: PlannerState, command: Replan) -> Iterator[Event]:
    """Decide ``Replan``: a drafting task joins the plan, and nothing new starts until what it
    plans is approved."""
    refuse_while_undoing(state)
    if not state.config.model:
        raise CommandRejected("the plan has no model to plan with; revise it instead").about(
            "no model"
        )
    if state.cancelled:
        raise CommandRejected("the plan is cancelled; retry a task of it first, or begin a new one")
    if any(state.tasks[i].status not in ENDED for i in state.drafting):
        raise CommandRejected("the plan is being planned already")
    above = max(state.written()) + 1
    spec = planning_task(above, f"{REPLANNING}{command.reason or 'as asked'}")
    redone = redo_undone(state)
    yield _added(state, (spec,))
    yield from redone


def propose_tasks(state: PlannerState, task: Task, report: TasksProposed) -> Iterator[Event]:
    """Add the tasks that a drafting task proposed; tasks that the plan already has are ignored.

    The proposals of the plan's first task may be approved in advance. Those of a replan wait for
    an approval, and replace the tasks that did not complete."""
    if not task.spec.drafts:
        raise CommandRejected(f"task {task.id} is not a drafting task, so it cannot propose tasks")
    if task.outdated:
        return  # its proposals depend on an answer that was changed
    first, known = task.id == min(state.tasks), state.written()
    approved_by = state.config.approve_as if first else None
    new = tuple(s for s in report.tasks if s.id not in known or known[s.id].spec != s)
    if not (new or report.replace):
        return
    wanted = Spend(tasks=len([spec for spec in new if spec.proposed]))
    short = state.budget.exceeded(state.spent + state.reserved, wanted)
    if short is not None and task.stopping:
        yield from stopped(state, task, f"cancelled; its budget was used up: {short}")
        return
    if short is not None:
        yield out_of_budget(task, short)
        return
    if report.replace:
        given = {spec.id for spec in report.tasks}
        old = without_undo_tasks(state).items()
        gone = () if first else tuple(i for i, t in old if blocks(t) and i not in given)
        yield from revise_plan(state, RevisePlan(report.tasks, approved_by, gone))
        return
    check_structure(new, {i: known_task.spec for i, known_task in known.items()})
    revised = _added(state, new)
    yield revised
    if approved_by is not None:
        yield PlanApproved(revised.revision_hash, approved_by)


def _added(state: PlannerState, new: tuple[TaskSpec, ...]) -> PlanRevised:
    tasks = state.written().values()
    counted = (t.spec for t in tasks if not t.superseded and t.spec.undoes is None)
    return PlanRevised((), new, hash_revision((*counted, *new)))


def _check_started_keep_parents(started: Mapping[int, TaskSpec], new: set[int]) -> None:
    for task_id, spec in started.items():
        for parent in spec.depends_on:
            if parent not in started and parent not in new:
                raise CommandRejected(
                    f"task {task_id} is not planned any more, so it stays, and it depends on "
                    f"task {parent}; keep that in the revision"
                )


def retry_task(state: PlannerState, command: RetryTask) -> Iterator[Event]:
    """Decide ``RetryTask``: the task, all that was skipped or cancelled below it and can run once
    it has completed, and its handlers."""
    task = find_task(state, command.task_id)
    if task.status not in ENDED or task.status is TaskStatus.Completed:
        if task.status is TaskStatus.Planned:
            return
        raise CommandRejected(
            f"task {id_text(task.id)} {in_words(task.status)}; only tasks that failed, "
            "were cancelled or skipped can be retried"
        )
    if task.skip_reason == "condition" and task.spec.undoes is None:
        raise CommandRejected(
            f"task {id_text(task.id)} was skipped: {task.error}; retry a task that it depends on, "
            "or revise the plan"
        )
    of = state.tasks.get(map_of(task.id), task)
    cause = root_cause(state, of) or root_cause(state, task)
    if cause is not None:
        raise CommandRejected(
            f"task {id_text(task.id)} needs task {id_text(cause)}, which "
            f"{in_words(state.tasks[cause].status)}; retry that one"
        )
    yield from reset_with_followers(state, task, "retry")


def _has_not_started(task: Task) -> bool:
    return task.status is TaskStatus.Planned and task.attempt == 0 and not task.spec.done
