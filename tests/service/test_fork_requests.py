"""Forks, checkpoints and what explains a plan, over HTTP."""

from __future__ import annotations

from typing import Any

from served import Served, until

from planfold import Client
from planfold.types import messages

DEPLOY: dict[str, Any] = {
    "draft": {
        "title": "Deploy",
        "tasks": [
            {"label": "build", "description": "Build", "tool": "shell", "effect": "safe"}
            | {"arguments": {"argv": ["echo", "one"]}},
            {"label": "deploy", "description": "Deploy", "tool": "shell", "effect": "once"}
            | {"arguments": {"argv": ["echo", "$build.stdout"]}, "depends_on": ["build"]},
        ],
    },
    "plan_id": "deploy",
    "approve": True,
}
CHANGED = {"changes": {"build.argv": ["echo", "two"]}, "approve": True}


async def completed(served: Served, plan_id: str) -> bool:
    return (await served.get(f"/v1/plans/{plan_id}")).json()["status"] == "completed"


async def deployed(served: Served) -> None:
    await served.post("/v1/plans", DEPLOY)
    await until(lambda: completed(served, "deploy"))


async def test_a_fork_names_its_effects_and_needs_consent(each_served: Served) -> None:
    served = each_served
    await deployed(served)
    path = "/v1/plans/deploy/fork"
    before = (await served.get("/v1/plans")).json()
    tried = await served.post(f"{path}/preview", {"changes": CHANGED["changes"]}, "read")
    assert tried.status_code == 200, tried.text
    assert (tried.json()["again"], tried.json()["plan_id"]) == ([1, 2], "")
    [effect] = tried.json()["effects"]
    assert (effect["label"], effect["effect"], effect["status"]) == ("deploy", "once", "completed")
    assert (await served.get("/v1/plans")).json() == before

    refused = await served.post(path, CHANGED)
    assert (refused.status_code, "2 (deploy)" in refused.json()["detail"]) == (409, True)
    assert refused.json()["field"] == "repeat"  # what to send
    assert refused.json()["field"] in messages.ForkRequest.__struct_fields__
    begun = await served.post(path, CHANGED | {"repeat": ["deploy"], "plan_id": "two"}, key="k")
    assert (begun.status_code, begun.json()["plan_id"]) == (201, "two")
    again = await served.post(path, CHANGED | {"repeat": ["deploy"], "plan_id": "two"}, key="k")
    assert (again.status_code, again.json()["plan_id"]) == (201, "two")
    await until(lambda: completed(served, "two"))
    assert (await served.get("/v1/plans/two")).json()["tasks"][1]["result"]["stdout"] == "two"
    [first] = (await served.get("/v1/plans/two/log?limit=1")).json()["events"]
    assert first["metadata"]["extra"]["by"] == "ada"
    difference = (await served.get("/v1/plans/deploy/diff?other=two")).json()
    assert [task["id"] for task in difference["tasks"]] == [1, 2]


async def test_what_a_fork_repeats_or_answers_is_a_persons_word(served: Served) -> None:
    await deployed(served)
    path = "/v1/plans/deploy/fork"
    for wanted in (
        {"repeat": ["deploy"]},
        {"answers": {"build": "x"}},
        {"keep_answers": True},
        {"approve": True},
    ):
        assert (await served.post(path, wanted, "write")).status_code == 403, wanted
    read_only = {"title": "Build", "tasks": DEPLOY["draft"]["tasks"][:1]}
    await served.post("/v1/plans", {"draft": read_only, "plan_id": "build", "approve": True})
    await until(lambda: completed(served, "build"))
    path = "/v1/plans/build/fork"
    assert (await served.post(path, {"changes": CHANGED["changes"]}, "read")).status_code == 403
    proposed = await served.post(path, {"changes": CHANGED["changes"]}, "write")
    assert (proposed.status_code, proposed.json()["status"]) == (201, "awaiting_approval")
    # An effect under a new key happens again as well.
    tasks = [DEPLOY["draft"]["tasks"][0] | {"effect": "keyed"}]
    keyed = {"draft": {"title": "Pay", "tasks": tasks}, "plan_id": "pay"}
    receipt = (await served.post("/v1/plans", keyed)).json()
    approval = {"revision_hash": receipt["revision_hash"]}
    approved = (await served.post("/v1/plans/pay/approve", approval)).json()["version"]
    await until(lambda: completed(served, "pay"))
    path = "/v1/plans/pay/fork"
    for wanted in ({"at": receipt["version"]}, {"at": approved}):
        tried = (await served.post(f"{path}/preview", wanted)).json()
        assert [effect["effect"] for effect in tried["effects"]] == ["keyed"]
        begun = await served.post(path, wanted, "write")
        waits = tried["origin_waits"]
        assert begun.status_code == (201 if waits else 403), begun.text
    assert (await served.post(path, {"at": approved})).status_code == 201
    assert (await served.post(path, {}, "write")).status_code == 201  # nothing runs again


