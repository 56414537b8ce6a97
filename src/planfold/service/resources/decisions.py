"""Commands: what people and programs decide about plans. ``by`` is the holder of the token."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from planfold.access.credential import Scope
from planfold.drafting.binding import BoundPlan
from planfold.drafting.draft import Parameter, PlanDraft
from planfold.drafting.first_command import begin_plan, ids_of
from planfold.errors import CommandRejected, ConfigurationError, Conflict
from planfold.planner.commands import Command, ForkPlan, Initialize
from planfold.planner.events import Event
from planfold.planner.tasks import TaskSpec
from planfold.runtime.aggregate import PLAN, SIGNALS
from planfold.runtime.fork import Fork
from planfold.runtime.forking import PlanForking, checkpoint_in
from planfold.service import messages as m
from planfold.service.answers import ServiceReply
from planfold.service.problems import refusal
from planfold.signals.inbox import GiveSignal, giving_id
from planfold.tools.tool import Toolbox

if TYPE_CHECKING:
    from planfold.service.requests import ServiceCall


class CallDecisions(PlanForking):
    """Decisions under the key of a request. The events say whose token it was: ``by`` and
    ``token`` in their metadata."""

    def __init__(self, call: ServiceCall) -> None:
        super().__init__(call.service.app.store, call.service.app.dispatcher)
        self._call = call

    def _toolbox(self) -> Toolbox:
        return self._call.service.app.executors.toolbox

    async def _decide(
        self, plan_id: str, command: Command, command_id: str | None, *, new: bool
    ) -> list[Event]:
        try:
            return await self._sent(plan_id, command)
        except CommandRejected as fault:
            if fault.topic == "archived" and self._call.projects:  # it says where
                raise CommandRejected(f"the id {plan_id} was used before; choose another") from None
            raise

    async def _sent(self, plan_id: str, command: Command) -> list[Event]:
        call, forks = self._call, isinstance(command, ForkPlan)
        return await self.dispatcher.send(
            PLAN,
            plan_id,
            command,
            command_id=call.command_id,
            correlation_id=plan_id if forks or isinstance(command, Initialize) else "",
            extra={"by": call.holder.name, "token": call.holder.token_id},
            idempotent=True,
            request_hash=call.digest,
            expected_version=None if forks else call.expected_version,  # that of the origin
        )

    async def _record_signal(self, stream: str, command: GiveSignal) -> list[Any]:
        call = self._call
        return await self.dispatcher.send(
            SIGNALS,
            stream,
            command,
            command_id=giving_id(command.id),
            extra={"by": call.holder.name, "token": call.holder.token_id},
            idempotent=True,
        )

    async def begin(self, plan_id: str, command: Command) -> None:
        """Send a command whose tasks have passed the compiler."""
        await self._send(plan_id, command)


async def receipt(call: ServiceCall, plan_id: str) -> ServiceReply:
    """The plan as it is now, in short. Raises NotFound where the sender does not see it: ids are
    those of all projects, and a command that begins a plan may name one that exists."""
    await call.check_plan(plan_id)
    state = (await call.service.app.planner(plan_id)).state
    answer = m.Receipt(
        plan_id=plan_id,
        version=state.version,
        status=state.status,
        revision_hash=state.revision_hash,
    )
    return ServiceReply(value=answer, version=state.version)


async def drafted(call: ServiceCall) -> BoundPlan:
    """The draft that a request holds, with its values. Raises Refused, InvalidPlan."""
    from planfold.drafting.templates import drafted as read

    plan, executors = _given_plan(call), call.service.app.executors
    return await asyncio.to_thread(
        read, plan, call.body.params, executors.toolbox, executors.templates
    )


async def declared_by(call: ServiceCall) -> dict[str, Parameter]:
    """The parameters of the plan that a request holds. Raises Refused, InvalidPlan."""
    from planfold.drafting.templates import parameters_of

    plan, executors = _given_plan(call), call.service.app.executors
    return await asyncio.to_thread(parameters_of, plan, executors.toolbox, executors.templates)


def _given_plan(call: ServiceCall) -> str | PlanDraft:
    text, draft = call.body.text, call.body.draft
    if (text is None) == (draft is None):
        raise refusal(422, "plan", "give exactly one of text and draft")
    given: str | PlanDraft = text if draft is None else draft
    return given


async def compiled(call: ServiceCall, draft: PlanDraft) -> tuple[TaskSpec, ...]:
    """The checked tasks of a draft. Raises InvalidPlan."""
    from planfold.drafting.compiler import compile_plan

    return await asyncio.to_thread(compile_plan, draft, call.service.app.executors.toolbox)


def approver_of(call: ServiceCall) -> str | None:
    """Who approves a plan by this request, if a person does. Raises Refused."""
    if not call.body.approve:
        return None
    call.require(Scope.Approve)
    return call.holder.name


def _new_id(call: ServiceCall) -> str:
    """The id of a plan that begins: that of the request, else one made from the id of the command,
    so that a repetition names the same plan. Raises Refused."""
    given: str | None = call.body.plan_id
    if given is not None and given.endswith("\n"):  # $ allows it
        raise refusal(422, "plan-id", "plan_id holds a line break; remove it")
    made = hashlib.blake2b(call.command_id.encode(), digest_size=8).hexdigest()
    return given or f"plan-{made}"


async def submit(call: ServiceCall) -> ServiceReply:
    body, approver, plan_id = call.body, approver_of(call), _new_id(call)
    config = call.service.app.planner_config(max_parallel=body.max_parallel, project=call.project)
    if body.priority is not None:
        config = replace(config, priority=body.priority)
    if body.wish is None:
        draft = (await drafted(call)).draft
        tasks = await compiled(call, draft)
        command = begin_plan(draft, tasks, config, approver, body.pause_before, body.tags)
    elif body.text is not None or body.draft is not None:
        raise refusal(422, "plan", "give exactly one of text, draft and wish")
    elif not config.model:
        raise ConfigurationError("the service has no model; give text or a draft")
    else:
        from planfold.drafting.model.wish import begin_with_wish

        command = begin_with_wish(body.wish, config, approved_by=approver)
        ids_of(command.tasks, body.pause_before)
        command = replace(command, tags=body.tags)
    await CallDecisions(call).begin(plan_id, command)
    return await receipt(call, plan_id)


async def revise(call: ServiceCall) -> ServiceReply:
    from planfold.drafting.revision import compile_revision

    app, approver = call.service.app, approver_of(call)
    draft = (await drafted(call)).draft
    state = (await app.planner(call.plan_id)).state
    command = compile_revision(draft, app.executors.toolbox, state, approved_by=approver)
    await CallDecisions(call).begin(call.plan_id, command)
    return await receipt(call, call.plan_id)


async def approve(call: ServiceCall) -> ServiceReply:
    await CallDecisions(call).approve(call.plan_id, call.body.revision_hash, by=call.holder.name)
    return await receipt(call, call.plan_id)


async def reject(call: ServiceCall) -> ServiceReply:
    decide = CallDecisions(call)
    await decide.reject(call.plan_id, reason=call.body.reason, by=call.holder.name)
    return await receipt(call, call.plan_id)


async def answer(call: ServiceCall) -> ServiceReply:
    given, result = call.body, call.body.result
    await CallDecisions(call).answer(
        call.plan_id,
        given.task,
        given.answer,
        by=call.holder.name,
        failed=given.failed,
        result=UNSET if result is UNSET else result,
    )
    return await receipt(call, call.plan_id)


async def change_answer(call: ServiceCall) -> ServiceReply:
    decide, given = CallDecisions(call), call.body
    await decide.change_answer(
        call.plan_id, given.task, given.answer, by=call.holder.name, repeat=given.repeat
    )
    return await receipt(call, call.plan_id)


async def cancel(call: ServiceCall) -> ServiceReply:
    given = call.body
    if given.subtree and given.task is None:
        raise refusal(422, "subtree", "subtree needs a task")
    decide = CallDecisions(call)
    await decide.cancel(call.plan_id, given.task, subtree=given.subtree, reason=given.reason)
    return await receipt(call, call.plan_id)


async def retry(call: ServiceCall) -> ServiceReply:
    await CallDecisions(call).retry(call.plan_id, call.body.task)
    return await receipt(call, call.plan_id)


async def pause(call: ServiceCall) -> ServiceReply:
    given, by = call.body, call.holder.name
    await CallDecisions(call).pause(call.plan_id, before=given.before, reason=given.reason, by=by)
    return await receipt(call, call.plan_id)


async def unpause(call: ServiceCall) -> ServiceReply:
    decide = CallDecisions(call)
    await decide.unpause(call.plan_id, before=call.body.before, by=call.holder.name)
    return await receipt(call, call.plan_id)


async def skip(call: ServiceCall) -> ServiceReply:
    given, by = call.body, call.holder.name
    await CallDecisions(call).skip(call.plan_id, given.task, reason=given.reason, by=by)
    return await receipt(call, call.plan_id)


async def complete(call: ServiceCall) -> ServiceReply:
    given, by = call.body, call.holder.name
    result = UNSET if given.result is UNSET else given.result
    decide = CallDecisions(call)
    await decide.complete(call.plan_id, given.task, result, reason=given.reason, by=by)
    return await receipt(call, call.plan_id)


async def undo(call: ServiceCall) -> ServiceReply:
    await CallDecisions(call).undo(call.plan_id, by=call.holder.name)
    return await receipt(call, call.plan_id)


async def tag(call: ServiceCall) -> ServiceReply:
    given, by = call.body, call.holder.name
    await CallDecisions(call).tag(call.plan_id, add=given.add, remove=given.remove, by=by)
    return await receipt(call, call.plan_id)


async def replan(call: ServiceCall) -> ServiceReply:
    await CallDecisions(call).replan(call.plan_id, call.body.reason)
    return await receipt(call, call.plan_id)


async def budget(call: ServiceCall) -> ServiceReply:
    decide = CallDecisions(call)
    await decide.add_budget(call.plan_id, call.body.budget, by=call.holder.name)
    return await receipt(call, call.plan_id)


async def signal(call: ServiceCall) -> ServiceReply:
    """Waits of all projects get a signal, so a token for some of them may give none."""
    if call.projects:
        raise refusal(403, "projects", "signals are for plans of all projects; this token is not")
    given = call.body
    signal_id = f"key-{call.command_id}" if given.id is None else given.id
    try:
        new = await CallDecisions(call).signal(given.name, given.key, given.data, id=signal_id)
    except Conflict:
        if given.id is not None:
            raise
        said = "this key was used for another request; choose a new one"
        raise refusal(422, "key-reused", said) from None
    return ServiceReply(value={"id": signal_id, "new": new})


async def checkpoint(call: ServiceCall) -> ServiceReply:
    await CallDecisions(call).checkpoint(call.plan_id, call.body.name)
    return await receipt(call, call.plan_id)


async def fork(call: ServiceCall) -> ServiceReply:
    """Answers are a person's consent, and so are effects that happen again: also those under a new
    key, unless the fork waits for its approval."""
    wanted, approver = call.body, approver_of(call)
    if wanted.answers or wanted.keep_answers or wanted.repeat:
        call.require(Scope.Approve)
    at = None
    if not call.holder.may(Scope.Approve):
        tried = await _forked(call, by=None, dry_run=True)
        if tried.effects and not (tried.waits_for_approval or tried.origin_waits):
            call.require(Scope.Approve)
        at = tried.version  # exactly what was tried
    begun = await _forked(call, by=approver, fork_id=_new_id(call), at=at)
    return await receipt(call, begun.plan_id)


async def fork_preview(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=await _forked(call, by=None, dry_run=True))


async def _forked(call: ServiceCall, *, by: str | None, at: int | None = None, **more: Any) -> Fork:
    wanted, at = call.body, at or call.body.at
    state = (await call.service.app.planner(call.plan_id)).state
    version = state.version
    if call.expected_version is not None:
        if version != call.expected_version:
            raise Conflict(
                f"plan {call.plan_id} is at version {version}, not {call.expected_version}"
            ).about("version")
        at = at or version
    if wanted.checkpoint is not None:
        if wanted.at is not None:
            raise refusal(422, "at", "give one of at and checkpoint")
        at = at or checkpoint_in(call.plan_id, state, wanted.checkpoint)
    return await CallDecisions(call).fork(
        call.plan_id,
        at=at,
        changes=wanted.changes,
        answers=wanted.answers,
        keep_answers=wanted.keep_answers,
        repeat=wanted.repeat,
        by=call.holder.name,
        approved_by=by,
        **more,
    )


FUNCTIONS: Final[dict[str, Any]] = {
    "checkpoint": checkpoint,
    "fork": fork,
    "fork_preview": fork_preview,
    "submit": submit,
    "revise": revise,
    "approve": approve,
    "reject": reject,
    "answer": answer,
    "change_answer": change_answer,
    "cancel": cancel,
    "retry": retry,
    "pause": pause,
    "unpause": unpause,
    "skip": skip,
    "undo": undo,
    "complete": complete,
    "tag": tag,
    "replan": replan,
    "budget": budget,
    "signal": signal,
}
