"""``SubPlans``: carries requests and results between a plan and its sub-plans.

It works like the delivery of signals. A plan that has something for another plan is due. A worker
sends it to the other plan, then records that in the first; if the worker dies in between, the next
one sends it again, which changes nothing.
"""

from __future__ import annotations

import random
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec.structs import replace

from planfold.errors import CommandRejected, InvalidPlan, NotFound, Permanent
from planfold.eventstore.port import EventStore
from planfold.executors.recordable import recordable
from planfold.handler import Handler
from planfold.planner.commands import (
    CancelPlan,
    Command,
    ConfirmEnd,
    ContinueSubPlan,
    ExecutorEvent,
    HandleExecutorEvent,
    Initialize,
    RegisterWait,
    TaskCompleted,
    TaskFailed,
)
from planfold.planner.occurrence import occurrence_of
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.sub_plans import draft_of_sub_plan, end_of, owes_end, sub_plan_id
from planfold.planner.tasks import ParentTask, Task
from planfold.planner.waits import to_register
from planfold.runtime.aggregate import PLAN, SIGNALS
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.reporter import JITTERS
from planfold.runtime.signal_delivery import SignalDelivery, take_all
from planfold.runtime.timers import HandOver
from planfold.tools.tool import Toolbox

APPROVER = "the approval of its parent"
STOPPED = "its task was stopped"


class SubPlans:
    """``tools`` are those that the tasks of sub-plans are checked against when they begin."""

    def __init__(self, store: EventStore, dispatcher: Dispatcher, tools: Toolbox) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._tools = tools

    async def report_end(self, plan_id: str, state: PlannerState) -> None:
        """Give the end of a sub-plan to the task of its parent, where it does not have it."""
        parent = state.parent
        if parent is None or not owes_end(state):
            return
        with suppress(NotFound):  # the parent was archived, or an answer above its map changed
            await self._report(parent, _recordable(end_of(state)), plan_id)
        await self._send(plan_id, ConfirmEnd(parent.attempt), f"{plan_id}/{parent.attempt}")

    async def hand_over(self, plan_id: str, state: PlannerState, task: Task) -> None:
        """Bring the sub-plan of a task to the state that the task needs: begun for the present
        attempt, or cancelled. The task fails if its plan cannot begin: a value does not fit, its id
        is used by another plan, or it was archived."""
        child, parent = sub_plan_id(plan_id, task), ParentTask(plan_id, task.id, task.attempt)
        stop = task.stopping
        about = f"{child}/{parent.attempt}" + "/stop" * stop
        try:
            begun = await self._state(child)
            if begun is None:
                begin = self._first_command(state, task, parent, stop=stop)
                await self._send(child, begin, about)
            elif not _is_of(begun, parent):
                raise Permanent(f"there is another plan {child!r}")
            elif stop and begun.outcome is not None:
                await self._report(parent, _recordable(end_of(begun)), child)
            else:
                await self._send(child, ContinueSubPlan(parent.attempt), about)
            if stop:
                with suppress(CommandRejected):  # it has ended, which it reports
                    reason = state.cancel_reason if state.cancelled else STOPPED
                    await self._send(child, CancelPlan(reason), about)
        except (InvalidPlan, CommandRejected, Permanent, NotFound) as fault:
            failed = TaskFailed(f"its plan cannot begin: {fault}", retryable=False)
            await self._report(parent, failed, child)
            return
        known_here = RegisterWait(parent.task_id, parent.attempt, child, stop)
        await self._send(plan_id, known_here, about)

    def _first_command(
        self, state: PlannerState, task: Task, parent: ParentTask, *, stop: bool
    ) -> Initialize:
        """The command that begins a sub-plan. One that is to stop begins as well, but unapproved,
        so that a worker that has not heard of the stop does not begin it later."""
        from planfold.drafting.first_command import begin_sub_plan  # it loads the compiler

        call = task.spec.tool
        planned = call.arguments if call is not None else {}
        arguments = planned if task.arguments is None else task.arguments
        draft = draft_of_sub_plan(state, task)
        begin = begin_sub_plan(draft, arguments, task.spec, state.config, self._tools)
        tags = tuple(dict.fromkeys((*begin.tags, *state.tags)))
        approved_by = None if stop else APPROVER
        given = {"tags": tags, "approved_by": approved_by, "parent": parent}
        return replace(begin, occurrence=occurrence_of(state), **given)

    async def _state(self, plan_id: str) -> PlannerState | None:
        try:
            handler = await self._dispatcher.view(PLAN, plan_id)
        except NotFound:
            return None
        assert isinstance(handler, Planner)
        return handler.state

    async def _report(self, parent: ParentTask, end: ExecutorEvent, child: str) -> None:
        now, jitter = self._store.clock(), int(random.random() * JITTERS) / JITTERS
        report = HandleExecutorEvent(parent.task_id, end, parent.attempt, now, jitter)
        await self._send(parent.plan_id, report, f"{child}/{parent.attempt}")

    async def _send(self, plan_id: str, command: Command, about: str) -> None:
        """``about``: the sub-plan, and the attempt that it runs for."""
        name = f"{about}/{type(command).__name__}"
        await self._dispatcher.send(PLAN, plan_id, command, command_id=name)


def handovers(signals: SignalDelivery, sub_plans: SubPlans) -> dict[str, HandOver]:
    """By kind of stream: what is to be done when it is due."""

    async def of_plan(plan_id: str, handler: Handler[Any, Any]) -> None:
        assert isinstance(handler, Planner)
        state = handler.state
        steps = [partial(sub_plans.report_end, plan_id, state)]
        for task in to_register(state):
            hand_over = sub_plans.hand_over if task.runs_plan else signals.register
            steps.append(partial(hand_over, plan_id, state, task))
        await take_all(steps)

    return {PLAN.stream_id: of_plan, SIGNALS.stream_id: signals.deliver}


def _is_of(state: PlannerState, parent: ParentTask) -> bool:
    known = state.parent
    return known is not None and (known.plan_id, known.task_id) == (parent.plan_id, parent.task_id)


def _recordable(end: ExecutorEvent) -> ExecutorEvent:
    """The end, or why its result cannot be recorded."""
    if isinstance(end, TaskCompleted):
        try:
            recordable(end.result, "the results of its tasks with labels")
        except Permanent as fault:
            return TaskFailed(f"{fault}; remove labels of tasks that nothing refers to", False)
    return end
