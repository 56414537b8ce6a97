"""What the other modules about the service's security do not test: its logs, its limits, and what
HTTPS adds."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket

import httpx2
import pytest
from msgspec.structs import replace
from served import HASTY, Served, serve, until

from planfold.log import Query
from planfold.service.assets import ASSETS, page_files
from planfold.service.server import Binding
from planfold.types import Scope

ADDRESSES = ("https://plans.example.org", "http://10.0.0.5:7433")  # the latter for a balancer
PROXIED = Binding(behind_proxy=True, addresses=ADDRESSES)
SECRET = "of-the-plan"


async def test_each_request_is_logged_without_what_it_holds(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "planfold.access")
    body = {"text": f"1. Run `{SECRET}`", "plan_id": "logged"}
    await served.post("/v1/plans", body, "write")
    await served.get(f"/v1/plans?title={SECRET}", "read")
    await served.get("/v1/me", "guess")
    await served.http.get("/v1/me", headers={"Host": "attacker.example"})
    await served.http.get("/%0a%1b[31m")
    lines = [record.getMessage() for record in caplog.records if record.name == "planfold.access"]
    principal = await served.credentials.find(served.tokens["write"], ["token"])
    assert principal is not None
    assert lines[0].startswith(f"POST /v1/plans 201 write/{principal.id} 127.0.0.1 ")
    assert lines[0].endswith(" ms")
    assert [line.split()[2] for line in lines] == ["201", "200", "401", "421", "404"]
    assert [line.split()[3] for line in lines[2:]] == ["-", "-", "-"]
    assert all(line.isprintable() for line in lines)
    for secret in (SECRET, *served.tokens.values()):
        assert secret not in caplog.text


async def test_who_made_and_revoked_a_token_is_in_the_log(each_served: Served) -> None:
    served = each_served
    wanted = {"name": "ci", "scopes": ["read"]}
    made = await served.http.post("/v1/tokens", json=wanted, headers=served.headers("admin"))
    path = f"/v1/tokens/{made.json()['id']}"
    assert (await served.http.delete(path, headers=served.headers("admin"))).status_code == 204
    found = await served.app.log.read(Query(aggregate_id=f"credential-{made.json()['id']}"))
    assert [(each.event_type, each.event.by) for each in found] == [
        ("CredentialIssued", "admin"),
        ("CredentialRevoked", "admin"),
    ]


async def test_a_secret_has_256_random_bits(served: Served) -> None:
    issued = [await served.credentials.issue("a", [Scope.Read], lasts_s=9) for _ in range(3)]
    random = [each.secret.split("_", 2)[2] for each in issued]
    assert len({*random}) == 3
    assert [len(base64.urlsafe_b64decode(each + "=")) * 8 for each in random] == [256] * 3


async def test_more_connections_than_the_limit_are_refused(database: str) -> None:
    async with serve(database, work=False, limits=replace(HASTY, connections=3)) as served:
        host, _, port = served.address.removeprefix("http://").rpartition(":")
        held = [socket.create_connection((host, int(port))) for _ in range(3)]
        try:
            async with httpx2.AsyncClient(base_url=served.address) as late:

                async def refused() -> bool:
                    return (await late.get("/livez")).status_code == 503

                await until(refused)
        finally:
            for connection in held:
                connection.close()

        async def answers() -> bool:
            async with httpx2.AsyncClient(base_url=served.address) as http:
                return (await http.get("/livez")).status_code == 200

        await until(answers)


async def test_over_https_browsers_keep_the_session_to_it(database: str) -> None:
    async with serve(database, work=False, binding=PROXIED) as served:
        # The proxy reaches the service at its port, under the name that clients use.
        port = served.service.cookie.rpartition("-")[2]
        headers = served.headers() | {"Host": "plans.example.org"}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
            code = (await http.post("/v1/launch-codes")).json()["code"]
            begun = await http.post("/v1/sessions", json={"code": code})
            assert begun.status_code == 201, begun.text
            assert begun.headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
            assert begun.headers["strict-transport-security"] == "max-age=31536000"
            inside = {"Host": "10.0.0.5:7433"}  # HTTPS ends before it
            code = (await http.post("/v1/launch-codes", headers=inside)).json()["code"]
            begun = await http.post("/v1/sessions", json={"code": code}, headers=inside)
            assert begun.headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict")


@pytest.mark.parametrize(
    "foreign",
    [
        {"Host": "attacker.example"},
        {"Origin": "http://attacker.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    ],
    ids=lambda foreign: next(iter(foreign)),
)
async def test_another_site_gets_no_file_of_the_page(
    served: Served, foreign: dict[str, str]
) -> None:
    asked = [served.http.get(ASSETS + name, headers=foreign) for name in page_files()]
    assert {answer.status_code for answer in await asyncio.gather(*asked)} <= {403, 421}


async def test_the_log_has_no_secret_of_a_browser(served: Served) -> None:
    """The database has hashes of codes and sessions as well, not only of tokens."""
    code = (await served.http.post("/v1/launch-codes", headers=served.headers())).json()["code"]
    begun = await served.http.post("/v1/sessions", json={"code": code})
    session = begun.headers["set-cookie"].partition("=")[2].partition(";")[0]
    log = repr(await served.app.log.read(Query(stream_id="credential")))
    for secret in (code, session, *served.tokens.values()):
        assert secret.split("_", 2)[2] not in log
