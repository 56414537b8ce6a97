"""Projects: a token sees the plans of its projects, and learns nothing of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from served import Served, events_of, serve, until

import planfold
from planfold import Client, CommandRejected
from planfold.commands import NameCheckpoint
from planfold.service.route import Route
from planfold.service.routes import ROUTES
from planfold.types import Scope
from testbed.patience import PATIENCE_S

SECRET = "of-the-red-ones"
RED = {
    "title": f"Title {SECRET}",
    "tasks": [
        {"label": SECRET, "description": f"Which {SECRET}?", "choices": ["a", "b"]},
        {"label": "use", "description": "Use it", "tool": "shell", "effect": "safe"}
        | {"arguments": {"argv": ["echo", f"${SECRET}"]}},
    ],
}
WORKING = [Scope.Read, Scope.Write, Scope.Approve]
ALL_PROJECTS = dict.fromkeys(("metrics", "tokens", "create_token", "revoke_token", "signal"), 403)
ALL_PROJECTS["open_limit"] = 403
ALL_PROJECTS |= {route.name: 404 for route in ROUTES if "{schedule_name}" in route.path}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A service with a plan in the project red, and tokens for red, blue and both."""
    database = f"sqlite:///{tmp_path_factory.mktemp('projects')}/plans.db"
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        database = await server.create_database("test_projects")
    async with serve(database, work=False) as found:
        for name, projects in {"red": ["red"], "blue": ["blue"], "both": ["red", "blue"]}.items():
            issued = await found.credentials.issue(name, WORKING, lasts_s=60, projects=projects)
            found.tokens[name] = issued.secret
        made = await found.post(
            "/v1/plans", {"draft": RED, "plan_id": "red-1", "approve": True}, "red"
        )
        assert made.status_code == 201, made.text
        yield found


async def ask(site: Served, route: Route, token: str, plan_id: str = "red-1") -> httpx2.Response:
    path = route.path.format(
        plan_id=plan_id, token_id="0" * 16, task="1", schedule_name="n", limit_name="n"
    )
    headers = site.headers(token)
    if route.keyed:
        headers["Idempotency-Key"] = f"key-{route.name}-{token}-{plan_id}"
    query = {"other": "red-1"} if route.name == "diff" else {}
    body: Any = route.example if route.request is not None else None
    return await site.http.request(route.method, path, headers=headers, json=body, params=query)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.plan], ids=lambda r: r.name)
async def test_a_plan_of_another_project_is_not_found(site: Served, route: Route) -> None:
    before = (await site.get("/v1/plans/red-1/log")).json()
    answer = await ask(site, route, "blue")
    absent = await ask(site, route, "blue", "absent-1")
    assert (answer.status_code, absent.status_code) == (404, 404)
    assert answer.text.replace("red-1", "absent-1") == absent.text
    assert (await site.get("/v1/plans/red-1/log")).json() == before


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if not r.plan and not r.public], ids=lambda r: r.name
)
async def test_nothing_of_another_project_is_reported(site: Served, route: Route) -> None:
    if route.media == "events":
        return
    answer = await ask(site, route, "blue")
    assert answer.status_code == ALL_PROJECTS.get(route.name, route.status), answer.text
    assert SECRET not in answer.text
    assert "red-1" not in answer.text


