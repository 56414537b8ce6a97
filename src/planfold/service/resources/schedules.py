"""Schedules: looking at them, and deciding about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from planfold.access.credential import Scope
from planfold.drafting.draft import PlanDraft
from planfold.errors import NotFound
from planfold.executors.registry import Executors
from planfold.runtime.aggregate import SCHEDULES
from planfold.runtime.schedule_view import ScheduleView
from planfold.runtime.schedules import PlanSchedules
from planfold.schedules.commands import ScheduleCommand
from planfold.schedules.schedule import schedule_id
from planfold.service import messages as m
from planfold.service.answers import ServiceReply
from planfold.service.resources.decisions import approver_of, drafted

if TYPE_CHECKING:
    from planfold.service.requests import ServiceCall


class CallSchedules(PlanSchedules):
    """Decisions about schedules under the key of a request. The events say whose token it was."""

    def __init__(self, call: ServiceCall) -> None:
        super().__init__(call.service.app.store, call.service.app.dispatcher)
        self._call = call

    def _executors(self) -> Executors | None:
        return self._call.service.app.executors

    def _bound(self, plan: PlanDraft | str, params: Mapping[str, Any]) -> PlanDraft:
        assert isinstance(plan, PlanDraft)  # with its values
        return plan

    async def _record_change(
        self, stream: str, command: ScheduleCommand, version: int | None
    ) -> list[Any]:
        call = self._call
        return await self.dispatcher.send(
            SCHEDULES,
            stream,
            command,
            command_id=call.command_id,
            extra={"by": call.holder.name, "token": call.holder.token_id},
            idempotent=bool(call.command_id),
            request_hash=call.digest,
            expected_version=version,
        )


async def schedules(call: ServiceCall) -> ServiceReply:
    found = await call.service.app.schedules()
    seen = [view for view in found if call.holder.sees(view.project)]
    return ServiceReply(value=m.SchedulePage(schedules=seen))


async def schedule(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=await _seen(call))


async def add_schedule(call: ServiceCall) -> ServiceReply:
    body, approved_by = call.body, approver_of(call)
    draft = (await drafted(call)).draft
    config = call.service.app.planner_config(max_parallel=body.max_parallel, project=call.project)
    view = await CallSchedules(call).add_schedule(
        body.name,
        body.cron,
        draft,
        tz=body.tz,
        catch_up=body.catch_up,
        overlap=body.overlap,
        approved_by=approved_by,
        config=config,
        tags=body.tags,
    )
    return ServiceReply(value=view)


async def edit_schedule(call: ServiceCall) -> ServiceReply:
    """A change of what runs without approval, or when, is a person's consent too."""
    view, body = await _seen(call), call.body
    if view.approved_by is not None:
        call.require(Scope.Approve)
    approved_by, given = approver_of(call), (body.text, body.draft) != (None, None)
    await CallSchedules(call).edit_schedule(
        view.name,
        cron=body.cron,
        plan=(await drafted(call)).draft if given else None,
        tz=body.tz,
        catch_up=body.catch_up,
        overlap=body.overlap,
        params=None if given else body.params,  # which are in the draft
        approved_by=approved_by,
        tags=body.tags,
        by=call.holder.name,
    )
    return await schedule(call)


async def pause_schedule(call: ServiceCall) -> ServiceReply:
    view = await _seen(call)
    by = call.holder.name
    await CallSchedules(call).pause_schedule(view.name, reason=call.body.reason, by=by)
    return await schedule(call)


async def unpause_schedule(call: ServiceCall) -> ServiceReply:
    view = await _seen(call)
    await CallSchedules(call).unpause_schedule(view.name, by=call.holder.name)
    return await schedule(call)


async def run_schedule(call: ServiceCall) -> ServiceReply:
    """Its approval is for its occurrences; that of a run by hand is a person's consent too."""
    view = await _seen(call)
    if view.approved_by is not None:
        call.require(Scope.Approve)
    await CallSchedules(call).run_schedule(view.name, by=call.holder.name)
    return await schedule(call)


async def remove_schedule(call: ServiceCall) -> ServiceReply:
    view = await _seen(call)
    await CallSchedules(call).remove_schedule(view.name, by=call.holder.name)
    return ServiceReply(value=view)


async def repeated(call: ServiceCall, stream: str) -> ServiceReply:
    """The schedule of a stream as it is now. Raises NotFound."""
    return ServiceReply(value=await _visible(call, stream.removeprefix(schedule_id(""))))


async def _seen(call: ServiceCall) -> ScheduleView:
    """The schedule of the path. Raises NotFound where there is none, or the sender does not see
    it."""
    return await _visible(call, str(call.request.path_params["schedule_name"]))


async def _visible(call: ServiceCall, name: str) -> ScheduleView:
    view = await call.service.app.schedule(name)
    if not call.holder.sees(view.project):
        raise NotFound(f"there is no schedule {name!r}")
    return view


FUNCTIONS: Final = {
    "schedules": schedules,
    "schedule": schedule,
    "add_schedule": add_schedule,
    "edit_schedule": edit_schedule,
    "pause_schedule": pause_schedule,
    "unpause_schedule": unpause_schedule,
    "run_schedule": run_schedule,
    "remove_schedule": remove_schedule,
}
