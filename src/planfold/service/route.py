"""``Route``: one row of the table of the service, and how most rows are made."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from planfold.access.credential import Scope
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


SHELL: Final = {"text": "1. Run `make`\n2. Run `make test`"}
RECEIPT: Final = {
    "plan_id": "plan-3f9a",
    "version": 2,
    "status": "running",
    "revision_hash": "6c1b0f",
}
PLAN: Final = "/v1/plans/{plan_id}"


def looking(name: str, path: str, summary: str, response: Any, **more: Any) -> Route:
    """A request that reads."""
    if "{plan_id}" in path:
        more["errors"] = (404, *more.get("errors", ()))
    return Route(name=name, method="GET", path=path, summary=summary, response=response, **more)


def deciding(
    name: str, request: type[m.Strict], summary: str, scope: Scope, example: Any, **more: Any
) -> Route:
    """A command to one plan."""
    return Route(
        name=name,
        method="POST",
        path=f"{PLAN}/{name.replace('_', '-')}",
        summary=summary,
        scope=scope,
        keyed=True,
        request=request,
        response=m.Receipt,
        errors=(404, 409, 412, 422, *more.pop("errors", ())),
        example=example,
        example_answer=RECEIPT,
        **more,
    )
