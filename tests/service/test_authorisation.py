"""Every route of the table, with every credential that is not enough, and every request that a
browser may have been made to send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from served import HASTY, Served, make_token, serve

from planfold.access.credential import Scope
from planfold.service.credentials import DAY_S
from planfold.service.route import Route
from planfold.service.routes import ROUTES

PLAN = "1. Run `true` {#secret-of-the-plan}"
CLOSED = [route for route in ROUTES if not route.public]
SCOPED = [route for route in CLOSED if route.scope is not None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One service for all these tests: none of their requests changes anything."""
    folder: Path = tmp_path_factory.mktemp("authorisation")
    async with serve(f"sqlite:///{folder}/plans.db", work=False) as found:
        made = await found.app.submit(PLAN, plan_id="plan-1")
        assert made == "plan-1"
        expired = await found.credentials.issue("old", list(Scope), lasts_s=-1)
        revoked = await found.credentials.issue("gone", list(Scope), lasts_s=DAY_S)
        await found.credentials.revoke(revoked.id)
        ada = found.tokens["all"]
        known = await found.credentials.find(ada, ["token"])
        assert known is not None
        code = await found.credentials.launch(known)
        found.tokens |= {
            "wrong": "pft_0123456789abcdef_" + "x" * 43,
            "mistaken": ada[:-1] + ("A" if ada[-1] != "A" else "B"),
            "malformed": "secret\x7f",
            "expired": expired.secret,
            "revoked": revoked.secret,
            "launch code": code.secret,
        }
        yield found


async def ask(site: Served, route: Route, headers: dict[str, str]) -> httpx2.Response:
    path = route.path.format(
        plan_id="plan-1", token_id="0" * 16, task="1", schedule_name="n", limit_name="n"
    )
    headers = headers | ({"Idempotency-Key": f"key-of-{route.name}"} if route.keyed else {})
    content = None
    if route.request is not None:
        headers |= {"Content-Type": "application/json"}
        content = b'{"no such field": 1}'
    return await site.http.request(route.method, path, headers=headers, content=content)


