"""Refusals as problem documents (RFC 9457)."""

from __future__ import annotations

from typing import Final

import msgspec

from planfold.errors import (
    CommandRejected,
    ConfigurationError,
    Conflict,
    CorruptLog,
    InvalidPlan,
    NotFound,
    PlanfoldError,
    Transient,
)
from planfold.service.messages import Problem

TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request too slow",
    409: "Not possible in the present state",
    412: "Another version",
    413: "Request too large",
    415: "Not JSON",
    421: "Wrong host",
    422: "Cannot be accepted",
    429: "Too many requests",
    500: "Fault of the server",
    503: "Not available now",
}
EVERYWHERE: Final = (400, 401, 403, 421, 429, 503)
"""Statuses that every route may answer with."""
WITH_BODY: Final = (408, 413, 415)


class Refused(Exception):
    """Ends a request with a problem. ``headers`` are added to the answer."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        self.problem = problem
        self.headers = headers or {}
        super().__init__(problem.detail)


def refusal(
    status: int, name: str, detail: str = "", headers: dict[str, str] | None = None
) -> Refused:
    """A refusal with this status; ``name`` completes the type ``urn:planfold:problem:``."""
    problem = Problem(
        type=f"urn:planfold:problem:{name}", title=TITLES[status], status=status, detail=detail
    )
    return Refused(problem, headers)


_STATUSES: Final[dict[type[PlanfoldError], tuple[int, str]]] = {
    NotFound: (404, "not-found"),
    InvalidPlan: (422, "invalid-plan"),
    CommandRejected: (409, "rejected"),
    ConfigurationError: (409, "not-configured"),
    Transient: (503, "unavailable"),
    CorruptLog: (500, "unreadable-plan"),
}
_FIELDS: Final = frozenset({"repeat", "result"})
"""Topics of refusals that are the field that allows it."""
_CONFLICTS: Final = {"version": (412, "version"), "command id": (422, "key-reused")}


def refusal_of(fault: PlanfoldError) -> Refused:
    """The refusal for an error of the library."""
    status, name = 500, "fault"
    if isinstance(fault, Conflict):
        status, name = _CONFLICTS.get(fault.topic, (409, "conflict"))
    for kind, found in _STATUSES.items():
        if isinstance(fault, kind):
            status, name = found
    # The others may name the database, and are answered to those without a token too.
    detail = {500: "", 503: "the database cannot be read or written now; try again"}
    refused = refusal(status, name, detail.get(status, str(fault)))
    if fault.topic in _FIELDS:
        refused.problem = msgspec.structs.replace(refused.problem, field=fault.topic)
    if isinstance(fault, InvalidPlan):
        refused.problem = msgspec.structs.replace(
            refused.problem, detail="the plan has faults", faults=fault.faults
        )
    if status == 503:
        refused.headers["Retry-After"] = "1"
    return refused
