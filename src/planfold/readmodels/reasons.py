"""``Reason``: why a task does not run, failed or was skipped; the one place that says so.

Reasons in a plan's state are found by :func:`reasons_of`; those in the task queue, of a task that
was dispatched, in ``workers.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

import msgspec

from planfold.planner.answers import use_of_result
from planfold.planner.dispatch import ahead_of
from planfold.planner.graph import blocks, lane_of, met
from planfold.planner.items import id_text, map_of
from planfold.planner.maps import items_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus
from planfold.planner.transitions import ENDED
from planfold.planner.undo import undo_counts
from planfold.planner.undone import is_undone
from planfold.readmodels.labels import SHOWN, error_with_labels, labels_of, named
from planfold.readmodels.timeline import Phase, phase_of


class ReasonKind(StrEnum):
    """What keeps a task from running, or became of it."""

    Approval = "approval"
    Parents = "parents"
    Answer = "answer"
    Budget = "budget"
    Pause = "pause"  # of the plan, or a break-point
    PlanLimit = "plan_limit"
    RouteLimit = "route_limit"
    MapLimit = "map_limit"
    Items = "items"  # of a map run
    Wait = "wait"  # for a time or a signal
    Retry = "retry"
    SharedLimit = "shared_limit"  # over all workers has no place
    NoWorker = "no_worker"  # that lives can run it
    BusyWorker = "busy_worker"  # those that can run it have not taken it
    DeadWorker = "dead_worker"  # holds its lease
    Running = "running"
    Stopping = "stopping"
    Failed = "failed"
    Skipped = "skipped"
    Cancelled = "cancelled"
    Undone = "undone"


class WorkerFit(msgspec.Struct, frozen=True):
    """A worker that lives, and what keeps it from taking the task (empty: nothing)."""

    owner: str
    constraint: str


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why ``tasks`` do not run, or their outcome. ``text`` follows their name ("waits for
    approval"), ``remedy`` says what helps.

    ``since`` and ``until`` (when time alone changes it) are seconds since the epoch; None: not
    known. ``by`` are tasks of the plan: the parents, the ones that hold all slots, or the one that
    failed. Under a limit, ``limit`` is its value and ``ahead`` the number of tasks that start
    earlier. ``worker`` holds the task; ``workers`` are those that live.
    ``choices`` are the answers that a question offers; with ``needs_result`` the first of them
    needs the result. ``signal`` and ``key`` (None: the plan's id) are those that a wait is for;
    of one that failed, ``signal`` is the one that did not come. ``plan_id`` is the sub-plan whose
    end a task waits for. ``route`` is the one that no worker
    serves, ``tool`` the one that a worker needs. Where the task has ended, ``helps`` is "retry" (or
    a revision), "revise" (a retry would end in the same way) or None: nothing has to be done.
    """

    kind: ReasonKind
    tasks: tuple[int, ...]
    text: str
    remedy: str
    since: float | None = None
    until: float | None = None
    by: tuple[int, ...] = ()
    limit: int | None = None
    ahead: int | None = None
    worker: str | None = None
    workers: tuple[WorkerFit, ...] = ()
    choices: tuple[str, ...] = ()
    route: str | None = None
    needs_result: bool = False
    tool: str | None = None
    signal: str | None = None
    key: str | None = None
    plan_id: str | None = None
    helps: Literal["retry", "revise"] | None = None


def reasons_of(state: PlannerState, task: Task, now: float) -> list[Reason]:
    """What the plan's state says of a task at the time ``now``. Empty where it completed, or
    where only the task queue knows more."""
    match phase_of(state, task):
        case Phase.Ended:
            return _ended(state, task)
        case Phase.Answer | Phase.Budget:
            return [_asked(state, task)]
        case Phase.Stopping if task.runs_plan:
            return [_sub_plan(task, ReasonKind.Stopping, "stop")]
        case Phase.Stopping:
            remedy = "wait: its worker makes it end after a grace of 10 s"
            return [_reason(ReasonKind.Stopping, task, "waits for its worker to stop", remedy)]
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
            text = f"waits for a retry after: {_first_line(task.error)}"
            return [_reason(ReasonKind.Retry, task, text, remedy, until=task.not_before)]
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


def _named(state: PlannerState, ids: Sequence[int]) -> str:
    return named(ids, labels_of(state.tasks[i].spec for i in ids[:SHOWN]))


def _reason(
    kind: ReasonKind,
    task: Task,
    text: str,
    remedy: str,
    *,
    until: float | None = None,
    by: Sequence[int] = (),
    limit: int | None = None,
) -> Reason:
    return Reason(
        kind=kind,
        tasks=(task.id,),
        text=text,
        remedy=remedy,
        until=until,
        by=tuple(by),
        limit=limit,
    )