async def test_lists_and_figures_are_those_of_the_projects(site: Served) -> None:
    blue = (await site.post("/v1/plans", {"text": "1. Run `true`"}, "blue")).json()["plan_id"]

    async def listed(token: str, query: str = "") -> dict[str, str]:
        found = (await site.get(f"/v1/plans{query}", token)).json()["plans"]
        return {each["id"]: each["project"] for each in found}

    assert set((await listed("blue")).values()) == {"blue"}
    assert set((await listed("red")).values()) == {"red"}
    both = await listed("both")
    assert (both["red-1"], both[blue], set(both.values())) == ("red", "blue", {"red", "blue"})
    assert await listed("blue", "?id=red-1") == {}
    assert await listed("red", "?id=red-1") == {"red-1": "red"}
    assert await listed("blue", "?project=red") == {}
    asking = await listed("all", "?project=red&status=awaiting_answer,running")
    assert ("red-1" in asking, set(asking.values())) == (True, {"red"})
    questions = (await site.get("/v1/questions", "both")).json()["questions"]
    assert {each["plan_id"] for each in questions} >= {"red-1"}
    assert (await site.get("/v1/questions", "blue")).json()["questions"] == []

    async def counted() -> bool:
        red = (await site.get("/v1/stats", "red")).json()["figures"]
        blue = (await site.get("/v1/stats?by=title", "blue")).json()["figures"]
        assert RED["title"] not in blue
        return bool(red["questions"] and blue)

    await until(counted)
    assert (await site.get("/v1/me", "both")).json()["projects"] == ["red", "blue"]
    assert (await site.get("/v1/me", "all")).json()["projects"] == []


async def test_a_stream_has_the_events_of_the_projects(site: Served) -> None:
    begun = asyncio.Event()

    async def follow() -> list[str]:
        seen: list[str] = []
        headers = site.headers("blue")
        async with site.http.stream("GET", "/v1/events", headers=headers) as response:
            begun.set()
            async for event in events_of(response):
                seen.append(event.data["aggregate_id"])
                if "blue-last" in seen:
                    return seen
        return seen

    following = asyncio.create_task(follow())
    await begun.wait()
    for name in ("red-2", "blue-2", "red-3", "blue-last"):
        colour = name.partition("-")[0]
        body = {"text": f"1. Run `{name}`", "plan_id": name}
        made = await site.post("/v1/plans", body, colour)
        assert made.status_code == 201, made.text
    async with asyncio.timeout(PATIENCE_S):
        seen = await following
    assert {"blue-2", "blue-last"} <= set(seen)
    assert not [plan_id for plan_id in seen if plan_id.startswith("red")]


async def test_where_a_plan_begins(site: Served) -> None:
    text = {"text": "1. Run `true` {#a}"}

    async def project(answer: httpx2.Response) -> str:
        assert answer.status_code == 201, answer.text
        found: str = (await site.get(f"/v1/plans/{answer.json()['plan_id']}")).json()["project"]
        return found

    assert await project(await site.post("/v1/plans", text)) == "default"
    assert await project(await site.post("/v1/plans", text | {"project": "green"})) == "green"
    assert await project(await site.post("/v1/plans", text, "red")) == "red"
    assert await project(await site.post("/v1/plans", text | {"project": "blue"}, "both")) == "blue"
    for wanted in (text, text | {"project": "green"}):
        refused = await site.post("/v1/plans", wanted, "both")
        assert (refused.status_code, "red, blue" in refused.text) == (403, True)
    assert (await site.post("/v1/plans", text | {"project": "a b"})).status_code == 422


async def test_each_project_has_keys_of_its_own(site: Served) -> None:
    """A key of another project neither answers nor collides."""
    body, made = {"text": "1. Run `true`"}, {}
    begun = [site.post("/v1/plans", body, colour, key="own-key") for colour in ("red", "blue")]
    for colour, answer in zip(("red", "blue"), await asyncio.gather(*begun), strict=True):
        assert answer.status_code == 201, answer.text
        made[colour] = answer.json()["plan_id"]
    assert made["red"] != made["blue"]
    for colour, plan_id in made.items():
        again = await site.post("/v1/plans", body, colour, key="own-key")
        assert (again.status_code, again.json()["plan_id"]) == (201, plan_id)
        other = await site.post("/v1/plans", {"text": "1. Run `false`"}, colour, key="own-key")
        assert other.json()["type"] == "urn:planfold:problem:key-reused"
        path = f"/v1/plans/{plan_id}/checkpoint"
        named = await site.post(path, {"name": "here"}, colour, key="naming")
        assert named.status_code == 200, named.text
        events = (await site.get(f"/v1/plans/{plan_id}/log", colour)).json()["events"]
        causes = [event["metadata"]["causation_id"] for event in events]
        assert (causes[0], causes[-1]) == (f"{colour} own-key", f"{colour} naming")
    plain = await site.post("/v1/plans", body, key="own-key")  # of the project default
    assert plain.status_code == 201
    [first] = (await site.get(f"/v1/plans/{plain.json()['plan_id']}/log?limit=1")).json()["events"]
    assert first["metadata"]["causation_id"] == "own-key"
    assert plain.json()["plan_id"] not in made.values()


