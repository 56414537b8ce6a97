"""Links of the OpenAPI document: what an answer holds that another request takes."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planfold.service.messages import Receipt
from planfold.service.route import Route
from planfold.service.routes import ROUTES


class AnswerLink(msgspec.Struct, frozen=True):
    """To the operation ``to``: its path parameter ``parameter`` is ``value``, and ``body`` is a
    part of its body. Values are runtime expressions of OpenAPI."""

    to: str
    parameter: str
    value: str
    body: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "operationId": self.to,
            "parameters": {self.parameter: self.value},
        }
        return found | ({"requestBody": self.body} if self.body else {})


_QUESTION: Final = "$response.body#/questions/0"
_REVISION: Final = {"revision_hash": "$response.body#/revision_hash"}
_FROM: Final = {
    "plans": [AnswerLink("plan", "plan_id", "$response.body#/plans/0/id")],
    "plan": [AnswerLink("approve", "plan_id", "$request.path.plan_id", _REVISION)],
    "questions": [
        AnswerLink(
            "answer",
            "plan_id",
            f"{_QUESTION}/plan_id",
            {"task": f"{_QUESTION}/task", "answer": f"{_QUESTION}/question/choices/0"},
        )
    ],
    "create_token": [AnswerLink("revoke_token", "token_id", "$response.body#/id")],
}


def links_of(route: Route) -> dict[str, Any]:
    """The links of the answer of a route, by name."""
    found = list(_FROM.get(route.name, ()))
    if route.response is Receipt:
        named = [each.name for each in ROUTES if each.plan and "{task}" not in each.path]
        begins = route.status == 201
        for name in named if begins else ["plan"]:
            body = _REVISION if name == "approve" else None
            found.append(AnswerLink(name, "plan_id", "$response.body#/plan_id", body))
    return {link.to: link.as_json() for link in found}