def _approval(state: PlannerState, task: Task) -> Reason:
    remedy = f"approve the revision {state.revision_hash}, or reject it"
    return _reason(ReasonKind.Approval, task, "waits for approval", remedy)


def _parents(state: PlannerState, task: Task) -> Reason:
    open_ = [i for i in task.depends_on if not met(state.tasks[i], task.spec)]
    if not open_ and (of := map_of(task.id)):
        text, remedy = f"starts no more: task {of} ends", f"retry task {of} once it has ended"
        return _reason(ReasonKind.Parents, task, text, remedy, by=[of])
    names = _named(state, open_)
    text, remedy = f"waits for {names}", f"see what {names} wait{'s' * (len(open_) == 1)} for"
    return _reason(ReasonKind.Parents, task, text, remedy, by=open_)


def paused(state: PlannerState, task: Task) -> Reason:
    """The pause of the plan, or the break-point before the task."""
    pause, at_task = state.paused, state.paused is None
    text, remedy = "waits for a person to unpause the plan", "unpause the plan"
    if pause is None:
        pause = state.breakpoints[task.id]
        text = "waits for a person at its break-point"
        remedy = "unpause the plan, or lift the break-point"
    said = f"paused by {pause.by}" if pause.by else "paused"
    said += f": {_first_line(pause.reason)}" if pause.reason else ""
    reason = _reason(ReasonKind.Pause, task, f"{text} ({said})", remedy)
    by = (task.id,) if at_task else ()
    return msgspec.structs.replace(reason, since=pause.since or None, by=by)


def undone(state: PlannerState) -> list[Reason]:
    """What was undone of a plan, as one reason; none where nothing was."""
    if not state.completions:  # nearly all plans: their tasks need not be looked at
        return []
    ids = tuple(i for i, task in state.tasks.items() if is_undone(state, task))
    if not ids:
        return []
    text = f"{'was' if len(ids) == 1 else 'were'} undone: {len(ids)} of {undo_counts(state)[1]}"
    remedy = "nothing: what was undone runs again when the plan continues"
    return [Reason(kind=ReasonKind.Undone, tasks=ids, text=text, remedy=remedy)]


def _items(state: PlannerState, task: Task) -> Reason:
    ended = Counter(item.status for item in items_of(state, task))
    done, total = sum(ended[status] for status in ENDED), ended.total()
    text = f"runs its items: {done:,} of {total:,} have ended"
    if ended[TaskStatus.Failed]:
        text += f", {ended[TaskStatus.Failed]:,} failed"
    open_ = [item.id for item in items_of(state, task) if item.status not in ENDED][:1]
    remedy = f"see what {id_text(open_[0])} waits for" if open_ else "wait until the map ends"
    return _reason(ReasonKind.Items, task, text, remedy, by=open_)


def _sub_plan(task: Task, kind: ReasonKind, to: str) -> Reason:
    if task.plan_id is None:
        text, remedy = "waits for a worker to begin its plan", "start a worker: it begins the plan"
        return _reason(kind, task, text, remedy)
    text = f"waits for its plan {task.plan_id} to {to}"
    reason = _reason(kind, task, text, "see what that plan waits for")
    return msgspec.structs.replace(reason, plan_id=task.plan_id)


def _wait(task: Task) -> Reason:
    if task.runs_plan:
        return _sub_plan(task, ReasonKind.Wait, "end")
    wait = task.spec.wait
    if wait is None or wait.signal is None:
        remedy = "wait until then, or cancel the task"
        text = f"waits for its time{f', {wait.written}' if wait and wait.written else ''}"
        return _reason(ReasonKind.Wait, task, text, remedy, until=task.until)
    whose = "whose key is the plan's id"
    if task.signal_key is not None:
        whose = f"with the key {task.signal_key!r}"
    text, remedy = f"waits for the signal {wait.signal!r} {whose}", "give the signal"
    if task.until is not None:
        remedy += "; without it the task fails then"
        if wait.default is not msgspec.UNSET:
            remedy = "give the signal; without it the default holds then"
    found = _reason(ReasonKind.Wait, task, text, remedy, until=task.until)
    return msgspec.structs.replace(found, signal=wait.signal, key=task.signal_key)


def _asked(state: PlannerState, task: Task) -> Reason:
    question = state.questions[task.id]
    if question.then == "budget":
        remedy = 'add to the budget of the plan, or answer "stop"'
        text = f"waits for a decision: {question.question}"
        return _reason(ReasonKind.Budget, task, text, remedy)
    until, remedy = question.deadline, f"answer the question of {_named(state, [task.id])}"
    if until is not None:
        remedy += f"; without an answer {question.default!r} holds from the deadline on"
    text = f"waits for an answer: {_first_line(question.question)}"
    reason = _reason(ReasonKind.Answer, task, text, remedy, until=until)
    needs = bool(use_of_result(state, question))
    return msgspec.structs.replace(reason, choices=question.choices, needs_result=needs)