async def test_a_fork_at_a_checkpoint_or_at_the_version_that_was_looked_at(served: Served) -> None:
    await served.post("/v1/plans", DEPLOY | {"approve": False})
    named = await served.post("/v1/plans/deploy/checkpoint", {"name": "start"})
    assert named.status_code == 200, named.text
    plan = (await served.get("/v1/plans/deploy")).json()
    version = plan["checkpoints"]["start"]
    approval = {"revision_hash": plan["revision_hash"]}
    await served.post("/v1/plans/deploy/approve", approval)
    await until(lambda: completed(served, "deploy"))
    path = "/v1/plans/deploy/fork"
    tried = await served.post(f"{path}/preview", {"checkpoint": "start"})
    assert (tried.json()["version"], tried.json()["origin_waits"]) == (version, True)
    absent = await served.post(path, {"checkpoint": "end"})
    assert (absent.status_code, "its checkpoints: start" in absent.text) == (404, True)
    assert (await served.post(path, {"checkpoint": "start", "at": 1})).status_code == 422
    late = await served.post(path, {}, If_Match='"1"')
    assert (late.status_code, late.json()["type"]) == (412, "urn:planfold:problem:version")
    now = (await served.get("/v1/plans/deploy")).json()["version"]
    made = await served.post(path, {}, If_Match=f'"{now}"')
    assert made.status_code == 201, made.text


async def test_what_explains_a_plan(served: Served) -> None:
    await deployed(served)
    replay = (await served.get("/v1/plans/deploy/replay")).json()
    assert replay["difference"] is None
    assert replay["checked"] == replay["decisions"] > 0
    trace = (await served.get("/v1/plans/deploy/trace?form=chrome")).json()
    assert trace["traceEvents"]
    picture = await served.get("/v1/plans/deploy/picture")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.text.startswith("<svg")
    simulation = await served.post("/v1/plans/deploy/what-if", {"max_parallel": 1})
    assert simulation.json()["changed"] >= simulation.json()["replayed"] > 0
    found = await served.post("/v1/plans/forecast", {"draft": DEPLOY["draft"]}, "read")
    assert found.json()["forecast"]["runs"] == 1

    async def counted() -> bool:
        by_tool = (await served.get("/v1/stats?by=tool")).json()["figures"]
        return "shell" in by_tool and by_tool["shell"]["tasks"] == {"completed": 2}

    await until(counted)


async def test_a_client_forks(served: Served) -> None:
    await deployed(served)
    async with Client(served.address, served.tokens["all"]) as client:
        named = await client.checkpoint("deploy", "done")
        source = messages.ForkSource(checkpoint="done")
        assert (await client.fork_preview("deploy", source)).version == named.version
        request = messages.ForkRequest(checkpoint="done", plan_id="again")
        assert (await client.fork("deploy", request)).plan_id == "again"
        assert (await client.replay("again")).difference is None
        assert (await client.diff("deploy", "again")).added == ()
        assert "resourceSpans" in await client.trace("deploy")
        limits = messages.WhatIf(max_parallel=1)
        assert (await client.what_if("deploy", limits)).plan_id == "deploy"
        assert (await client.forecast("1. Run `absent`")).forecast is not None

        async def counted() -> bool:
            return "Deploy" in (await client.stats(by="title")).figures

        await until(counted)
