"""Looking at one plan, and checking one without recording it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from planfold.eventstore.envelope import Query
from planfold.eventstore.heads import HeadChoice, StreamHead
from planfold.planner.structure import critical_path, waves
from planfold.readmodels.envelopes import envelope_json
from planfold.readmodels.layout import graph_of
from planfold.runtime.aggregate import PLAN
from planfold.runtime.forecasts import forecast_of
from planfold.runtime.plan_lists import plans_of
from planfold.service import messages as m
from planfold.service.answers import ServiceReply
from planfold.service.events import EventStream, begin_stream
from planfold.service.paging import cursor_of, entry_of, read_cursor
from planfold.service.resources.decisions import compiled, drafted

if TYPE_CHECKING:
    from planfold.service.requests import ServiceCall


async def preview(call: ServiceCall) -> ServiceReply:
    draft, params = await drafted(call)
    tasks = await compiled(call, draft)
    graph = graph_of(tasks)
    answer = m.Preview(
        title=draft.title,
        goal=draft.goal,
        tasks=tasks,
        waves=waves(graph),
        critical_path=list(critical_path(graph, lambda _: 1.0)[1]),
        tools=sorted({spec.tool.name for spec in tasks if spec.tool is not None}),
        notes=draft.notes,
        params=params,
        undo=draft.undo or "ask",
    )
    return ServiceReply(value=answer)


async def plans(call: ServiceCall) -> ServiceReply:
    query, app, projects = call.query, call.service.app, call.projects
    if query.project is not None:
        if not call.holder.sees(query.project):
            return ServiceReply(value=m.PlanPage(plans=[]))
        projects = (query.project,)
    if query.id is not None:
        heads = await app.store.find_heads(
            PLAN.stream_id, query.id, limit=query.limit, projects=projects
        )
        return ServiceReply(value=m.PlanPage(plans=await _entries(call, heads)))
    below = min(read_cursor(query.before), (inf if query.until is None else query.until, ""))
    statuses = tuple(sorted(set(query.status.split(",")))) if query.status else ()
    tags = tuple(query.tag.split(",")) if query.tag else ()
    since = -inf if query.since is None else query.since
    choice = HeadChoice(statuses, since, below, projects, tags)
    heads = await plans_of(app.store, choice, title=query.title, limit=query.limit)
    entries = await _entries(call, heads)
    return ServiceReply(value=m.PlanPage(plans=entries, next=cursor_of(heads, query.limit)))


async def _entries(call: ServiceCall, heads: Sequence[StreamHead]) -> list[m.PlanEntry]:
    """The entries of a page. For a plan whose entry was damaged, the store does not know the
    project."""
    entries, sees = [], call.service.of_plans.sees
    for entry in map(entry_of, heads):
        if entry.status is not None or await sees(call.projects, entry.id):
            entries.append(entry)
    return entries


async def plan(call: ServiceCall) -> ServiceReply:
    view = await call.service.app.view(call.plan_id, at=call.query.version)
    known = call.request.headers.get("if-none-match", "")
    if f'"{view.version}"' in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return ServiceReply(status=304, version=view.version)
    if not call.query.results:
        view.tasks = [replace(task, result=None) for task in view.tasks]
    return ServiceReply(value=view, version=view.version)


async def log(call: ServiceCall) -> ServiceReply:
    store, limit = call.service.app.store, call.query.limit
    if (version := call.query.after_version) is not None:
        found = await store.read_versions(call.plan_id, after=version, limit=limit)
    else:
        query = Query(aggregate_id=call.plan_id)
        found = await store.read(query, after=call.query.after, limit=limit)
    page = {
        "events": [envelope_json(envelope) for envelope in found],
        "next": found[-1].position if len(found) == limit else None,
    }
    return ServiceReply(value=page)


async def plan_events(call: ServiceCall) -> ServiceReply | EventStream:
    return await begin_stream(call, call.plan_id) or ServiceReply(status=204)


async def why(call: ServiceCall) -> ServiceReply:
    found = await call.service.app.why(call.plan_id, call.query.task, history=call.query.history)
    if call.projects:  # a worker may name a plan of another project
        reasons = [replace(reason, workers=()) for reason in found.reasons]
        found = replace(found, reasons=type(found.reasons)(reasons))
    return ServiceReply(value=found)


async def queue(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=await call.service.app.unclaimed(call.plan_id))


async def time(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=await call.service.app.ledger(call.plan_id))


async def diff(call: ServiceCall) -> ServiceReply:
    query = call.query
    await call.check_plan(query.other)
    found = await call.service.app.diff(
        call.plan_id, query.other, at=query.at, other_at=query.other_at
    )
    return ServiceReply(value=found)


async def replay(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=await call.service.app.replay(call.plan_id))


async def trace(call: ServiceCall) -> ServiceReply:
    query = call.query
    found = await call.service.app.trace(call.plan_id, query.form, content=query.content)
    return ServiceReply(value=found)


async def picture(call: ServiceCall) -> ServiceReply:
    svg = await call.service.app.picture(call.plan_id)
    return ServiceReply(text=svg, media_type=call.route.text_type)


async def what_if(call: ServiceCall) -> ServiceReply:
    changed = call.body
    found = await call.service.app.what_if(
        call.plan_id,
        max_parallel=changed.max_parallel,
        route_limits=changed.route_limits,
        answers=changed.answers,
    )
    return ServiceReply(value=found)


async def forecast(call: ServiceCall) -> ServiceReply:
    draft = (await drafted(call)).draft
    tasks = await compiled(call, draft)
    found = await forecast_of(call.service.app, draft.title, tasks, call.projects)
    return ServiceReply(value=m.ForecastAnswer(forecast=found))


FUNCTIONS: Final[dict[str, Any]] = {
    "diff": diff,
    "replay": replay,
    "trace": trace,
    "picture": picture,
    "what_if": what_if,
    "forecast": forecast,
    "preview": preview,
    "plans": plans,
    "plan": plan,
    "log": log,
    "plan_events": plan_events,
    "why": why,
    "queue": queue,
    "time": time,
}
