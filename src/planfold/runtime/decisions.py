"""``PlanDecisions``: what a person decides about a plan. Each method sends one command."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from planfold.errors import CommandRejected, Conflict, NotFound, Permanent
from planfold.executors.recordable import recordable
from planfold.planner.budget import Budget
from planfold.planner.commands import (
    AddBudget,
    ApprovePlan,
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    ClarificationProvided,
    Command,
    CompleteTask,
    ForkPlan,
    HandleExecutorEvent,
    Initialize,
    PausePlan,
    Replan,
    RetryTask,
    RevisePlan,
    SkipTask,
    TagPlan,
    UndoPlan,
    UnpausePlan,
)
from planfold.planner.events import Event
from planfold.planner.tasks import PlanStatus, in_words
from planfold.runtime.aggregate import PLAN, SIGNALS
from planfold.runtime.inputs import (
    check_id,
    check_length,
    check_new_id,
    check_signal,
    check_text,
    recordable_command,
)
from planfold.runtime.origins import checksum_at, state_at
from planfold.runtime.plan_reader import PlanReader
from planfold.signals.inbox import GiveSignal, giving_id, inbox_id
from planfold.tools.tool import Toolbox


class PlanDecisions(PlanReader):
    """Decides on the plans of a store.

    A ``task`` is named by its id or label. Every method returns when its events are durable, and
    raises NotFound where there is no such plan or task, and CommandRejected where the plan's
    present state does not allow the decision; then nothing is changed.
    """

    async def approve(
        self, plan_id: str, revision_hash: str | None = None, *, by: str = ""
    ) -> None:
        """Approve a revision of a plan: the one with this hash, or the present one. Approving it
        again does nothing.

        Raises:
            CommandRejected: the plan is at another revision, or has ended.
        """
        if revision_hash is None:
            # If another process replaces it after this, the planner refuses the approval.
            known = self._settled(plan_id) or await self.planner(plan_id)
            revision_hash = known.state.revision_hash
        await self.send(plan_id, ApprovePlan(revision_hash, by))

    async def reject(self, plan_id: str, *, reason: str = "", by: str = "") -> None:
        """Refuse a plan that waits for approval: it ends as cancelled, and nothing of it runs.
        Without a ``reason`` the log says who rejected it.

        Raises:
            CommandRejected: the plan does not wait for approval.
        """
        status = await self.status(plan_id)
        if status is not PlanStatus.AwaitingApproval:
            raise CommandRejected(
                f"plan {plan_id} does not wait for approval (it "
                f"{in_words(status)}); cancel it instead"
            ).about("not awaiting approval")
        await self.send(plan_id, CancelPlan(reason or (f"rejected by {by}" if by else "rejected")))

    async def answer(
        self,
        plan_id: str,
        task: int | str,
        text: str,
        *,
        by: str = "",
        failed: bool = False,
        result: Any = UNSET,
    ) -> None:
        """Answer the question of a task; ``failed`` reports that what a person was asked to do
        could not be done.

        ``result`` is the task's result, as JSON, where the answer is that an attempt whose outcome
        was unknown is done. Without one the result is null, which is refused where a task that has
        not started uses the result.

        Raises:
            CommandRejected: the task asks nothing, or does not take this answer or a result.
        """
        if result is not UNSET:
            result = _recorded(result)
        check_text("text", text, nul=False)
        report = ClarificationProvided(text, by, failed, result)
        task_id = await self.task_id(plan_id, task)
        await self.send(plan_id, HandleExecutorEvent(task_id, report, now=self.store.clock()))

    async def change_answer(
        self,
        plan_id: str,
        task: int | str,
        text: str,
        *,
        by: str = "",
        repeat: Iterable[int | str] = (),
    ) -> bool:
        """Give another answer to a question that was answered: the tasks that depend on it run
        again. False: that was the answer already, and nothing changes. ``repeat`` names tasks of
        effect ``once`` that may happen again.

        Raises:
            CommandRejected: the task was not answered, does not take this answer, or an effect
                ``once`` would happen again that is not in ``repeat``.
        """
        check_text("text", text, nul=False)
        allowed = await self._task_ids(plan_id, repeat)
        command = ChangeAnswer(await self.task_id(plan_id, task), text, by, allowed)
        return bool(await self.send(plan_id, command))

    async def cancel(
        self,
        plan_id: str,
        task: int | str | None = None,
        *,
        subtree: bool = False,
        reason: str = "",
    ) -> None:
        """Cancel a plan, or one ``task`` of it, with ``subtree`` also every task that depends on
        it. What is completed stays; a running attempt is asked to stop, and its worker reports
        when it has: :meth:`result` waits for the end of the plan.

        Raises:
            CommandRejected: the plan or the task has ended.
            ValueError: ``subtree`` without a ``task``.
        """
        if task is None:
            if subtree:
                raise ValueError("subtree=True needs a task")
            await self.send(plan_id, CancelPlan(reason))
        else:
            task_id = await self.task_id(plan_id, task)
            await self.send(plan_id, CancelTask(task_id, subtree, reason))

    async def retry(self, plan_id: str, task: int | str) -> bool:
        """Plan a task again that failed, was cancelled or was skipped, with the tasks that were
        skipped because of it and its handlers: see :class:`RetryTask`. False: it waits to run
        already, and nothing changes.

        Raises:
            CommandRejected: the task is queued or running, completed or superseded, or waits for
                an answer.
        """
        return bool(await self.send(plan_id, RetryTask(await self.task_id(plan_id, task))))

    async def pause(
        self,
        plan_id: str,
        *,
        before: Iterable[int | str] = (),
        reason: str = "",
        by: str = "",
    ) -> bool:
        """Start nothing more of a plan until :meth:`unpause`, or nothing of the tasks ``before``
        which it is to pause: they get break-points. Running and queued attempts end. False: it is
        paused already, and nothing changes.

        Raises:
            CommandRejected: the plan or the task has ended, or the task is an item of a map.
        """
        tasks = await self._task_ids(plan_id, before)
        return bool(await self.send(plan_id, PausePlan(tasks, reason, by)))

    async def unpause(
        self, plan_id: str, *, before: Iterable[int | str] = (), by: str = ""
    ) -> bool:
        """Continue a paused plan; where it is not paused, lift the break-points that it has
        reached. With ``before`` lift the break-points of these tasks. False: nothing was paused."""
        tasks = await self._task_ids(plan_id, before)
        return bool(await self.send(plan_id, UnpausePlan(tasks, by)))

    async def _task_ids(self, plan_id: str, tasks: Iterable[int | str]) -> tuple[int, ...]:
        return tuple(dict.fromkeys([await self.task_id(plan_id, key) for key in tasks]))

    async def skip(self, plan_id: str, task: int | str, *, reason: str = "", by: str = "") -> bool:
        """Do without a task: it counts as not needed. A running attempt is stopped first; the task
        is skipped when it has ended. False: it was skipped already.

        Raises:
            CommandRejected: the task is completed, or of effect ``once`` and running.
        """
        command = SkipTask(await self.task_id(plan_id, task), reason, by)
        return bool(await self.send(plan_id, command))

    async def complete(
        self,
        plan_id: str,
        task: int | str,
        result: Any = UNSET,
        *,
        reason: str = "",
        by: str = "",
    ) -> bool:
        """Say that a task is done, with its ``result`` as JSON. Without one the result is null,
        which is refused where a task that has not started uses it. A running attempt is stopped
        first. False: it was completed so already.

        Raises:
            CommandRejected: the task is completed, a question or a map, or of effect ``once`` and
                running.
        """
        if result is not UNSET:
            result = _recorded(result)
        command = CompleteTask(await self.task_id(plan_id, task), result, reason, by)
        return bool(await self.send(plan_id, command))

    async def undo(self, plan_id: str, *, by: str = "") -> bool:
        """Undo what a plan that has ended did: the completed tasks that have an undo, the last one
        first. A worker runs it. False: it is being undone already, and nothing changes.

        Raises:
            CommandRejected: the plan has not ended, or there is nothing to undo.
        """
        return bool(await self.send(plan_id, UndoPlan(by)))

    async def tag(
        self,
        plan_id: str,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        by: str = "",
    ) -> bool:
        """Add tags to a plan and remove others, also after its end. False: nothing changes.

        Raises:
            CommandRejected: one is not a tag, or the plan would have more than 20.
        """
        return bool(await self.send(plan_id, TagPlan(tuple(add), tuple(remove), by)))

    async def replan(self, plan_id: str, reason: str = "") -> None:
        """Let the plan's model plan again what has not started. The revision that it makes waits
        for approval; ``reason`` is shown to the model.

        Raises:
            CommandRejected: the plan has no model, is being planned already, or is cancelled.
        """
        await self.send(plan_id, Replan(reason))

    async def add_budget(self, plan_id: str, budget: Budget, *, by: str = "") -> None:
        """Raise the plan's budget by these amounts, and continue what waits for it.

        Raises:
            CommandRejected: no amount is given, or one is below 0.
        """
        amounts = [getattr(budget, name) or 0 for name in budget.__struct_fields__]
        if min(amounts) < 0 or not any(amounts):
            raise CommandRejected("give at least one amount, none below 0, to raise the budget by")
        await self.send(plan_id, AddBudget(budget, by))

    async def signal(self, name: str, key: str, data: Any = None, *, id: str | None = None) -> bool:
        """Report something from outside, once: every task that waits for the signal ``name`` with
        this ``key`` completes with ``data`` (JSON) as its result, as does one that begins to wait
        within ``settings.keep_signals_s``. A wait without a key has the id of its plan as its key.
        False: a signal with this ``id`` was given before, and nothing changes. Without an ``id``
        every call is another signal. Workers deliver it.

        Raises:
            CommandRejected: a name, key, id or the data cannot be recorded.
            Conflict: the id was used for another signal.
        """
        check_signal(name, key)
        if id is not None:
            check_id("id", id)
            check_length("id", id)
        command = GiveSignal(name, key, id or os.urandom(8).hex(), _recorded(data, "data"))
        try:
            return bool(await self._record_signal(inbox_id(name, key), command))
        except Conflict:
            raise Conflict(
                f"the id {command.id!r} was given to another signal; use an id of its own"
            ) from None

    async def _record_signal(self, stream: str, command: GiveSignal) -> list[Any]:
        return await self.dispatcher.send(
            SIGNALS, stream, command, command_id=giving_id(command.id), idempotent=True
        )

    async def send(
        self, plan_id: str, command: Command, *, command_id: str | None = None
    ) -> list[Event]:
        """Send one command to a plan; returns the events it caused, durable by then. With a
        ``command_id`` of your own, sending it again does nothing.

        Raises:
            CommandRejected, NotFound: see :meth:`Planner.process`.
            CommandRejected: a name, a text or a value cannot be recorded; it names the field. Or an
                id is empty, or a new one is longer than 512 bytes.
            Conflict: ``command_id`` was used for another command.
            InvalidPlan: tasks of ``Initialize``, ``RevisePlan`` or ``ForkPlan`` do not pass the
                compiler.
            ConfigurationError: there are such tasks, but the tools are not known, because of
                ``load=False``.
        """
        if isinstance(command, Initialize | RevisePlan | ForkPlan):
            await self._check(plan_id, command)
        return await self._send(plan_id, command, command_id=command_id)

    async def _check(self, plan_id: str, command: Initialize | RevisePlan | ForkPlan) -> None:
        from planfold.drafting.revision import check_revision, check_tasks

        if isinstance(command, Initialize):
            check_tasks(command.tasks, self._toolbox(), {})
        elif isinstance(command, ForkPlan):
            if command.tasks:
                changed = {spec.id for spec in command.tasks}
                origin = await state_at(self.store, command.origin, command.version)
                others = {i: t.spec for i, t in origin.written().items() if i not in changed}
                check_tasks(command.tasks, self._toolbox(), others)
        else:
            plan = (await self.planner(plan_id)).state
            check_revision(command, self._toolbox(), plan)

    def _toolbox(self) -> Toolbox:
        """The tools that tasks are checked against."""
        raise NotImplementedError

    async def _send(
        self, plan_id: str, command: Command, *, command_id: str | None = None, new: bool = False
    ) -> list[Event]:
        """:meth:`send` for a command whose tasks have passed the compiler. ``new``: no plan can
        have this id."""
        begins = isinstance(command, Initialize | ForkPlan)
        if begins:
            await check_new_id("plan_id", plan_id, self.store)
        else:
            check_id("plan_id", plan_id)
        if command_id is not None:
            check_id("command_id", command_id)
            check_length("command_id", command_id)
        command = recordable_command(command)
        if isinstance(command, ForkPlan) and not command.checksum:
            checksum = await checksum_at(self.store, command.origin, command.version)
            command = replace(command, checksum=checksum)
        try:
            return await self._decide(plan_id, command, command_id, new=new)
        except NotFound:
            if isinstance(command, ForkPlan):
                raise  # of what it names: the plan itself is to begin
            await self.status(plan_id)  # raises NotFound, with the reason, where there is no plan
            raise

    async def _decide(
        self, plan_id: str, command: Command, command_id: str | None, *, new: bool
    ) -> list[Event]:
        """Give a command that was checked to the dispatcher."""
        begins = isinstance(command, Initialize | ForkPlan)
        return await self.dispatcher.send(
            PLAN,
            plan_id,
            command,
            command_id=command_id or f"command-{os.urandom(8).hex()}",
            correlation_id=plan_id if begins else "",
            idempotent=command_id is not None,
            expected_version=0 if new else None,
        )


def _recorded(value: Any, what: str = "the result") -> Any:
    try:
        return recordable(value, what)
    except Permanent as fault:
        raise CommandRejected(str(fault)) from None
