"""``Planner``: the plan aggregate. Commands in, events out; nothing else happens here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Self

import msgspec

from planfold.errors import CommandRejected, NotFound
from planfold.handler import Enqueue, Outlook, QueueChange, Settle, Signal, StreamPhase
from planfold.planner import answers, by_hand, cancellation, names, pauses, revisions
from planfold.planner.commands import (
    AddBudget,
    ApprovePlan,
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    Command,
    CompactContext,
    CompleteTask,
    ConfirmEnd,
    Continue,
    ContinueSubPlan,
    ForkPlan,
    HandleExecutorEvent,
    Initialize,
    NameCheckpoint,
    PausePlan,
    RegisterWait,
    Replan,
    RetryTask,
    RevisePlan,
    SkipTask,
    TagPlan,
    UndoPlan,
    UnpausePlan,
)
from planfold.planner.context import compact_context, over_budget
from planfold.planner.dispatch import continue_plan, has_work, next_due
from planfold.planner.events import (
    CancelRequested,
    ClarificationRequested,
    Event,
    PlanApproved,
    PlanPaused,
    RetryScheduled,
    TaskDispatched,
    TasksPlanned,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.fold import PlanMemory
from planfold.planner.forks import fork_plan
from planfold.planner.items import STRIDE
from planfold.planner.maps import results_in_order
from planfold.planner.occurrence import check_occurrence
from planfold.planner.outcomes import handle_executor_event
from planfold.planner.revisions import check_config, check_structure, hash_revision
from planfold.planner.snapshots import Snapshot, StoredTasks, pack
from planfold.planner.state import PlannerState
from planfold.planner.steps import add_budget
from planfold.planner.sub_plans import confirm_end, continue_sub_plan, owes_end
from planfold.planner.tasks import Effect, ParentTask, PlanStatus, TaskStatus, in_words
from planfold.planner.undo import undo_plan
from planfold.planner.waits import register_wait, to_register
from planfold.tags import check_tags

RUNNING: Final = TaskStatus.Running  # looking up a member takes time
SAFE: Final = Effect.Safe
TASK_BYTES = 1_500  # of a task without its texts, measured
TOKEN_BYTES = 5  # a token is about four characters
_WAITING = (PlanStatus.AwaitingApproval, PlanStatus.AwaitingAnswer, PlanStatus.Paused)
FOLD_VERSION = 9  # raise it when folding the same events gives another state


class Planner(PlanMemory):
    """One plan.

    Example:
        from planfold.commands import Planner
        from planfold.commands import Continue, Initialize, TaskSpec

        planner = Planner()
        tasks = (TaskSpec(id=1, description="greet"),)
        events = planner.process(Initialize("Hello", tasks, approved_by="me"))
        print(Planner.fold(events).process(Continue()))
    """

    def process(self, command: Command) -> list[Event]:
        """See :meth:`Handler.process`.

        Raises:
            CommandRejected: not legal now, with the reason and the remedy.
            NotFound: no such task.
            InvalidPlan: the tasks of Initialize or RevisePlan do not form a graph.
        """
        unforked = not self.state.version and self.state.revision_hash
        if unforked and not isinstance(command, ForkPlan):
            raise NotFound("there is no such plan; it was to begin as a fork")
        if isinstance(command, Initialize):
            return list(_initialize(self.state, command))
        if not self.state.revision_hash:
            raise NotFound("there is no such plan; it begins with Initialize")
        _ = self.state.schedule  # from here on all tasks are decoded, also those of a snapshot
        decide = _DECIDE.get(type(command))
        if decide is None:
            raise TypeError(f"a plan has no command {type(command).__name__}")
        events = decide(self.state, command)
        return events if type(events) is list else list(events)

    def outlook(self, events: Sequence[Event] = (), now: float = 0.0) -> Outlook[Command]:
        """See :meth:`Handler.outlook`.

        ``Continue`` follows while something can be dispatched or completed, ``CompactContext``
        when the context has passed its budget. Time changes something when a retry's wait or a
        question's deadline ends, or a wait. Dispatched tasks enter the queue; they leave it when
        their attempt has ended.
        """
        state = self.state
        queue = _queue_changes(state, events) if events else ()
        command = self._next_command(now)
        if command is not None:
            return Outlook(command, queue=queue)
        due, schedule = None, state.schedule
        if schedule.delayed or schedule.deadlines.pending:
            due = next_due(state)
        if state.unregistered and (new := to_register(state)):
            due = (new[0].waiting_since, new[0].waiting_since)  # at once
        elif state.parent is not None and owes_end(state):
            due = (state.updated_at, state.updated_at)
        due_at, due_since = due or (None, 0.0)
        head = state.head()
        phase = _phase(state, head["status"])
        return Outlook(None, due_at, queue, head, _size(state), phase, due_since)

    def _next_command(self, now: float) -> Command | None:
        state = self.state
        if not state.version:
            return None
        if has_work(state, now):
            return Continue(now)
        if state.outcome is None and state.uncompacted and over_budget(state):
            if state.config.summarise and state.config.model:
                return None  # the model does it when it next reads the context
            return CompactContext()
        return None

    def snapshot(self) -> bytes:
        """See :meth:`Handler.snapshot`."""
        state = self.state
        maps = {i: t for i, t in state.tasks.items() if t.elements}
        if maps:  # their results are those of their items, which are in it
            bare = {i: msgspec.structs.replace(t, result=None) for i, t in maps.items()}
            state = msgspec.structs.replace(state, tasks=state.tasks | bare)
        return pack(FOLD_VERSION, state)

    @classmethod
    def restore(cls, snapshot: bytes) -> Self | None:
        """See :meth:`Handler.restore`."""
        found = Snapshot.unpack(snapshot)
        if found is None or found.version != FOLD_VERSION:
            return None
        state = found.state
        state.tasks = StoredTasks(found.pieces)
        if found.has_items:
            for task in state.tasks.values():
                if task.elements and task.status is TaskStatus.Completed:
                    task.result = results_in_order(state, task)
        return cls(state)


def _queue_changes(state: PlannerState, events: Sequence[Event]) -> list[tuple[int, QueueChange]]:
    changes: list[tuple[int, QueueChange]] = []
    for place, event in enumerate(events):
        match event:  # without patterns for the fields, which cost more than all the rest
            case TaskDispatched():
                changes.append((place, _enqueue(state, event)))
            case TaskStatusUpdated():
                if event.status is not RUNNING and _was_dispatched(state, event.task_id):
                    changes.append((place, Settle(event.task_id)))
            case RetryScheduled() | ClarificationRequested():
                if _was_dispatched(state, event.task_id):
                    changes.append((place, Settle(event.task_id)))
            case TasksReset():
                ids = event.task_ids
                changes += [(place, Settle(i)) for i in ids if _was_dispatched(state, i)]
            case CancelRequested():
                changes += [(place, Signal(i)) for i in event.task_ids if _runs(state, i)]
    return changes


def _enqueue(state: PlannerState, event: TaskDispatched) -> Enqueue:
    spec = state.tasks[event.task_id].spec
    route, call = spec.queue_route, spec.tool
    tool, safe = call.name if call else route, spec.effect is SAFE
    about = (route, tool, state.config.priority, safe, spec.limits)
    return Enqueue(event.task_id, event.attempt, *about)


def _was_dispatched(state: PlannerState, task_id: int) -> bool:
    """Whether the task was dispatched. This is unknown for an item that is gone with its map."""
    task = state.tasks.get(task_id)
    if task is None:
        return task_id >= STRIDE
    return task.attempt > 0 and task.spec.for_each is None and task.spec.wait is None


def _runs(state: PlannerState, task_id: int) -> bool:
    task = state.tasks.get(task_id)
    if task is None or task.spec.for_each is not None or task.spec.wait is not None:
        return False
    return task.status is RUNNING


def _phase(state: PlannerState, status: str) -> StreamPhase:
    if state.outcome is not None:
        return "ended"
    return "waiting" if status in _WAITING else "active"


def _size(state: PlannerState) -> int:
    """The size of the state in memory, in bytes: the tasks' structs, and their texts by tokens."""
    tokens = state.plan_tokens + state.fresh_tokens + state.answer_tokens + state.context_tokens
    return TASK_BYTES * len(state.tasks) + TOKEN_BYTES * tokens


