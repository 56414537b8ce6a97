"""Why a task does not run, failed or was skipped.

Reasons in a plan's state are found by :func:`reasons_of`; those in the task queue, of a task that
was dispatched, in ``workers.py``.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from planfold.planner.answers import use_of_result
from planfold.planner.dispatch import ahead_of
from planfold.planner.graph import met
from planfold.planner.items import id_text, map_of
from planfold.planner.lanes import lane_of
from planfold.planner.maps import items_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.readmodels.ended_reasons import ended_reasons
from planfold.readmodels.reason import Reason, ReasonKind, first_line, names_in, reason_of
from planfold.readmodels.timeline import Phase, phase_of


def reasons_of(state: PlannerState, task: Task, now: float) -> list[Reason]:
    """The reasons for a task that are in the plan's state at the time ``now``. Empty if it
    completed, or if only the task queue knows more."""
    match phase_of(state, task):
        case Phase.Ended:
            return ended_reasons(state, task)
        case Phase.Answer | Phase.Budget:
            return [_asked(state, task)]
        case Phase.Stopping if task.runs_plan:
            return [_sub_plan(task, ReasonKind.Stopping, "stop")]
        case Phase.Stopping:
            remedy = "wait: its worker makes it end after a grace of 10 s"
            return [reason_of(ReasonKind.Stopping, task, "waits for its worker to stop", remedy)]
        case Phase.Running:
            return []
        case Phase.Items:
            return [_items(state, task)]
        case Phase.Wait:
            return [_wait(task)]
        case _ if not (state.approved or task.spec.drafts or task.spec.undoes is not None):
            return [_approval(state, task)]
        case Phase.Parents:
            return [_parents(state, task)]
        case Phase.Pause:
            return [paused(state, task)]
        case Phase.Retry if (task.not_before or 0.0) > now:
            remedy = "wait until then"
            text = f"waits for a retry after: {first_line(task.error)}"
            return [reason_of(ReasonKind.Retry, task, text, remedy, until=task.not_before)]
    return _limits(state, task)


def waits_for(task: Task, state: PlannerState) -> str | None:
    """Why a task does not continue, and what it waits for; None when it does not wait."""
    if task.status is TaskStatus.NeedsClarification:
        return "an answer"
    paused = task.status is TaskStatus.Running and (task.stopping or task.waits)
    if task.status is TaskStatus.Planned or paused:
        texts = [reason.text for reason in reasons_of(state, task, 0.0)]
        waits = [text.removeprefix("waits for ") for text in texts if text.startswith("waits for ")]
        return "; ".join(waits) or None
    return None


def _approval(state: PlannerState, task: Task) -> Reason:
    remedy = f"approve the revision {state.revision_hash}, or reject it"
    return reason_of(ReasonKind.Approval, task, "waits for approval", remedy)


def _parents(state: PlannerState, task: Task) -> Reason:
    open_ = [i for i in task.depends_on if not met(state.tasks[i], task.spec)]
    if not open_ and (of := map_of(task.id)):
        text, remedy = f"starts no more: task {of} ends", f"retry task {of} once it has ended"
        return reason_of(ReasonKind.Parents, task, text, remedy, by=[of])
    names = names_in(state, open_)
    text, remedy = f"waits for {names}", f"see what {names} wait{'s' * (len(open_) == 1)} for"
    return reason_of(ReasonKind.Parents, task, text, remedy, by=open_)


def paused(state: PlannerState, task: Task) -> Reason:
    """The pause of the plan, or the break-point before the task."""
    pause, at_task = state.paused, state.paused is None
    text, remedy = "waits for a person to unpause the plan", "unpause the plan"
    if pause is None:
        pause = state.breakpoints[task.id]
        text = "waits for a person at its break-point"
        remedy = "unpause the plan, or lift the break-point"
    said = f"paused by {pause.by}" if pause.by else "paused"
    said += f": {first_line(pause.reason)}" if pause.reason else ""
    reason = reason_of(ReasonKind.Pause, task, f"{text} ({said})", remedy)
    by = (task.id,) if at_task else ()
    return msgspec.structs.replace(reason, since=pause.since or None, by=by)


def _items(state: PlannerState, task: Task) -> Reason:
    ended = Counter(item.status for item in items_of(state, task))
    done, total = sum(ended[status] for status in ENDED), ended.total()
    text = f"runs its items: {done:,} of {total:,} have ended"
    if ended[TaskStatus.Failed]:
        text += f", {ended[TaskStatus.Failed]:,} failed"
    open_ = [item.id for item in items_of(state, task) if item.status not in ENDED][:1]
    remedy = f"see what {id_text(open_[0])} waits for" if open_ else "wait until the map ends"
    return reason_of(ReasonKind.Items, task, text, remedy, by=open_)


def _sub_plan(task: Task, kind: ReasonKind, to: str) -> Reason:
    if task.plan_id is None:
        text, remedy = "waits for a worker to begin its plan", "start a worker: it begins the plan"
        return reason_of(kind, task, text, remedy)
    text = f"waits for its plan {task.plan_id} to {to}"
    reason = reason_of(kind, task, text, "see what that plan waits for")
    return msgspec.structs.replace(reason, plan_id=task.plan_id)


def _wait(task: Task) -> Reason:
    if task.runs_plan:
        return _sub_plan(task, ReasonKind.Wait, "end")
    wait = task.spec.wait
    if wait is None or wait.signal is None:
        remedy = "wait until then, or cancel the task"
        text = f"waits for its time{f', {wait.written}' if wait and wait.written else ''}"
        return reason_of(ReasonKind.Wait, task, text, remedy, until=task.until)
    whose = "whose key is the plan's id"
    if task.signal_key is not None:
        whose = f"with the key {task.signal_key!r}"
    text, remedy = f"waits for the signal {wait.signal!r} {whose}", "give the signal"
    if task.until is not None:
        remedy += "; without it the task fails then"
        if wait.default is not msgspec.UNSET:
            remedy = "give the signal; without it the default holds then"
    found = reason_of(ReasonKind.Wait, task, text, remedy, until=task.until)
    return msgspec.structs.replace(found, signal=wait.signal, key=task.signal_key)


def _asked(state: PlannerState, task: Task) -> Reason:
    question = state.questions[task.id]
    if question.then == "budget":
        remedy = 'add to the budget of the plan, or answer "stop"'
        text = f"waits for a decision: {question.question}"
        return reason_of(ReasonKind.Budget, task, text, remedy)
    until, remedy = question.deadline, f"answer the question of {names_in(state, [task.id])}"
    if until is not None:
        remedy += f"; without an answer {question.default!r} holds from the deadline on"
    text = f"waits for an answer: {first_line(question.question)}"
    reason = reason_of(ReasonKind.Answer, task, text, remedy, until=until)
    needs = bool(use_of_result(state, question))
    return msgspec.structs.replace(reason, choices=question.choices, needs_result=needs)


def _limits(state: PlannerState, task: Task) -> list[Reason]:
    """The plan's limits that keep a free task from starting. If there are none, it starts with the
    next decision on the plan."""
    config, schedule = state.config, state.schedule
    route, found = task.spec.queue_route, []
    limits = [(ReasonKind.PlanLimit, config.max_parallel, schedule.slots, "")]
    of_route = f" of the route {route!r}"
    limit, taken = config.route_limits.get(route), schedule.running_on(route)
    limits += [(ReasonKind.RouteLimit, limit, taken, of_route)]
    above = state.tasks.get(map_of(task.id))
    if above is not None and above.spec.for_each is not None:
        taken = schedule.running[lane_of(task.spec)]
        of_map = f" items of task {above.id}"
        limits += [(ReasonKind.MapLimit, above.spec.for_each.concurrency, taken, of_map)]
    for kind, limit, count, of in limits:
        if limit is not None and count >= limit:
            text = f"waits for a free slot: the plan runs at most {limit}{of} at once"
            remedy = "wait until one of them ends; a plan with a higher limit runs more at once"
            found.append(reason_of(kind, task, text, remedy, limit=limit))
    if not found:
        text, remedy = "waits for a worker to start it", "start a worker: it continues the plan"
        reason = reason_of(ReasonKind.NoWorker, task, text, remedy)
        tool = None if task.spec.tool is None else task.spec.tool.name
        found.append(msgspec.structs.replace(reason, tool=tool))
    return found


def with_holders(state: PlannerState, reason: Reason, now: float) -> Reason:
    """A reason about a limit, with the tasks that hold the slots, and for one task how many start
    before it. Items of a map start in their order."""
    if reason.kind not in (ReasonKind.PlanLimit, ReasonKind.RouteLimit, ReasonKind.MapLimit):
        return reason
    task = state.tasks[reason.tasks[0]]
    if reason.kind is ReasonKind.MapLimit:
        items = items_of(state, state.tasks[map_of(task.id)])
        running = tuple(item.id for item in items if item.status is TaskStatus.Running)
        return msgspec.structs.replace(reason, by=running)
    route = task.spec.queue_route if reason.kind is ReasonKind.RouteLimit else None
    active = state.schedule.having([TaskStatus.Running])
    busy = (t for t in active if t.spec.for_each is None and not t.waits)
    holders = tuple(t.id for t in busy if route in (None, t.spec.queue_route))
    ahead = ahead_of(state, task, now, route=route) if len(reason.tasks) == 1 else None
    return msgspec.structs.replace(reason, by=holders, ahead=ahead)
