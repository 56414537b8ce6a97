"""What blocks a plan: it waits for a person, or for a worker other than this one."""

from __future__ import annotations

from planfold.eventstore.port import EventStore, Lease
from planfold.executors.registry import Executors
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskSpec

LOOK_EVERY_S = 1.0


def waits_for_person(state: PlannerState) -> str | None:
    """What the plan wants of a person before anything else can happen; None: nothing, or a
    question whose default will answer it."""
    if state.status is PlanStatus.AwaitingApproval:
        return "the plan waits for approval"
    if state.status is not PlanStatus.AwaitingAnswer or has_deadline(state):
        return None
    tasks = sorted(state.questions)
    shown = ", ".join(map(str, tasks[:5])) + (", ..." if len(tasks) > 5 else "")
    several = len(tasks) > 1
    return f"tasks {shown} wait for answers" if several else f"task {shown} waits for an answer"


def has_deadline(state: PlannerState) -> bool:
    """Whether an open question will be answered by its default."""
    return any(question.deadline is not None for question in state.questions.values())


async def unserved(
    store: EventStore, executors: Executors, plan_id: str, state: PlannerState, owner: str
) -> list[Task]:
    """The tasks that wait for a worker other than ``owner``, where nothing else can happen to the
    plan; empty while a living worker may serve one of them."""
    if state.status not in (PlanStatus.Running, PlanStatus.Cancelling):
        return []
    if state.schedule.delayed or has_deadline(state):
        return []
    rows = [row for row in await store.queue.queued(plan_id) if row.task_id in state.tasks]
    tasks = [state.tasks[row.task_id] for row in rows]
    routes = executors.routes()
    if any(_serves(executors, routes, task.spec) for task in tasks):
        return []
    if not rows or await _others_may_run(store, rows, owner):
        return []
    return tasks


def _serves(executors: Executors, routes: frozenset[str] | None, spec: TaskSpec) -> bool:
    claimed = routes is None or spec.queue_route in routes
    return claimed and executors.for_task(spec) is not None


async def _others_may_run(store: EventStore, rows: list[Lease], owner: str) -> bool:
    owners = {row.owner for row in rows if row.owner}
    if owners - await store.queue.dead(owners):
        return True
    others = [worker for worker in await store.queue.workers() if worker.owner != owner]
    return any(
        worker.serves(row.route, row.tool, row.aggregate_id) for worker in others for row in rows
    )


def waits_for_worker(task: Task) -> str:
    """Which worker a task needs: "task 3 waits for a worker with the tool 'deploy'"."""
    spec = task.spec
    needed = f"that serves the route {spec.queue_route!r}"
    if spec.kind is NodeKind.ToolCall and spec.tool is not None and spec.route is None:
        needed = f"with the tool {spec.tool.name!r}"
    return f"task {task.id} waits for a worker {needed}"