def _initialize(state: PlannerState, command: Initialize) -> Iterator[Event]:
    check_structure(command.tasks, {})
    check_config(command.config)
    check_tags(command.tags)
    check_occurrence(command.occurrence)
    if missing := sorted({*command.pause_before} - {spec.id for spec in command.tasks}):
        raise CommandRejected(f"pause_before names task {missing[0]}, which the plan does not have")
    revision_hash = hash_revision(command.tasks)
    if not state.revision_hash:
        yield TasksPlanned(
            command.title,
            command.goal,
            command.tasks,
            revision_hash,
            command.config,
            tuple(sorted({*command.tags})),
            command.parent,
            command.occurrence,
        )
        if command.pause_before:
            before = tuple(dict.fromkeys(command.pause_before))
            yield PlanPaused(before, by=command.approved_by or "")
    elif command.config.project != state.config.project:  # nor is it approved from there
        raise CommandRejected(
            "there is a plan with this id in another project; give the new plan another id"
        )
    elif _place(command.parent) != _place(state.parent):
        raise CommandRejected(
            "there is a plan with this id that is not the sub-plan of that task; give the plan "
            "another id"
        )
    elif revision_hash not in (state.initial_hash, state.revision_hash):
        raise CommandRejected(
            "this plan began with other tasks; revise it, or give the new plan another id"
        )
    elif revision_hash != state.revision_hash or not _awaits_approval(state):
        return
    if command.approved_by is not None:
        yield PlanApproved(revision_hash, command.approved_by)


