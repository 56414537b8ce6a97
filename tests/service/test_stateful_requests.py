"""Requests in any order, repeated and misdirected: the service is held to a model of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from served import Served
from threads import served_in_thread

from planfold.service.messages import PlanPage, Problem, Receipt
from planfold.service.openapi import statuses_of
from planfold.service.routes import DECISIONS, ROUTES
from testbed.patience import PATIENCE_S

ROUTE = {route.name: route for route in ROUTES}
NUMBERS = count()
DRAFTS = [
    {"text": "1. Run `true` {#a}\n2. Run `true` {#b}"},
    {
        "draft": {
            "title": "Ask",
            "tasks": [
                {"label": "a", "description": "Which?", "choices": ["x", "y"]},
                {"label": "b", "description": "Use it", "tool": "shell", "effect": "safe"}
                | {"arguments": {"argv": ["echo", "$a"]}},
            ],
        }
    },
]
BODIES: dict[str, list[dict[str, Any]]] = {
    "reject": [{}],
    "answer": [{"task": "a", "answer": "x"}, {"task": "b", "answer": "done"}],
    "change_answer": [{"task": "a", "answer": "y"}],
    "cancel": [{}, {"task": "a"}, {"task": "a", "subtree": True}],
    "pause": [{}, {"before": ["b"], "reason": "incident"}],
    "unpause": [{}, {"before": ["b"]}],
    "skip": [{"task": "a"}, {"task": "b", "reason": "no need"}],
    "complete": [{"task": "a", "result": 1}, {"task": "b"}],
    "tag": [{"add": ["night"]}, {"remove": ["night"]}],
    "retry": [{"task": "a"}],
    "undo": [{}],
    "replan": [{}],
    "revise": [DRAFTS[0] | {"approve": True}, DRAFTS[1]],
    "budget": [{"budget": {"cost": 1.0}}],
    "checkpoint": [{"name": "here"}],
    "fork": [{}, {"at": 1, "keep_answers": True}, {"answers": {"a": "y"}, "approve": True}],
}


class Requests(RuleBasedStateMachine):
    """``plans`` are those that were begun, with their project and the newest version seen."""

    site: Served
    http: httpx2.Client
    plans: Bundle[str] = Bundle("plans")
    sent: Bundle[tuple[str, str, str, Any, Any]] = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        example = next(NUMBERS)
        self.own, self.foreign = f"own-{example}", f"foreign-{example}"
        self.tokens = {project: self._token(project) for project in (self.own, self.foreign)}
        self.versions: dict[str, int] = {}

    def _token(self, project: str) -> str:
        wanted = {"name": project, "scopes": ["read", "write", "approve"], "projects": [project]}
        headers = {"Authorization": f"Bearer {self.site.tokens['all']}"}
        made: str = self.http.post("/v1/tokens", json=wanted, headers=headers).json()["secret"]
        return made

    def write(
        self, name: str, path: str, body: Any, *, key: str, project: str = "", version: str = ""
    ) -> httpx2.Response:
        headers = {
            "Authorization": f"Bearer {self.tokens[project or self.own]}",
            "Idempotency-Key": key,
        }
        headers |= {"If-Match": version} if version else {}
        answer = self.http.post(path, json=body, headers=headers)
        route = ROUTE[name]
        assert answer.status_code in (route.status, *statuses_of(route)), (name, answer.text)
        assert answer.status_code < 500, (name, body, answer.text)
        kind = Receipt if answer.status_code == route.status else Problem
        msgspec.json.decode(answer.content, type=kind)
        return answer

    def seen(self, answer: httpx2.Response) -> str:
        receipt = answer.json()
        assert receipt["version"] >= self.versions.get(receipt["plan_id"], 1)
        self.versions[receipt["plan_id"]] = receipt["version"]
        return str(receipt["plan_id"])

    @rule(target=plans, draft=st.sampled_from(DRAFTS), approve=st.booleans())
    def submit(self, draft: dict[str, Any], approve: bool) -> str:
        key = f"key-{next(NUMBERS)}"
        answer = self.write("submit", "/v1/plans", draft | {"approve": approve}, key=key)
        assert answer.status_code == 201, answer.text
        return self.seen(answer)

    @rule(
        target=plans,
        plan=plans,
        name=st.sampled_from([route.name for route in DECISIONS]),
        which=st.integers(0, 2),
        stale=st.sampled_from(["", "", "now", "stale"]),
    )
    def decide(self, plan: str, name: str, which: int, stale: str) -> Any:
        path = ROUTE[name].path.format(plan_id=plan)
        if name == "approve":
            shown = self.http.get(f"/v1/plans/{plan}", headers=self.reading(self.own)).json()
            body = {"revision_hash": shown["revision_hash"]}
        else:
            body = BODIES[name][which % len(BODIES[name])]
        key, before = f"key-{next(NUMBERS)}", self.versions[plan]
        version = {"": "", "now": f'"{before}"', "stale": f'"{before + 5}"'}[stale]
        answer = self.write(name, path, body, key=key, version=version)
        if answer.status_code >= 300:
            return multiple()
        found = self.seen(answer)
        assert stale != "stale" or (found, self.versions[plan]) == (plan, before)
        return multiple() if found == plan else found

    @rule(target=sent, plan=plans)
    def name(self, plan: str) -> tuple[str, str, str, Any, Any]:
        key = f"key-{next(NUMBERS)}"
        path, body = f"/v1/plans/{plan}/checkpoint", {"name": key}
        self.seen(self.write("checkpoint", path, body, key=key))
        return "checkpoint", path, key, body, plan

    @rule(request=sent)
    def repeat(self, request: tuple[str, str, str, Any, Any]) -> None:
        """The same request does nothing again; another one under its key is refused."""
        name, path, key, body, plan = request
        before = self.versions[plan]
        again = self.write(name, path, body, key=key)
        assert (again.status_code, again.json()["plan_id"]) == (ROUTE[name].status, plan)
        assert again.json()["version"] == before
        other = self.write(name, path, body | {"name": "other"}, key=key)
        assert other.status_code == 422
        foreign = self.write(name, path, body, key=key, project=self.foreign)
        assert foreign.status_code == 404

    @rule(plan=plans, name=st.sampled_from(sorted(BODIES)))
    def intrude(self, plan: str, name: str) -> None:
        path, key = ROUTE[name].path.format(plan_id=plan), f"key-{next(NUMBERS)}"
        answer = self.write(name, path, BODIES[name][0], key=key, project=self.foreign)
        assert answer.status_code == 404

    @rule(plan=consumes(plans))
    def log_is_whole(self, plan: str) -> None:
        found = self.http.get(f"/v1/plans/{plan}/replay", headers=self.reading(self.own)).json()
        assert found["difference"] is None
        log = self.http.get(f"/v1/plans/{plan}/log?limit=500", headers=self.reading(self.own))
        versions = [event["version"] for event in log.json()["events"]]
        assert versions == list(range(1, self.versions[plan] + 1))

    @invariant()
    def each_sees_its_own(self) -> None:
        for project, expected in ((self.own, set(self.versions)), (self.foreign, set())):
            listed = self.http.get("/v1/plans?limit=500", headers=self.reading(project))
            page = msgspec.json.decode(listed.content, type=PlanPage)
            assert {plan.id for plan in page.plans} == expected

    def reading(self, project: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[project]}"}


@pytest.fixture
def machine(database: str) -> Iterator[type[Requests]]:
    with (
        served_in_thread(database, work=False) as site,
        httpx2.Client(base_url=site.address, timeout=PATIENCE_S) as http,
    ):
        yield type("AtSite", (Requests,), {"site": site, "http": http})


def play(machine: type[Requests], examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_any_order_of_requests(machine: type[Requests]) -> None:
    play(machine, 6, 20)


@pytest.mark.soak
def test_many_orders_of_requests(machine: type[Requests]) -> None:
    play(machine, 100, 50)
