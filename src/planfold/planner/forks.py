"""``ForkPlan``: what a fork changes in the state that it continues, and what runs again in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from planfold.errors import CommandRejected
from planfold.planner.answers import chosen_answer, kept_off_tasks
from planfold.planner.cancellation import find_task, skip
from planfold.planner.commands import ForkPlan
from planfold.planner.events import Event, PlanApproved, PlanForked, PlanPaused
from planfold.planner.graph import blocks
from planfold.planner.items import STRIDE, id_text, map_of
from planfold.planner.maps import items_of
from planfold.planner.repeats import may_have_happened, refuse_repeats
from planfold.planner.revisions import check_structure, hash_revision
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, Task, TaskSpec, TaskStatus, in_words
from planfold.planner.undone import is_undone

MAX_DEPTH: Final = 16  # origins that follow each other
_What = tuple[NodeKind, str | None]  # the kind of a task, and its tool or route


class _Change(msgspec.Struct):
    """What a fork changes: tasks with new specs, answers that hold at once, and those that hold
    when their question is asked."""

    specs: dict[int, TaskSpec]
    answers: dict[int, str]
    prepared: dict[int, str]

    def leave_items_out(self, given: Iterable[int], again: Collection[int]) -> None:
        """Drop answers to items of a map that is planned again: its list may differ, and an item
        may be about something else. ``given``: the answers of a person."""
        for task_id in given:
            if map_of(task_id) in again:
                raise CommandRejected(
                    f"{id_text(task_id)} is an item, and its map is planned again in the fork, "
                    "perhaps with another list; answer it when the fork asks it"
                )
        self.answers = {i: text for i, text in self.answers.items() if map_of(i) not in again}
        self.prepared = {i: text for i, text in self.prepared.items() if map_of(i) not in again}


def fork_plan(state: PlannerState, command: ForkPlan) -> Iterator[Event]:
    """Decide ``ForkPlan`` on the state that the fork continues."""
    if state.version:
        raise CommandRejected("there is a plan with this id already; give the fork another one")
    if len(state.origins) >= MAX_DEPTH:
        raise CommandRejected(
            f"a fork has at most {MAX_DEPTH} origins; fork one of them instead: "
            f"{state.origins[-1][0]}"
        )
    for task_id in command.repeat:
        find_task(state, task_id)
    change = _Change(_changed_specs(state, command.tasks), *_answers(state, command))
    undone = _undone(state, command.undone)
    again, interrupted, kept_off = _planned_again(state, change, undone)
    change.leave_items_out(command.answers, again)
    _check_consent(state, command, _running(state, again, interrupted) - kept_off.keys())
    revision_hash = _revision(state, change)
    yield PlanForked(
        origin=command.origin,
        version=command.version,
        revision_hash=revision_hash,
        tasks=tuple(spec for _, spec in sorted(change.specs.items())),
        answers=dict(sorted(change.answers.items())),
        prepared=dict(sorted(change.prepared.items())),
        again=again,
        interrupted=interrupted,
        repeat=command.repeat,
        by=command.by,
        checksum=command.checksum,
    )
    planned = {*again, *interrupted}
    waiting = (i for i, task in state.tasks.items() if task.status is TaskStatus.Planned)
    planned |= {i for i in waiting if state.tasks[i].spec.undoes is None}
    yield from (skip(i, kept_off[i]) for i in sorted(planned & kept_off.keys()))
    yield from _break_points(state, planned - kept_off.keys())
    approved = state.approved and revision_hash == state.revision_hash
    if command.approved_by is not None and not approved:
        yield PlanApproved(revision_hash, command.approved_by)


def _revision(state: PlannerState, change: _Change) -> str:
    if not change.specs:
        return state.revision_hash
    counted = (t for t in state.written().values() if not t.superseded and t.spec.undoes is None)
    return hash_revision(change.specs.get(t.id, t.spec) for t in counted)


def _break_points(state: PlannerState, planned: Collection[int]) -> Iterator[Event]:
    """Break-points of tasks that the fork will run. They are kept, because a person wanted to look
    before those tasks. A pause of the whole origin is not kept."""
    by_pause: dict[tuple[str, str], list[int]] = {}
    for task_id, pause in sorted(state.breakpoints.items()):
        if task_id in planned:
            by_pause.setdefault((pause.reason, pause.by), []).append(task_id)
    for (reason, by), task_ids in by_pause.items():
        yield PlanPaused(tuple(task_ids), reason, by)


def _running(state: PlannerState, again: Iterable[int], interrupted: Iterable[int]) -> set[int]:
    """The tasks and items that run in a fork."""
    items = (item.id for i in again for item in items_of(state, state.tasks[i]))
    return {*again, *interrupted, *items, *(i for i in state.tasks if _is_to_run(state, i))}


def effects_again(
    state: PlannerState, ended: bool, fork: PlannerState
) -> Iterator[tuple[Task, Sequence[Task]]]:
    """Tasks that ``fork`` will run although their effect happened in an origin with this state, or
    may still happen while the origin has not ``ended``. Each comes with the origin's tasks that
    have the effect.

    That is the task with the same id. For tasks of the origin that the fork does not have, because
    a revision or a model added them later, it is the task with the same label or tool. If a model
    drafts the fork's tasks, it is every one of them.
    """
    same, later = _with_effects(state, ended, fork)
    labels: dict[str | None, list[Task]] = {}
    tools: dict[_What, list[Task]] = {}
    for known in later:
        tools.setdefault(_tool(known), []).append(known)
        labels.setdefault(known.spec.label, []).append(known)
    labels.pop(None, None)
    for task in tasks_to_run(fork):
        found: Sequence[Task] = ()
        if task.spec.drafts:
            found = later
        elif task.id in same:
            found = (same[task.id],)
        elif task.spec.effect is not Effect.Safe:
            found = labels.get(task.spec.label) or tools.get(_tool(task)) or ()
        if found and task.kind is not NodeKind.Clarification:
            yield task, found


def _with_effects(
    state: PlannerState, ended: bool, fork: PlannerState
) -> tuple[dict[int, Task], list[Task]]:
    """The origin's tasks whose effect has happened or may happen: those that the fork also has, and
    the others. A drafting task that has not ended counts, because its model may plan anything."""
    same: dict[int, Task] = {}
    later: list[Task] = []
    for known in state.tasks.values():
        to_come = not ended and _is_to_run(state, known.id)
        own = fork.tasks.get(known.id)
        if known.spec.drafts:
            if to_come:
                later.append(known)
        elif not (to_come or may_have_happened(state, known)):
            continue
        elif own is not None and _is_same(own, known):
            if own.spec.effect is not Effect.Safe:
                same[known.id] = known
        elif known.spec.effect is not Effect.Safe and known.kind is not NodeKind.Clarification:
            later.append(known)
    return same, later


def _is_same(own: Task, known: Task) -> bool:
    """Whether two tasks with one id are the same task; plans of different histories may differ."""
    return own.spec.label == known.spec.label and _tool(own) == _tool(known)


def _tool(task: Task) -> _What:
    return task.kind, task.tool.name if task.tool is not None else task.spec.route


def tasks_to_run(state: PlannerState) -> Iterator[Task]:
    """Tasks of a plan in this state that run, or will run."""
    return (task for i, task in state.tasks.items() if _is_to_run(state, i))


def _is_to_run(state: PlannerState, task_id: int) -> bool:
    task = state.tasks[task_id]
    if task.spec.undoes is not None:
        return False
    waiting = (TaskStatus.Planned, TaskStatus.Running, TaskStatus.NeedsClarification)
    return task.status in waiting and not state.cancelled


def _changed_specs(state: PlannerState, tasks: Collection[TaskSpec]) -> dict[int, TaskSpec]:
    changed = {s.id: s for s in tasks if find_task(state, s.id).spec != s}
    for task_id, spec in changed.items():
        task = state.tasks[task_id]
        if task_id >= STRIDE:
            raise CommandRejected(f"{id_text(task_id)} is an item; change task {map_of(task_id)}")
        if task.spec.undoes is not None:
            raise CommandRejected(f"task {task_id} undoes another one; change the undo of that")
        if task.superseded:
            raise CommandRejected(f"task {task_id} was superseded; change its replacement")
        if spec.kind is not task.kind or spec.drafts != task.spec.drafts:
            raise CommandRejected(
                f"task {task_id} is a {task.kind.value}; a fork cannot change that"
            )
    if changed:
        others = {i: t.spec for i, t in state.written().items() if i not in changed}
        check_structure(changed.values(), others)
    return changed


def _answers(state: PlannerState, command: ForkPlan) -> tuple[dict[int, str], dict[int, str]]:
    """The answers that hold at once, and those that hold when their question is asked."""
    now: dict[int, str] = {}
    later: dict[int, str] = {}
    for task_id, text in (command.kept | command.answers).items():
        task = find_task(state, task_id)
        given = task_id in command.answers
        if task.spec.undoes is not None and not given:
            continue  # a fork asks about its own undo
        asks = task.kind is NodeKind.Clarification and task.spec.for_each is None
        if not asks or task.superseded or task.spec.undoes is not None:
            raise CommandRejected(
                f"task {id_text(task_id)} is not a question (it is a {task.kind.value}); only "
                "answers to questions of the plan can be given to a fork"
            )
        prompt = task.spec.prompt
        answer = chosen_answer(task_id, prompt.choices if prompt else (), text)
        changed = task.status is TaskStatus.Completed and given and answer != task.result
        if changed or task.status is TaskStatus.NeedsClarification:
            now[task_id] = answer
        else:
            later[task_id] = answer  # should it be asked, or asked again
    return now, later


def _undone(state: PlannerState, later: Iterable[int]) -> list[int]:
    """Tasks that were undone in the origin, perhaps ``later``; also maps with such an item."""
    undone = [task.id for task in state.tasks.values() if is_undone(state, task)]
    found = dict.fromkeys(map_of(i) or i for i in (*undone, *later) if i in state.tasks)
    return [i for i in found if not state.tasks[i].outdated]  # those run again in any case


def _planned_again(
    state: PlannerState, change: _Change, undone: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], dict[int, int]]:
    """The changed and the ``undone`` tasks and all that descends from them, as far as they had
    begun or ended, and those that ran on an answer that was changed; other tasks that were running;
    and those that a parent keeps from running, with that parent."""
    reached = _below(state, [*change.specs, *change.answers, *undone])
    for task_id in [i for i in change.answers if i in reached]:
        change.prepared[task_id] = change.answers.pop(task_id)
    ids = dict.fromkeys((*change.specs, *undone, *reached))
    below = [task for i in ids if not (task := state.tasks[i]).superseded]
    changed = {*ids, *change.answers}
    underway = [
        t
        for i, t in state.tasks.items()
        if i not in changed and map_of(i) not in changed and _is_underway(t)
        if t.spec.undoes is None
    ]
    kept_off = kept_off_tasks(state, [*below, *underway], set())
    _check_parents(state, change, {task.id for task in below}, kept_off)
    over = (TaskStatus.Skipped, TaskStatus.Cancelled)
    again = [
        task.id
        for task in below
        if (task.status is not TaskStatus.Planned or task.attempt)
        and not (task.id in kept_off and task.status in over and task.id not in undone)
    ]
    outdated = {task.id for task in underway if task.outdated}
    again += [i for i in outdated if map_of(i) not in outdated]  # items go with their map
    resumed = (t.id for t in underway if t.id not in outdated and map_of(t.id) not in outdated)
    return tuple(sorted(again)), tuple(sorted(resumed)), kept_off


def _below(state: PlannerState, roots: Iterable[int]) -> dict[int, None]:
    """All descendants of ``roots``, also roots that descend from another root. The descendants of a
    map descend from its items too."""
    found: dict[int, None] = {}
    frontier = [map_of(root) or root for root in roots]
    for parent in frontier:
        for child in state.schedule.children[parent]:
            if child not in found:
                found[child] = None
                frontier.append(child)
    return found


def _check_parents(
    state: PlannerState, change: _Change, again: Collection[int], kept_off: dict[int, int]
) -> None:
    for task_id, spec in change.specs.items():
        parent = kept_off.get(task_id)
        if parent is None:
            blocking = (i for i in spec.depends_on if i not in again and blocks(state.tasks[i]))
            parent = next(blocking, None)
        if parent is not None:
            raise CommandRejected(
                f"task {task_id} cannot run: it needs task {parent}, which "
                f"{in_words(state.tasks[parent].status)}; change that one, too, or fork an earlier "
                "version"
            )


def _is_underway(task: Task) -> bool:
    """Whether the present attempt belongs to the origin. A question is asked again, so that its
    deadline counts from then."""
    asks = task.status is TaskStatus.NeedsClarification and task.kind is NodeKind.Clarification
    return task.status is TaskStatus.Running or asks


def _check_consent(state: PlannerState, command: ForkPlan, runs: Collection[int]) -> None:
    """Raises CommandRejected for effects ``once`` that would happen again without consent."""
    happened, allowed = set(command.happened), set(command.repeat)
    undone = set(command.undone)
    allowed |= {i for i in runs if map_of(i) in allowed}
    refused = [
        task
        for i, task in state.tasks.items()
        if i in runs
        and i not in allowed
        and (
            i in happened
            if task.spec.drafts
            else task.spec.effect is Effect.Once
            and (i in happened or (i not in undone and may_have_happened(state, task)))
        )
    ]
    refuse_repeats(refused, "the fork")
