"""The routes of the service, as data.

The application, the OpenAPI document and the tests of authorisation are made from this table.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from planfold.access.credential import Scope
from planfold.drafting.draft import PlanDraft
from planfold.readmodels.explanation import Explanation
from planfold.readmodels.ledger import Ledger
from planfold.readmodels.plan_difference import PlanDifference
from planfold.readmodels.plan_drawing import GraphDrawing, Sketch, TimelineDrawing
from planfold.readmodels.plan_view import PlanView
from planfold.readmodels.replay import Replay
from planfold.readmodels.simulation import Simulation
from planfold.readmodels.task_details import RevisionDetails, TaskDetails
from planfold.readmodels.workers import Unclaimed
from planfold.runtime.forking import Fork
from planfold.service import access_messages as a
from planfold.service import messages as m

KIB: Final = 1024
PLAN_BYTES: Final = 16 * 1024 * KIB  # the limit of a plan's draft

Media = Literal["json", "events", "text", "none"]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. ``name`` finds its function, and is its id in the OpenAPI document.

    ``scope`` is what a credential needs (None: any credential will do), ``public`` that it needs
    none. ``keyed``: it writes, so it needs the header ``Idempotency-Key``. ``errors`` are the
    statuses that it may answer with beside those of every route. ``body_bytes`` bounds its body.
    ``plan``: its path names a plan. ``text_type`` is the type of the medium ``text``. ``example``
    and ``example_answer`` are a request and an answer.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    scope: Scope | None = Scope.Read
    public: bool = False
    keyed: bool = False
    query: type[m.Strict] | None = None
    request: type[m.Strict] | None = None
    response: Any = None
    status: int = 200
    media: Media = "json"
    text_type: str = "text/plain"
    errors: tuple[int, ...] = ()
    body_bytes: int = 256 * KIB
    example: Any = None
    example_answer: Any = None

    @property
    def plan(self) -> bool:
        return "{plan_id}" in self.path


_SHELL: Final = {"text": "1. Run `make`\n2. Run `make test`"}
_RECEIPT: Final = {
    "plan_id": "plan-3f9a",
    "version": 2,
    "status": "running",
    "revision_hash": "6c1b0f",
}
_PLAN: Final = "/v1/plans/{plan_id}"


def _looking(name: str, path: str, summary: str, response: Any, **more: Any) -> Route:
    if "{plan_id}" in path:
        more["errors"] = (404, *more.get("errors", ()))
    return Route(name=name, method="GET", path=path, summary=summary, response=response, **more)


def _deciding(
    name: str, request: type[m.Strict], summary: str, scope: Scope, example: Any, **more: Any
) -> Route:
    """A command to one plan."""
    return Route(
        name=name,
        method="POST",
        path=f"{_PLAN}/{name.replace('_', '-')}",
        summary=summary,
        scope=scope,
        keyed=True,
        request=request,
        response=m.Receipt,
        errors=(404, 409, 412, 422, *more.pop("errors", ())),
        example=example,
        example_answer=_RECEIPT,
        **more,
    )


HEALTH: Final = (
    _looking("live", "/livez", "Whether the process answers", None, public=True, media="text"),
    _looking(
        "ready",
        "/readyz",
        "Whether it can work; the reasons need a token",
        m.Readiness,
        public=True,
        errors=(503,),
        example_answer={"ready": True},
    ),
    _looking("metrics", "/metrics", "Metrics for Prometheus", None, media="text", errors=(503,)),
    _looking("openapi", "/openapi.json", "This document", dict[str, Any]),
)

PLANS: Final = (
    Route(
        name="submit",
        method="POST",
        path="/v1/plans",
        summary="Check a plan and record it",
        scope=Scope.Write,
        keyed=True,
        request=m.Submission,
        response=m.Receipt,
        status=201,
        errors=(409, 412, 422),
        body_bytes=PLAN_BYTES,
        example=_SHELL,
        example_answer=_RECEIPT | {"version": 1, "status": "awaiting_approval"},
    ),
    Route(
        name="preview",
        method="POST",
        path="/v1/plans/preview",
        summary="Check a plan without recording it",
        request=m.PlanSource,
        response=m.Preview,
        errors=(422,),
        body_bytes=PLAN_BYTES,
        example=_SHELL,
    ),
    _looking("plans", "/v1/plans", "Plans, newest first", m.PlanPage, query=m.ListQuery),
    _looking(
        "plan", _PLAN, "A plan, now or at a version", PlanView, query=m.PlanQuery, errors=(304,)
    ),
    _looking("log", f"{_PLAN}/log", "Events of a plan, a page", m.LogPage, query=m.LogQuery),
    _looking(
        "plan_events",
        f"{_PLAN}/events",
        "Events of a plan as they happen",
        m.EventRecord,
        query=m.EventsQuery,
        media="events",
        errors=(204,),
    ),
    _looking(
        "why", f"{_PLAN}/why", "Why it does not run, or failed", Explanation, query=m.WhyQuery
    ),
    _looking("queue", f"{_PLAN}/queue", "Tasks that wait for a worker", Unclaimed),
    _looking("time", f"{_PLAN}/stats", "Where the time of a plan went", Ledger),
    _looking(
        "diff", f"{_PLAN}/diff", "How another plan differs", PlanDifference, query=m.DiffQuery
    ),
    _looking("replay", f"{_PLAN}/replay", "Whether its decisions come out again", Replay),
    _looking(
        "trace",
        f"{_PLAN}/trace",
        "A plan that has ended, as spans",
        dict[str, Any],
        query=m.TraceQuery,
        errors=(409,),
    ),
    _looking(
        "picture",
        f"{_PLAN}/picture",
        "The graph and the timeline of a plan",
        None,
        media="text",
        text_type="image/svg+xml",
    ),
)

TRIALS: Final = (
    Route(
        name="what_if",
        method="POST",
        path=f"{_PLAN}/what-if",
        summary="How long it would have taken under other limits",
        request=m.WhatIf,
        response=Simulation,
        errors=(404, 409),
        example={"max_parallel": 8, "answers": {"approve": 300.0}},
    ),
    Route(
        name="fork_preview",
        method="POST",
        path=f"{_PLAN}/fork/preview",
        summary="What a fork would run, and which effects would happen again",
        request=m.ForkSource,
        response=Fork,
        errors=(404, 409),
        example={"at": "deploy", "changes": {"deploy.region": "eu"}},
    ),
    Route(
        name="forecast",
        method="POST",
        path="/v1/plans/forecast",
        summary="How long a plan may take, by earlier runs",
        request=m.PlanSource,
        response=m.ForecastAnswer,
        body_bytes=PLAN_BYTES,
        example=_SHELL,
    ),
)

DECISIONS: Final = (
    _deciding(
        "approve",
        m.Approval,
        "Approve a revision, so that it runs",
        Scope.Approve,
        {"revision_hash": "6c1b0f"},
    ),
    _deciding(
        "reject", m.Rejection, "Refuse a plan", Scope.Approve, {"reason": "not before Monday"}
    ),
    _deciding(
        "answer",
        m.AnswerGiven,
        "Answer a question",
        Scope.Approve,
        {"task": "colour", "answer": "red"},
    ),
    _deciding(
        "change_answer",
        m.AnswerChanged,
        "Change an answer: what depends on it runs again",
        Scope.Approve,
        {"task": "colour", "answer": "blue"},
    ),
    _deciding(
        "cancel", m.CancelRequest, "Cancel a plan or a task", Scope.Write, {"reason": "too late"}
    ),
    _deciding(
        "retry",
        m.RetryRequest,
        "Run a task again that did not complete",
        Scope.Write,
        {"task": "test"},
    ),
    _deciding(
        "replan",
        m.ReplanRequest,
        "Let the model plan again what has not started",
        Scope.Write,
        {"reason": "the server has moved"},
    ),
    _deciding(
        "revise",
        m.Revision,
        "Replace the tasks that have not started",
        Scope.Write,
        _SHELL,
        body_bytes=PLAN_BYTES,
    ),
    _deciding(
        "budget",
        m.BudgetRaise,
        "Raise the budget for models",
        Scope.Approve,
        {"budget": {"cost": 1.5}},
    ),
    _deciding(
        "checkpoint",
        m.CheckpointName,
        "Name the present version, to fork it later",
        Scope.Write,
        {"name": "before-deploy"},
    ),
    _deciding(
        "fork",
        m.ForkRequest,
        "Begin a plan that continues this one from a version on",
        Scope.Write,
        {"checkpoint": "before-deploy", "changes": {"deploy.region": "eu"}},
        status=201,
    ),
)

_AT: Final = {"query": m.VersionQuery}
# What the page shows beside the plans themselves.
DRAWINGS: Final = (
    _looking("graph", f"{_PLAN}/graph", "Where the nodes of its graph are", GraphDrawing, **_AT),
    _looking("timeline", f"{_PLAN}/timeline", "What tasks waited for", TimelineDrawing, **_AT),
    _looking("task", f"{_PLAN}/tasks/{{task}}", "A task (id or label)", TaskDetails, **_AT),
    _looking("revision", f"{_PLAN}/revision", "What an approval approves", RevisionDetails),
    _looking("remaining", f"{_PLAN}/remaining", "What a revision may change", PlanDraft),
    Route(
        name="sketch",
        method="POST",
        path="/v1/plans/sketch",
        summary="The faults of a plan that is being written, or where its nodes would be",
        request=m.PlanSource,
        response=Sketch,
        errors=(422,),
        body_bytes=PLAN_BYTES,
        example=_SHELL,
    ),
)

OVERVIEWS: Final = (
    _looking(
        "questions",
        "/v1/questions",
        "Open questions of all plans",
        m.QuestionPage,
        query=m.PageQuery,
    ),
    _looking(
        "stats",
        "/v1/stats",
        "Figures of all plans",
        m.StatisticsAnswer,
        query=m.StatisticsQuery,
    ),
    _looking("schema", "/v1/schema", "The JSON schema of a draft", dict[str, Any]),
    _looking(
        "events",
        "/v1/events",
        "Events of all plans as they happen",
        m.EventRecord,
        query=m.EventsQuery,
        media="events",
    ),
)

ACCESS: Final = (
    _looking("me", "/v1/me", "Whose request this is", m.Me, scope=None),
    Route(
        name="launch",
        method="POST",
        path="/v1/launch-codes",
        summary="Make a code with which a browser begins a session",
        scope=None,
        response=a.LaunchCode,
        status=201,
    ),
    Route(
        name="begin_session",
        method="POST",
        path="/v1/sessions",
        summary="Exchange a launch code for the cookie of a session",
        scope=None,
        public=True,
        request=a.LaunchRequest,
        response=m.Me,
        status=201,
        body_bytes=4 * KIB,
        example={"code": "pfl_..."},
    ),
    Route(
        name="end_session",
        method="DELETE",
        path="/v1/sessions",
        summary="End the session of this browser",
        scope=None,
        status=204,
        media="none",
    ),
    _looking("tokens", "/v1/tokens", "All tokens", a.TokenPage, scope=Scope.Admin),
    Route(
        name="create_token",
        method="POST",
        path="/v1/tokens",
        summary="Create a token",
        scope=Scope.Admin,
        request=a.TokenRequest,
        response=a.TokenCreated,
        status=201,
        errors=(409,),
        example={"name": "ci", "scopes": ["read", "write"], "days": 30},
    ),
    Route(
        name="revoke_token",
        method="DELETE",
        path="/v1/tokens/{token_id}",
        summary="Revoke a token",
        scope=Scope.Admin,
        status=204,
        media="none",
        errors=(404,),
    ),
)

ROUTES: Final = (*HEALTH, *PLANS, *TRIALS, *DECISIONS, *DRAWINGS, *OVERVIEWS, *ACCESS)
