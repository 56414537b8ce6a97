"""What blocks a plan: it waits for a person, or for a worker other than this one."""

from __future__ import annotations

from planfold.eventstore.port import EventStore
from planfold.executors.registry import Executors
from planfold.planner.items import id_text
from planfold.planner.state import PlannerState
from planfold.planner.tasks import PlanStatus, Task, TaskSpec, TaskStatus
from planfold.readmodels.labels import labels_of, named
from planfold.readmodels.workers import look_at_queue, needed_worker
from planfold.runtime.plan_reader import PlanReader

LOOK_EVERY_S = 1.0


def waits_for_person(state: PlannerState) -> str | None:
    """What a person has to do before the plan can continue. None if nothing is needed, or if a
    default will answer the question."""
    if state.status is PlanStatus.AwaitingApproval:
        return "the plan waits for approval"
    if state.status is PlanStatus.Paused:
        return "the plan is paused"
    if state.status is not PlanStatus.AwaitingAnswer or has_deadline(state):
        return None
    tasks = sorted(state.questions)
    names = named(tasks, labels_of(state.tasks[i].spec for i in tasks))
    return names + (" waits for an answer" if len(tasks) == 1 else " wait for answers")


async def continued_by(reader: PlanReader, plan_id: str) -> list[str]:
    """The plans that have to continue first: the plan's sub-plans, at any depth, if it waits for
    nothing else; otherwise the plan itself. Raises NotFound."""
    below = _only_sub_plans((await reader.planner(plan_id)).state)
    if not below:
        return [plan_id]
    return [each for child in below for each in await continued_by(reader, child)]


def _only_sub_plans(state: PlannerState) -> list[str]:
    schedule = state.schedule
    if state.questions or schedule.startable or schedule.delayed or schedule.open_waits:
        return []
    if not schedule.slots or schedule.deadlines.next():
        return []
    running = [t for t in schedule.having([TaskStatus.Running]) if t.spec.for_each is None]
    found = [task.plan_id for task in running if task.runs_plan and task.plan_id is not None]
    return found if len(found) == len(running) else []


async def why_at_rest(
    reader: PlanReader, executors: Executors, plan_id: str, owner: str
) -> str | None:
    """What a plan, or its sub-plans, need from a person or from a worker other than ``owner``; None
    while the plan can still continue without either."""
    reasons: list[str] = []
    for each in await continued_by(reader, plan_id):
        reason = waits_for_person((await reader.planner(each)).state)
        reason = reason or await missing_worker(reader, executors, each, owner)
        if reason is None:
            return None
        reasons.append(reason if each == plan_id else f"its sub-plan {each}: {reason}")
    return reasons[0]


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
    if state.schedule.delayed or has_deadline(state) or state.schedule.deadlines.next():
        return []
    look = await look_at_queue(store.queue, plan_id)
    tasks = [state.tasks[task_id] for task_id in look.rows if task_id in state.tasks]
    if any(serves(executors, task.spec) for task in tasks) or look.attended:
        return []
    if any(look.may_be_served(row, without=owner) for row in look.rows.values()):
        return []
    return tasks


def serves(executors: Executors, spec: TaskSpec) -> bool:
    """Whether a worker with these executors takes the task."""
    routes = executors.routes()
    claimed = routes is None or spec.queue_route in routes
    return claimed and executors.for_task(spec) is not None


def waits_for_worker(task: Task) -> str:
    """Which worker a task needs: "task 3 waits for a worker with the tool 'deploy'"."""
    return f"task {id_text(task.id)} waits for {needed_worker(task.spec)}"


async def missing_worker(
    reader: PlanReader, executors: Executors, plan_id: str, owner: str
) -> str | None:
    """The worker that the plan needs in addition to ``owner``; None if it can continue without
    one."""
    version = await reader.store.version(plan_id)
    state = (await reader.planner(plan_id)).state
    tasks = await unserved(reader.store, executors, plan_id, state, owner)
    if not tasks or await reader.store.version(plan_id) != version:
        return None
    remedy = "this process has none: add it to tools= or start a worker that has it"
    return f"{waits_for_worker(tasks[0])}; {remedy}"
