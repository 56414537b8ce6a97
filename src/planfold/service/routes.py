"""The routes of the service, as data.

The application, the OpenAPI document and the tests of authorisation are made from this table.
"""

from __future__ import annotations

from typing import Any, Final

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
from planfold.runtime.fork import Fork
from planfold.service import access_messages as a
from planfold.service import messages as m
from planfold.service import query_messages as q
from planfold.service.decision_routes import DECISIONS
from planfold.service.route import KIB, PLAN, PLAN_BYTES, RECEIPT, SHELL, Route, looking
from planfold.service.schedule_routes import SCHEDULES

HEALTH: Final = (
    looking("live", "/livez", "Whether the process answers", None, public=True, media="text"),
    looking(
        "ready",
        "/readyz",
        "Whether it can work; the reasons need a token",
        m.Readiness,
        public=True,
        errors=(503,),
        example_answer={"ready": True},
    ),
    looking("metrics", "/metrics", "Metrics for Prometheus", None, media="text", errors=(503,)),
    looking("openapi", "/openapi.json", "This document", dict[str, Any]),
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
        errors=(404, 409, 412, 422),
        body_bytes=PLAN_BYTES,
        example=SHELL,
        example_answer=RECEIPT | {"version": 1, "status": "awaiting_approval"},
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
        example=SHELL,
    ),
    looking("plans", "/v1/plans", "Plans, newest first", m.PlanPage, query=q.ListQuery),
    looking(
        "plan", PLAN, "A plan, now or at a version", PlanView, query=q.PlanQuery, errors=(304,)
    ),
    looking("log", f"{PLAN}/log", "Events of a plan, a page", m.LogPage, query=q.LogQuery),
    looking(
        "plan_events",
        f"{PLAN}/events",
        "Events of a plan as they happen",
        m.EventRecord,
        query=q.EventsQuery,
        media="events",
        errors=(204,),
    ),
    looking("why", f"{PLAN}/why", "Why it does not run, or failed", Explanation, query=q.WhyQuery),
    looking("queue", f"{PLAN}/queue", "Tasks that wait for a worker", Unclaimed),
    looking("time", f"{PLAN}/stats", "Where the time of a plan went", Ledger),
    looking("diff", f"{PLAN}/diff", "How another plan differs", PlanDifference, query=q.DiffQuery),
    looking("replay", f"{PLAN}/replay", "Whether its decisions come out again", Replay),
    looking(
        "trace",
        f"{PLAN}/trace",
        "A plan that has ended, as spans",
        dict[str, Any],
        query=q.TraceQuery,
        errors=(409,),
    ),
    looking(
        "picture",
        f"{PLAN}/picture",
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
        path=f"{PLAN}/what-if",
        summary="How long it would have taken under other limits",
        request=m.WhatIf,
        response=Simulation,
        errors=(404, 409),
        example={"max_parallel": 8, "answers": {"approve": 300.0}},
    ),
    Route(
        name="fork_preview",
        method="POST",
        path=f"{PLAN}/fork/preview",
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
        example=SHELL,
    ),
)

SIGNALS: Final = (
    Route(
        name="signal",
        method="POST",
        path="/v1/signals",
        summary="Give a signal to the plans that wait for it",
        scope=Scope.Write,
        keyed=True,
        request=m.SignalGiven,
        response=dict[str, Any],
        errors=(409, 422),
        body_bytes=1024 * KIB,
        example={"name": "payment.settled", "key": "order-17", "data": {"amount": 12}},
        example_answer={"id": "evt-1", "new": True},
    ),
)

LIMITS: Final = (
    looking("limits", "/v1/limits", "The shared limits, and what is used of them", m.LimitPage),
    Route(
        name="open_limit",
        method="POST",
        path="/v1/limits/{limit_name}/open",
        summary="Open a shared limit that a server has closed",
        scope=Scope.Write,
        response=m.LimitPage,
        errors=(404,),
    ),
)

_AT: Final = {"query": q.VersionQuery}
# What the page shows beside the plans themselves.
DRAWINGS: Final = (
    looking("graph", f"{PLAN}/graph", "Where the nodes of its graph are", GraphDrawing, **_AT),
    looking("timeline", f"{PLAN}/timeline", "What tasks waited for", TimelineDrawing, **_AT),
    looking("task", f"{PLAN}/tasks/{{task}}", "A task (id or label)", TaskDetails, **_AT),
    looking("revision", f"{PLAN}/revision", "What an approval approves", RevisionDetails),
    looking("remaining", f"{PLAN}/remaining", "What a revision may change", PlanDraft),
    Route(
        name="sketch",
        method="POST",
        path="/v1/plans/sketch",
        summary="The faults of a plan that is being written, or where its nodes would be",
        request=m.PlanSource,
        response=Sketch,
        errors=(422,),
        body_bytes=PLAN_BYTES,
        example=SHELL,
    ),
)

OVERVIEWS: Final = (
    looking(
        "questions",
        "/v1/questions",
        "Open questions of all plans",
        m.QuestionPage,
        query=q.PageQuery,
    ),
    looking(
        "stats",
        "/v1/stats",
        "Figures of all plans",
        m.StatisticsAnswer,
        query=q.StatisticsQuery,
    ),
    looking("schema", "/v1/schema", "The JSON schema of a draft", dict[str, Any]),
    looking(
        "events",
        "/v1/events",
        "Events of all plans as they happen",
        m.EventRecord,
        query=q.EventsQuery,
        media="events",
    ),
)

ACCESS: Final = (
    looking("me", "/v1/me", "Whose request this is", m.Me, scope=None),
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
    looking("tokens", "/v1/tokens", "All tokens", a.TokenPage, scope=Scope.Admin),
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

ROUTES: Final = (
    *(*HEALTH, *PLANS, *TRIALS, *DECISIONS, *SIGNALS, *SCHEDULES, *LIMITS),
    *(*DRAWINGS, *OVERVIEWS, *ACCESS),
)