async def test_the_log_of_an_earlier_planfold_has_bare_keys(site: Served) -> None:
    red = site.app.planner_config(project="red")
    await site.app.submit("1. Run `true`", plan_id="earlier", config=red)
    await site.app.send("earlier", NameCheckpoint("then"), command_id="bare-key")
    path = "/v1/plans/earlier"
    named = await site.post(f"{path}/checkpoint", {"name": "now"}, "red", key="bare-key")
    assert named.status_code == 200, named.text
    found = (await site.get(f"{path}/log", "red")).json()["events"]
    causes = [event["metadata"]["causation_id"] for event in found[-2:]]
    assert causes == ["bare-key", "red bare-key"]
    assert (await site.get(f"{path}/replay", "red")).json()["difference"] is None


async def test_a_fork_has_the_project_of_its_origin(site: Served) -> None:
    forked = await site.post("/v1/plans/red-1/fork", {"plan_id": "red-fork"}, "red")
    assert forked.status_code == 201, forked.text
    assert (await site.get("/v1/plans/red-fork", "red")).json()["project"] == "red"
    assert (await site.get("/v1/plans/red-fork", "blue")).status_code == 404


async def test_an_id_that_another_project_uses(site: Served) -> None:
    """Ids are those of all projects: that one is used is said, and no more."""
    body = {"draft": RED, "plan_id": "red-1", "approve": True}
    before = (await site.get("/v1/plans/red-1/log")).json()
    for wanted in (body, {"text": "1. Run `true`", "plan_id": "red-1"}):
        answer = await site.post("/v1/plans", wanted, "blue")
        assert answer.status_code in (404, 409)
        assert SECRET not in answer.text.replace(str(wanted), "")
        assert "version" not in answer.json()
    made = await site.post("/v1/plans", {"text": "1. Run `true`", "plan_id": "blue-own"}, "blue")
    assert made.status_code == 201
    fork = await site.post("/v1/plans/blue-own/fork", {"plan_id": "red-1"}, "blue")
    assert fork.status_code in (404, 409)
    assert (await site.get("/v1/plans/red-1/log")).json() == before


async def test_a_plan_of_another_project_is_not_approved_by_its_repetition(site: Served) -> None:
    body = {"text": "1. Run `true`", "plan_id": "red-waits"}
    assert (await site.post("/v1/plans", body, "red")).status_code == 201
    before = (await site.get("/v1/plans/red-waits/log")).json()
    told = set()
    for wanted in (body | {"approve": True}, body, body | {"text": "1. Run `false`"}):
        answer = await site.post("/v1/plans", wanted, "blue")
        assert answer.status_code == 409, answer.text
        told.add(answer.json()["detail"])
    assert len(told) == 1, told  # nor is it said whether the tasks are the same
    assert (await site.get("/v1/plans/red-waits/log")).json() == before
    assert (await site.post("/v1/plans", body | {"approve": True}, "red")).status_code == 201


