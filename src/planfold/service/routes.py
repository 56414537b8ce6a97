"""The routes of the service, as data.

The application, the OpenAPI document and the tests of authorisation are made from this table.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from planfold.access.credential import Scope
from planfold.readmodels.explanation import Explanation
from planfold.readmodels.ledger import Ledger
from planfold.readmodels.plan_drawing import GraphDrawing, TimelineDrawing
from planfold.readmodels.plan_view import PlanView
from planfold.service import messages as m

KIB: Final = 1024
PLAN_BYTES: Final = 16 * 1024 * KIB  # the limit of a plan's draft

Media = Literal["json", "events", "text", "none"]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. ``name`` finds its function, and is its id in the OpenAPI document.

    ``scope`` is what a credential needs (None: any credential will do), ``public`` that it needs
    none. ``keyed``: it writes, so it needs the header ``Idempotency-Key``. ``errors`` are the
    statuses that it may answer with beside those of every route. ``body_bytes`` bounds its body.
    ``plan``: its path names a plan. ``examples`` are a request and an answer.
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
    _looking("time", f"{_PLAN}/stats", "Where the time of a plan went", Ledger),
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
    # Further commands (fork, checkpoint) are one `_deciding` each, with a function in
    # resources/decisions.py.
)

DRAWINGS: Final = (
    _looking(
        "graph",
        f"{_PLAN}/graph",
        "Where the nodes of a plan's graph are",
        GraphDrawing,
        query=m.VersionQuery,
    ),
    _looking(
        "timeline",
        f"{_PLAN}/timeline",
        "What each task waited for and ran",
        TimelineDrawing,
        query=m.VersionQuery,
    ),
    _looking(
        "task",
        f"{_PLAN}/tasks/{{task}}",
        "A task (id or label) with its arguments and result",
        m.TaskDetails,
        query=m.VersionQuery,
    ),
    _looking(
        "revision", f"{_PLAN}/revision", "What an approval would approve", m.RevisionDetails
    ),
    Route(
        name="sketch",
        method="POST",
        path="/v1/plans/graph",
        summary="Where the nodes of a plan's graph would be, without recording it",
        request=m.PlanSource,
        response=GraphDrawing,
        errors=(422,),
        body_bytes=PLAN_BYTES,
        example=_SHELL,
    ),
)
"""What the page shows beside the plans themselves."""

OVERVIEWS: Final = (
    _looking(
        "questions",
        "/v1/questions",
        "Open questions of all plans",
        m.QuestionPage,
        query=m.PageQuery,
    ),
    _looking("stats", "/v1/stats", "Figures of all plans", m.StatisticsAnswer),
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
        response=m.LaunchCode,
        status=201,
    ),
    Route(
        name="begin_session",
        method="POST",
        path="/v1/sessions",
        summary="Exchange a launch code for the cookie of a session",
        scope=None,
        public=True,
        request=m.LaunchRequest,
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
    _looking("tokens", "/v1/tokens", "All tokens", m.TokenPage, scope=Scope.Admin),
    Route(
        name="create_token",
        method="POST",
        path="/v1/tokens",
        summary="Create a token",
        scope=Scope.Admin,
        request=m.TokenRequest,
        response=m.TokenCreated,
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

ROUTES: Final = (*HEALTH, *PLANS, *DECISIONS, *DRAWINGS, *OVERVIEWS, *ACCESS)
