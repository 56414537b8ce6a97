"""What the page shows beside the plans themselves: graph, timeline, details, revisions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from planfold.drafting.draft import Parameter
from planfold.errors import InvalidPlan
from planfold.readmodels.labels import labelled
from planfold.readmodels.plan_drawing import Sketch, graph_drawing, timeline_drawing
from planfold.readmodels.task_details import remaining_draft, revision_details, task_details
from planfold.readmodels.workers import look_at_queue
from planfold.runtime.task_names import task_id_in
from planfold.service.answers import ServiceReply
from planfold.service.resources.decisions import compiled, declared_by, drafted

if TYPE_CHECKING:
    from planfold.planner.state import PlannerState
    from planfold.service.requests import ServiceCall


async def _state(call: ServiceCall) -> PlannerState:
    """The plan now, or at the version that is asked for. Raises NotFound."""
    app, at = call.service.app, call.query.version
    if at is None:
        return (await app.planner(call.plan_id)).state
    return (await app.fold(call.plan_id, at)).state


async def graph(call: ServiceCall) -> ServiceReply:
    state = await _state(call)
    specs = [task.spec for task in state.written().values()]  # items are in the box of their map
    drawing = await asyncio.to_thread(graph_drawing, specs, state.revision_hash)
    return ServiceReply(value=drawing)


async def sketch(call: ServiceCall) -> ServiceReply:
    """Faults are what the page asks for here, and no refusal."""
    declared: dict[str, Parameter] = {}
    try:
        declared = await declared_by(call)
        draft = (await drafted(call)).draft
        tasks = await compiled(call, draft)
    except InvalidPlan as fault:
        return ServiceReply(value=Sketch(faults=tuple(fault.faults), params=declared))
    graph = await asyncio.to_thread(graph_drawing, tasks)
    shown = tuple(labelled(tasks))
    found = Sketch(
        title=draft.title, tasks=shown, notes=tuple(draft.notes), graph=graph, params=declared
    )
    return ServiceReply(value=found)


async def timeline(call: ServiceCall) -> ServiceReply:
    app, plan_id, at = call.service.app, call.plan_id, call.query.version
    if at is not None:
        found = await call.service.timelines.at(plan_id, at)
        return ServiceReply(value=timeline_drawing(found, None, found.now), version=at)
    look = await look_at_queue(app.store.queue, plan_id)
    found = await call.service.timelines.now(plan_id)
    drawing = timeline_drawing(found, look, app.store.clock())
    return ServiceReply(value=drawing, version=drawing.version)


async def task(call: ServiceCall) -> ServiceReply:
    state = await _state(call)
    key = str(call.request.path_params["task"])
    found = task_details(call.plan_id, state, task_id_in(call.plan_id, state, key))
    return ServiceReply(value=found, version=state.version)


async def revision(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=revision_details(await call.service.app.fold(call.plan_id)))


async def remaining(call: ServiceCall) -> ServiceReply:
    app = call.service.app
    state = (await app.planner(call.plan_id)).state
    draft = await asyncio.to_thread(remaining_draft, state, app.executors.toolbox)
    return ServiceReply(value=draft, version=state.version)


FUNCTIONS: Final[dict[str, Any]] = {
    "graph": graph,
    "sketch": sketch,
    "timeline": timeline,
    "task": task,
    "revision": revision,
    "remaining": remaining,
}