async def test_sessions_and_codes_see_what_their_token_sees(site: Served) -> None:
    made = await site.http.post("/v1/launch-codes", headers=site.headers("blue"))
    begun = await site.http.post("/v1/sessions", json={"code": made.json()["code"]})
    assert begun.json()["projects"] == ["blue"]
    headers = {"Cookie": begun.headers["set-cookie"].partition(";")[0]}
    async with httpx2.AsyncClient(base_url=site.address, headers=headers) as browser:
        assert (await browser.get("/v1/plans/red-1")).status_code == 404
        listed = (await browser.get("/v1/plans")).json()["plans"]
        assert {plan["project"] for plan in listed} <= {"blue"}


async def test_who_manages_tokens_sees_all_projects(site: Served) -> None:
    wanted = {"name": "x", "scopes": ["admin"], "projects": ["red"]}
    headers = site.headers("admin")
    refused = await site.http.post("/v1/tokens", json=wanted, headers=headers)
    assert (refused.status_code, "name none" in refused.text) == (409, True)
    made = await site.http.post("/v1/tokens", json=wanted | {"scopes": ["read"]}, headers=headers)
    assert made.status_code == 201
    [entry] = [
        each
        for each in (await site.get("/v1/tokens", "admin")).json()["tokens"]
        if each["id"] == made.json()["id"]
    ]
    assert entry["projects"] == ["red"]
    with pytest.raises(CommandRejected, match="up to 100 letters"):
        await site.credentials.issue("x", [Scope.Read], lasts_s=60, projects=["a b"])


async def test_a_client_begins_and_lists_plans_of_a_project(site: Served) -> None:
    async with Client(site.address, site.tokens["all"]) as client:
        receipt = await client.submit("1. Run `true`", project="client")
        assert (await client.plan(receipt.plan_id)).project == "client"
        assert [each.project for each in (await client.plans(project="client")).plans] == ["client"]


@pytest.mark.asyncio(loop_scope="function")
async def test_an_archived_plan_of_another_project_is_not_found(tmp_path: Path) -> None:
    async with serve(f"sqlite:///{tmp_path}/plans.db", work=False) as served:
        issued = await served.credentials.issue("b", WORKING, lasts_s=60, projects=["blue"])
        await served.app.submit("1. Run `true`", plan_id="gone")
        await served.app.cancel("gone")
        await served.app.archive(tmp_path / "archive", older_than=-1)
        answer = await served.get("/v1/plans/gone", issued.secret)
        assert (answer.status_code, str(tmp_path) in answer.text) == (404, False)
        assert "archive" in (await served.get("/v1/plans/gone")).text
        body = {"text": "1. Run `true`", "plan_id": "gone"}
        answer = await served.post("/v1/plans", body, issued.secret)
        assert (answer.status_code, str(tmp_path) in answer.text) == (409, False), answer.text
        # Nor does a mistyped id of its own say more.
        answer = await served.get("/v1/plans/gon", issued.secret)
        assert answer.json()["detail"] == "there is no plan 'gon'"


@pytest.mark.asyncio(loop_scope="function")
async def test_a_worker_of_another_project_is_not_named(tmp_path: Path) -> None:
    """A worker that serves one plan says so to those who ask why another does not run."""
    async with (
        serve(f"sqlite:///{tmp_path}/plans.db", work=False) as served,
        planfold.open_app(served.app.settings) as other,
    ):
        issued = await served.credentials.issue("b", WORKING, lasts_s=60, projects=["blue"])
        red = other.planner_config(project="red")
        await other.submit("1. Who?", plan_id="red-plan", config=red, approved_by="x")
        blue = other.planner_config(project="blue")
        async with other.worker(plan_id="red-plan"):
            plan = "1. Run `true` {#a}"
            await served.app.submit(plan, plan_id="mine", config=blue, approved_by="x")

            async def named() -> bool:
                return "red-plan" in (await served.get("/v1/plans/mine/why")).text

            await until(named)
            for path in ("why", "why?task=a", "queue"):
                answer = await served.get(f"/v1/plans/mine/{path}", issued.secret)
                assert (answer.status_code, "red-plan" in answer.text) == (200, False)