def refused(answer: httpx2.Response, status: int, why: str = "") -> None:
    assert answer.status_code == status, (why, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:planfold:problem:")
    assert "secret-of-the-plan" not in answer.text


def names(route: Route) -> str:
    return route.name


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("route", CLOSED, ids=names)
async def test_no_route_answers_without_a_valid_token(site: Served, route: Route) -> None:
    for token in ("", "wrong", "mistaken", "malformed", "expired", "revoked", "launch code"):
        answer = await ask(site, route, site.headers(token) if token else {})
        refused(answer, 401, token)
        assert answer.headers["www-authenticate"].startswith("Bearer"), token


@pytest.mark.parametrize("route", SCOPED, ids=names)
async def test_a_route_answers_only_its_scope(site: Served, route: Route) -> None:
    for scope in Scope:
        if scope is not route.scope:
            refused(await ask(site, route, site.headers(scope.value)), 403, scope)
        elif route.media != "events":
            answer = await ask(site, route, site.headers(scope.value))
            assert answer.status_code not in (401, 403), answer.text


@pytest.mark.parametrize("given", ["Basic YTpi", "Bearer", "bearer", "Bearer a b", "pft_x"])
async def test_other_kinds_of_authorisation(site: Served, given: str) -> None:
    refused(await site.http.get("/v1/me", headers={"Authorization": given}), 401)


async def test_two_authorisations(site: Served) -> None:
    given = [("Authorization", f"Bearer {site.tokens['all']}")] * 2
    refused(await site.http.get("/v1/me", headers=given), 401)


FOREIGN = {
    "host": ({"Host": "attacker.example:{port}"}, 421),
    "host without port": ({"Host": "127.0.0.1"}, 421),
    "host with another port": ({"Host": "127.0.0.1:1"}, 421),
    "host that begins like it": ({"Host": "127.0.0.1:{port}.attacker.example"}, 421),
    "origin": ({"Origin": "http://attacker.example:{port}"}, 403),
    "origin of another port": ({"Origin": "http://127.0.0.1:1"}, 403),
    "origin of another scheme": ({"Origin": "https://127.0.0.1:{port}"}, 403),
    "null origin": ({"Origin": "null"}, 403),
    "cross-site": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "same-site": ({"Sec-Fetch-Site": "same-site"}, 403),
}


@pytest.mark.parametrize("route", ROUTES, ids=names)
async def test_what_another_site_may_send_is_refused(site: Served, route: Route) -> None:
    port = site.address.rpartition(":")[2]
    for foreign, (headers, status) in FOREIGN.items():
        given = {name: value.format(port=port) for name, value in headers.items()}
        refused(await ask(site, route, site.headers() | given), status, foreign)


async def test_an_unknown_path_is_checked_as_well(site: Served) -> None:
    refused(await site.http.get("/nothing", headers={"Host": "attacker.example"}), 421)
    refused(await site.http.get("/nothing"), 404)
    refused(await site.http.put("/v1/plans", headers=site.headers()), 405)
    head = await site.http.head("/v1/plans/plan-1/events", headers=site.headers())
    assert head.status_code == 405


@pytest.mark.parametrize("route", ROUTES, ids=names)
async def test_every_answer_has_the_headers_of_safety(site: Served, route: Route) -> None:
    answer = await ask(site, route, {})
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


async def test_a_preflight_gets_nothing(site: Served) -> None:
    asked = {"Origin": site.address, "Access-Control-Request-Method": "POST"}
    answer = await site.http.options("/v1/plans", headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_health_says_why_only_to_those_with_a_token(site: Served) -> None:
    site.service.stopping.set()
    try:
        answer = await site.http.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ready": False})
        answer = await site.get("/readyz", "read")
        assert answer.json()["reasons"] == ["the service is stopping"]
        assert (await site.http.get("/livez")).text == "ok\n"
    finally:
        site.service.stopping.clear()


async def test_a_session_begins_with_a_code_and_ends_with_its_token(site: Served) -> None:
    token = await make_token(site.credentials, "eve", Scope.Read, Scope.Write)
    made = await site.http.post("/v1/launch-codes", headers=site.headers(token))
    body = {"code": made.json()["code"]}
    begun = await site.http.post("/v1/sessions", json=body)
    assert (begun.status_code, begun.json()["scopes"]) == (201, ["read", "write"])
    cookie = begun.headers["set-cookie"]
    port = site.address.rpartition(":")[2]
    assert cookie.startswith(f"planfold-session-{port}=pfs_")
    assert "; HttpOnly; SameSite=Strict" in cookie
    refused(await site.http.post("/v1/sessions", json=body), 401)

    async with httpx2.AsyncClient(base_url=site.address) as browser:
        headers = {"Cookie": cookie.partition(";")[0]}
        me = await browser.get("/v1/me", headers=headers)
        assert (me.json()["name"], me.json()["kind"]) == ("eve", "session")
        # A write needs what only a page of this origin can send.
        key = {"Idempotency-Key": "of-a-browser"}
        refused(await browser.post("/v1/plans", json={"text": PLAN}, headers=headers | key), 401)
        here = headers | key | {"Origin": site.address}
        done = await browser.post("/v1/plans", json={"text": PLAN}, headers=here)
        assert done.status_code == 201
        # The secret of a session is not a token.
        secret = headers["Cookie"].partition("=")[2]
        refused(await browser.get("/v1/me", headers={"Authorization": f"Bearer {secret}"}), 401)
        principal = await site.credentials.find(token, ["token"])
        assert principal is not None
        await site.credentials.revoke(principal.id)
        refused(await browser.get("/v1/me", headers=headers), 401)


async def test_a_browser_can_end_its_session(site: Served) -> None:
    made = await site.http.post("/v1/launch-codes", headers=site.headers("read"))
    begun = await site.http.post("/v1/sessions", json={"code": made.json()["code"]})
    headers = {"Cookie": begun.headers["set-cookie"].partition(";")[0], "Origin": site.address}
    async with httpx2.AsyncClient(base_url=site.address, headers=headers) as browser:
        ended = await browser.delete("/v1/sessions")
        assert ended.status_code == 204
        assert "Max-Age=0" in ended.headers["set-cookie"]
        refused(await browser.get("/v1/me"), 401)


async def test_an_administrator_makes_and_revokes_tokens(site: Served) -> None:
    wanted = {"name": "ci", "scopes": ["read"], "days": 1}
    made = await site.http.post("/v1/tokens", json=wanted, headers=site.headers("admin"))
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert (await site.get("/v1/me", secret)).json()["scopes"] == ["read"]
    listed = (await site.get("/v1/tokens", "admin")).json()["tokens"]
    [entry] = [each for each in listed if each["id"] == made.json()["id"]]
    assert (entry["name"], entry["status"]) == ("ci", "valid")
    assert secret not in str(listed)
    path = f"/v1/tokens/{entry['id']}"
    assert (await site.http.delete(path, headers=site.headers("admin"))).status_code == 204
    refused(await site.get("/v1/me", secret), 401)
    refused(await site.http.delete("/v1/tokens/x", headers=site.headers("admin")), 404)


async def test_too_many_requests_have_to_wait(tmp_path: Path) -> None:
    from msgspec.structs import replace

    limits = replace(HASTY, rate=0.001, burst=3.0)
    async with serve(f"sqlite:///{tmp_path}/plans.db", work=False, limits=limits) as found:
        statuses = [(await found.get("/v1/me", "read")).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert (await found.get("/v1/me", "write")).status_code == 200
        guesses = [await found.get("/v1/me", "guess") for _ in range(5)]
        assert [each.status_code for each in guesses] == [401, 401, 401, 429, 429]
        refused(guesses[-1], 429)
        assert int(guesses[-1].headers["retry-after"]) > 0
