"""``DecisionCaller``: the methods of a client by which people and programs decide about a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from planfold.drafting.draft import PlanDraft
from planfold.planner.budget import Budget
from planfold.service import hand_messages as h
from planfold.service import messages as m
from planfold.service.caller import source_fields
from planfold.service.operations import Operation
from planfold.service.schedule_client import ScheduleCaller


class DecisionCaller(ScheduleCaller):
    """Decides about plans of a service: see the methods of :class:`App`. With a ``version`` the
    decision is refused unless the plan is at this version."""

    def approve(
        self, plan_id: str, revision_hash: str, *, version: int | None = None
    ) -> Operation[m.Receipt]:
        """Approve exactly this revision."""
        body = m.Approval(revision_hash=revision_hash)
        return self._write("approve", plan_id, body, version)

    def reject(
        self, plan_id: str, *, reason: str = "", version: int | None = None
    ) -> Operation[m.Receipt]:
        """Refuse a plan that waits for approval."""
        return self._write("reject", plan_id, m.Rejection(reason=reason), version)

    def answer(
        self,
        plan_id: str,
        task: str | int,
        text: str,
        *,
        failed: bool = False,
        result: Any = msgspec.UNSET,
        version: int | None = None,
    ) -> Operation[m.Receipt]:
        """Answer the question of a task: see :meth:`App.answer`."""
        body = m.AnswerGiven(task=str(task), answer=text, failed=failed, result=result)
        return self._write("answer", plan_id, body, version)

    def change_answer(
        self,
        plan_id: str,
        task: str | int,
        text: str,
        *,
        repeat: Iterable[str | int] = (),
        version: int | None = None,
    ) -> Operation[m.Receipt]:
        """Change an answer: see :meth:`App.change_answer`."""
        names = tuple(map(str, repeat))
        body = m.AnswerChanged(task=str(task), answer=text, repeat=names)
        return self._write("change_answer", plan_id, body, version)

    def cancel(
        self,
        plan_id: str,
        task: str | int | None = None,
        *,
        subtree: bool = False,
        reason: str = "",
        version: int | None = None,
    ) -> Operation[m.Receipt]:
        """Cancel a plan or a task: see :meth:`App.cancel`."""
        name = None if task is None else str(task)
        body = m.CancelRequest(task=name, subtree=subtree, reason=reason)
        return self._write("cancel", plan_id, body, version)

    def retry(
        self, plan_id: str, task: str | int, *, version: int | None = None
    ) -> Operation[m.Receipt]:
        """Run a task again that did not complete."""
        return self._write("retry", plan_id, m.RetryRequest(task=str(task)), version)

    def pause(
        self,
        plan_id: str,
        *,
        before: Iterable[str | int] = (),
        reason: str = "",
        version: int | None = None,
    ) -> Operation[m.Receipt]:
        """Pause a plan, or let it pause before tasks: see :meth:`App.pause`."""
        body = h.PauseRequest(before=tuple(map(str, before)), reason=reason)
        return self._write("pause", plan_id, body, version)

    def unpause(
        self, plan_id: str, *, before: Iterable[str | int] = (), version: int | None = None
    ) -> Operation[m.Receipt]:
        """Continue a paused plan: see :meth:`App.unpause`."""
        body = h.UnpauseRequest(before=tuple(map(str, before)))
        return self._write("unpause", plan_id, body, version)

    def undo(self, plan_id: str, *, version: int | None = None) -> Operation[m.Receipt]:
        """Undo what a plan that has ended did: see :meth:`App.undo`."""
        return self._write("undo", plan_id, h.UndoRequest(), version)

    def skip(
        self, plan_id: str, task: str | int, *, reason: str = "", version: int | None = None
    ) -> Operation[m.Receipt]:
        """Do without a task: see :meth:`App.skip`."""
        return self._write("skip", plan_id, h.SkipRequest(task=str(task), reason=reason), version)

    def complete(
        self,
        plan_id: str,
        task: str | int,
        result: Any = msgspec.UNSET,
        *,
        reason: str = "",
        version: int | None = None,
    ) -> Operation[m.Receipt]:
        """Say that a task is done: see :meth:`App.complete`."""
        body = h.CompleteRequest(task=str(task), result=result, reason=reason)
        return self._write("complete", plan_id, body, version)

    def replan(
        self, plan_id: str, reason: str = "", *, version: int | None = None
    ) -> Operation[m.Receipt]:
        """Let the model plan again what has not started."""
        return self._write("replan", plan_id, m.ReplanRequest(reason=reason), version)

    def revise(
        self,
        plan_id: str,
        plan: PlanDraft | str,
        *,
        params: Mapping[str, Any] | None = None,
        approve: bool = False,
        version: int | None = None,
    ) -> Operation[m.Receipt]:
        """Replace the tasks that have not started."""
        body = m.Revision(**source_fields(plan, params), approve=approve)
        return self._write("revise", plan_id, body, version)

    def add_budget(
        self, plan_id: str, budget: Budget, *, version: int | None = None
    ) -> Operation[m.Receipt]:
        """Raise the plan's budget."""
        return self._write("budget", plan_id, m.BudgetRaise(budget=budget), version)

    def tag(
        self,
        plan_id: str,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        version: int | None = None,
    ) -> Operation[m.Receipt]:
        """Add tags and remove others: see :meth:`App.tag`."""
        body = h.TagRequest(add=tuple(add), remove=tuple(remove))
        return self._write("tag", plan_id, body, version)

    def checkpoint(
        self, plan_id: str, name: str, *, version: int | None = None
    ) -> Operation[m.Receipt]:
        """Name the plan's present version."""
        return self._write("checkpoint", plan_id, m.CheckpointName(name=name), version)

    def fork(
        self,
        plan_id: str,
        request: m.ForkRequest,
        *,
        version: int | None = None,
        key: str | None = None,
    ) -> Operation[m.Receipt]:
        """Begin a plan that continues this one; the receipt is the new plan's. ``version`` is that
        of this one, ``key`` as for :meth:`submit`."""
        return self._write("fork", plan_id, request, version, key)