def _place(parent: ParentTask | None) -> tuple[str, int] | None:
    return None if parent is None else (parent.plan_id, parent.task_id)


def _awaits_approval(state: PlannerState) -> bool:
    return not state.approved and not state.cancelled and state.outcome is None


def _approve(state: PlannerState, command: ApprovePlan) -> Iterator[Event]:
    if command.revision_hash != state.revision_hash:
        raise CommandRejected(
            f"the plan is at revision {state.revision_hash}, not {command.revision_hash}; "
            "review that revision before you approve it"
        )
    if state.outcome is not None or state.cancelled:
        raise CommandRejected(f"the plan {in_words(state.status)}; there is nothing to approve")
    if not state.approved:
        yield PlanApproved(command.revision_hash, command.by)


def _compact(state: PlannerState, command: CompactContext) -> Iterator[Event]:
    news = command.summary is not None and command.summary != state.context_summary
    if state.uncompacted or news:
        yield compact_context(state, command.summary)


_DECIDE: dict[type, Callable[[PlannerState, Any], Iterable[Event]]] = {
    HandleExecutorEvent: handle_executor_event,
    Continue: continue_plan,
    CompactContext: _compact,
    ApprovePlan: _approve,
    RevisePlan: revisions.revise_plan,
    Replan: revisions.replan,
    AddBudget: add_budget,
    RetryTask: revisions.retry_task,
    RegisterWait: register_wait,
    ContinueSubPlan: continue_sub_plan,
    ConfirmEnd: confirm_end,
    ChangeAnswer: answers.change_answer,
    TagPlan: names.tag_plan,
    NameCheckpoint: names.name_checkpoint,
    ForkPlan: fork_plan,
    CancelTask: cancellation.cancel_task,
    CancelPlan: cancellation.cancel_plan,
    PausePlan: pauses.pause_plan,
    UnpausePlan: pauses.unpause_plan,
    SkipTask: by_hand.skip_task,
    CompleteTask: by_hand.complete_task,
    UndoPlan: undo_plan,
}