def _limits(state: PlannerState, task: Task) -> list[Reason]:
    """The limits that keep a free task from starting. Where none does, it starts with the next
    decision about the plan."""
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
            found.append(_reason(kind, task, text, remedy, limit=limit))
    if not found:
        text, remedy = "waits for a worker to start it", "start a worker: it continues the plan"
        reason = _reason(ReasonKind.NoWorker, task, text, remedy)
        tool = None if task.spec.tool is None else task.spec.tool.name
        found.append(msgspec.structs.replace(reason, tool=tool))
    return found


def with_holders(state: PlannerState, reason: Reason, now: float) -> Reason:
    """Under a limit, who holds the slots, and for one task how many start earlier. In a map items
    start in their order."""
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


def has_no_list(task: Task) -> bool:
    """Whether a map failed because its reference is not a list: a retry would find the same."""
    of_map = task.spec.for_each is not None and task.elements is None
    return of_map and (task.error or "").startswith("for_each:")


def _ended(state: PlannerState, task: Task) -> list[Reason]:
    error = _first_line(error_with_labels(task, state.tasks))
    match task.status:
        case TaskStatus.Completed if is_undone(state, task):
            by = _named(state, [task.undo_task])
            remedy = "retry a task that did not complete: what was undone runs again"
            said = f"was undone by {by}"
            return [_reason(ReasonKind.Undone, task, said, remedy, by=[task.undo_task])]
        case TaskStatus.Failed:
            attempts = f" (attempt {task.attempt})" if task.attempt > 1 else ""
            found = _remedied(ReasonKind.Failed, task, f"failed{attempts}: {error}")
            return [msgspec.structs.replace(found, signal=_signal_of(task))]
        case TaskStatus.Skipped if task.skip_reason == "by_hand":
            remedy = "nothing: a person decided so; a retry takes the decision back"
            return [_reason(ReasonKind.Skipped, task, f"was {error}", remedy)]
        case TaskStatus.Skipped if task.not_needed:
            remedy = "nothing: the plan does without it"
            return [_reason(ReasonKind.Skipped, task, f"was not needed: {error}", remedy)]
        case TaskStatus.Skipped:
            root = _root_of_skip(state, task)
            if root is None:
                return [_remedied(ReasonKind.Skipped, task, f"was skipped: {error}")]
            became = "failed" if root.status is TaskStatus.Failed else "was cancelled"
            name = _named(state, [root.id])
            text = f"was skipped: {name} {became}" + (
                f": {_first_line(root.error)}" * bool(root.error)
            )
            remedy = f"retry {name}, or revise the plan"
            found = _remedied(ReasonKind.Skipped, task, text, remedy, by=[root.id])
            return [msgspec.structs.replace(found, signal=_signal_of(root))]
        case TaskStatus.Cancelled:
            unknown = ", and whether it was done is not known" if task.outcome_unknown else ""
            text = f"was cancelled{unknown}" + (f": {error}" if error else "")
            return [_remedied(ReasonKind.Cancelled, task, text)]
    return []


def _signal_of(task: Task) -> str | None:
    return task.spec.wait.signal if task.spec.wait is not None else None


def _remedied(
    kind: ReasonKind,
    task: Task,
    text: str,
    retry: str = "retry the task, or revise the plan",
    by: Sequence[int] = (),
) -> Reason:
    """The end of a task that was to complete; ``retry`` is the remedy in the usual case."""
    if task.spec.undoes is not None:
        over = "nothing: what it was to undo has run again, or was undone by another task"
        return _reason(kind, task, text, over if task.superseded else "undo the plan again", by=by)
    if task.superseded:
        return _reason(kind, task, text, "nothing: a revision superseded it", by=by)
    if has_no_list(task):
        remedy = "revise the plan with a for_each that is a list"
        return msgspec.structs.replace(_reason(kind, task, text, remedy), helps="revise")
    return msgspec.structs.replace(_reason(kind, task, text, retry, by=by), helps="retry")


def _first_line(error: str | None) -> str:
    return (error or "").partition("\n")[0]


def _root_of_skip(state: PlannerState, task: Task) -> Task | None:
    """The task above a skipped one that did not complete and was not skipped itself."""
    seen = {task.id}
    while True:
        above = [state.tasks[i] for i in task.depends_on if blocks(state.tasks[i])]
        above = [t for t in above if t.id not in seen]
        if not above:
            return None
        task = min(above, key=lambda t: t.status is TaskStatus.Skipped)
        seen.add(task.id)
        if task.status is not TaskStatus.Skipped:
            return task
