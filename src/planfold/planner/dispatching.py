"""``Continue``: start what can start, apply what is due, and end the plan when nothing is left."""

from __future__ import annotations

from collections.abc import Iterator

from planfold.planner.cancelling import skip_dependents
from planfold.planner.commands import Continue
from planfold.planner.events import (
    ClarificationReceived,
    ClarificationRequested,
    Event,
    PlanningCompleted,
    PlanOutcome,
    PlanSummary,
    TaskDispatched,
    TaskStatusUpdated,
)
from planfold.planner.references import ReferenceFault, has_references, resolve
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, Prompt, Task, TaskStatus, ToolCall

_UNFINISHED = (TaskStatus.Planned, TaskStatus.Running, TaskStatus.NeedsClarification)


def has_work(state: PlannerState, now: float) -> bool:
    """Whether ``Continue(now)`` would yield any event."""
    if state.outcome is not None:
        return False
    return (
        _is_over(state)
        or any(_due_defaults(state, now))
        or next(_startable(state, now), None) is not None
    )


def continue_plan(state: PlannerState, command: Continue) -> Iterator[Event]:
    """Decide ``Continue``."""
    if state.outcome is not None:
        return
    for task_id, default in _due_defaults(state, command.now):
        yield ClarificationReceived(task_id, default, by="deadline")
    skipped: set[int] = set()
    for task in _startable(state, command.now):
        yield from _start(state, task, command.now, skipped)
    if _is_over(state):
        yield _conclusion(state)


def _is_over(state: PlannerState) -> bool:
    return not any(state.schedule.counts[status] for status in _UNFINISHED)


def _due_defaults(state: PlannerState, now: float) -> Iterator[tuple[int, str]]:
    for task_id, deadline in state.deadlines():
        default = state.questions[task_id].default
        if deadline <= now and default is not None:
            yield task_id, default


def _startable(state: PlannerState, now: float) -> Iterator[Task]:
    """Free tasks, as far as the limits allow: questions, then due retries, then the rest, the
    routes taking turns so that a crowded one does not starve the others."""
    if not state.approved or state.cancelled:
        return
    schedule, config = state.schedule, state.config
    for task_id in schedule.ready.get("", ()):
        yield state.tasks[task_id]
    total = len(state.tasks) if config.max_parallel is None else config.max_parallel
    total -= sum(schedule.running.values())
    room: dict[str, int] = {}

    def take(route: str) -> bool:
        nonlocal total
        if route not in room:
            room[route] = config.route_limits.get(route, total) - schedule.running[route]
        if total <= 0 or room[route] <= 0:
            return False
        total -= 1
        room[route] -= 1
        return True

    for task_id in schedule.due_retries(now):
        if take(state.tasks[task_id].spec.queue_route):
            yield state.tasks[task_id]
    lanes = {route: iter(lane) for route, lane in schedule.ready.items() if route and lane}
    while lanes and total > 0:
        for route in list(lanes):
            task = next(lanes[route], None) if take(route) else None
            if task is None:
                del lanes[route]
            else:
                yield state.tasks[task]


def _start(state: PlannerState, task: Task, now: float, skipped: set[int]) -> Iterator[Event]:
    if task.kind is NodeKind.Clarification:
        prompt = task.spec.prompt or Prompt()
        deadline = None if prompt.deadline is None else now + prompt.deadline
        yield ClarificationRequested(
            task.id, task.description, prompt.choices, prompt.default, deadline
        )
        return
    try:
        arguments = _resolved(state, task.spec.tool)
    except ReferenceFault as fault:
        yield TaskStatusUpdated(task.id, TaskStatus.Failed, error=str(fault))
        yield from skip_dependents(state, [task.id], skipped)
        return
    yield TaskDispatched(task.id, task.attempt + 1, arguments)


def _resolved(state: PlannerState, call: ToolCall | None) -> dict[str, object] | None:
    if call is None or not has_references(call.arguments, literal=call.literal):
        return None
    return resolve(call.arguments, lambda i: state.tasks[i].result, literal=call.literal)


def _conclusion(state: PlannerState) -> PlanningCompleted:
    by_status: dict[TaskStatus, list[int]] = {status: [] for status in TaskStatus}
    for task in state.tasks.values():
        by_status[task.status].append(task.id)
    failed = by_status[TaskStatus.Failed]
    outcome: PlanOutcome = "completed"
    if state.cancelled or by_status[TaskStatus.Cancelled]:
        outcome = "cancelled"
    if not state.cancelled and any(state.tasks[i].spec.on_failure == "stop" for i in failed):
        outcome = "failed"
    return PlanningCompleted(
        outcome,
        PlanSummary(
            total=len(state.tasks),
            completed=len(by_status[TaskStatus.Completed]),
            failed=tuple(failed),
            skipped=tuple(by_status[TaskStatus.Skipped]),
            cancelled=tuple(by_status[TaskStatus.Cancelled]),
            unknown=tuple(t.id for t in state.tasks.values() if t.outcome_unknown),
        ),
    )
