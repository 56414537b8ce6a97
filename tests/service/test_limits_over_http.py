"""Shared limits over HTTP: the same figures as in the library and on the command line."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from click.testing import CliRunner
from served import Served

from planfold import Client, NotFound, SharedLimit
from planfold.access.credential import Scope
from planfold.cli.main import cli
from planfold.types import LimitUse

LIMITS = {"api": SharedLimit(rate="60/min"), "production": SharedLimit(concurrency=1)}


async def declared(served: Served) -> None:
    await served.app.store.queue.declare(LIMITS)
    await served.app.store.queue.close(["api"], 3_600.0)


async def test_they_are_listed_and_one_is_opened(served: Served) -> None:
    await declared(served)
    assert all(isinstance(limit, LimitUse) for limit in await served.app.limits())
    found = await served.get("/v1/limits", "read")
    assert found.json() == {"limits": msgspec.to_builtins(await served.app.limits())}
    api, production = found.json()["limits"]
    assert (api["starts"], api["period"], api["concurrency"], api["held"]) == (60, 60.0, None, 0)
    assert api["closed_until"] is not None
    assert (production["starts"], production["started"], production["period"]) == (None, None, None)
    assert (await served.post("/v1/limits/api/open", None, "read")).status_code == 403
    opened = await served.post("/v1/limits/api/open", None, "write")
    assert [each["closed_until"] for each in opened.json()["limits"]] == [None, None]
    missing = await served.post("/v1/limits/apis/open", None)
    assert (missing.status_code, "there is no limit" in missing.text) == (404, True)


async def test_a_token_of_some_projects_opens_none(served: Served) -> None:
    await declared(served)
    scopes = [Scope.Read, Scope.Write]
    blue = (await served.credentials.issue("b", scopes, lasts_s=60, projects=["blue"])).secret
    assert (await served.get("/v1/limits", blue)).status_code == 200
    refused = await served.post("/v1/limits/api/open", None, blue)
    assert (refused.status_code, "a token of all projects" in refused.text) == (403, True)
    assert (await served.app.limits())[0].closed_until is not None


async def test_the_client_and_the_command_line(served: Served) -> None:
    await declared(served)

    def work() -> None:
        with Client(served.address, served.tokens["all"]) as client:
            found = client.limits().run().limits
            assert [limit.name for limit in found] == ["api", "production"]
            said = called("limits", "--json")
            assert json.loads(said) == msgspec.to_builtins(found)
            assert "closed by a server until " in called("limits")
            assert "closed by a server" not in called("limits", "--open", "api")
            assert client.open_limit("api").run().limits[0].closed_until is None
            with pytest.raises(NotFound, match="there is no limit"):
                client.open_limit("apis").run()
            assert "there is no limit 'x'" in called("limits", "--open", "x", code=2)

    def called(*words: str, code: int = 0) -> str:
        there = ("--server", served.address)
        env = {"PLANFOLD_TOKEN": served.tokens["all"]}
        result = CliRunner().invoke(cli, [*words, *there], env=env)
        assert result.exit_code == code, result.output
        return result.output

    await asyncio.to_thread(work)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=bogus", "status must be one or more, with commas between, of awaiting_approval, "),
        ("status=running,bogus", "status must be one or more"),
        ("tag=a%20b", "tag must be tags with commas between"),
        ("project=a%20b", "project must be a project: up to 100 letters"),
    ],
)
async def test_a_wrong_word_of_a_list_is_answered_with_the_allowed_ones(
    served: Served, query: str, said: str
) -> None:
    found = await served.get(f"/v1/plans?{query}")
    assert (found.status_code, said in found.json()["detail"]) == (400, True), found.text
    assert "regex" not in found.text


async def test_other_wrong_words_name_the_allowed_ones(served: Served) -> None:
    found = await served.get("/v1/stats?by=bogus")
    assert "'bogus' is not one of kind, route, title, tool" in found.text
