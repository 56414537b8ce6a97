"""Parameters over HTTP: in submissions, previews and revisions."""

from __future__ import annotations

from served import Served

import planfold

TEXT = '---\nparams:\n  v: {description: what is said}\n---\n1. Run `echo "$params.v"` {#it}\n'
HOSTILE = "$(id) `id` $it.stdout"


async def test_a_submission_gives_values(served: Served) -> None:
    body = {"text": TEXT, "params": {"v": HOSTILE}, "plan_id": "p"}
    preview = await served.post("/v1/plans/preview", {"text": TEXT, "params": {"v": HOSTILE}})
    assert preview.status_code == 200, preview.text
    assert preview.json()["params"] == [
        {"name": "v", "type": "string", "value": HOSTILE, "description": "what is said"}
    ]
    made = await served.post("/v1/plans", body)
    assert made.status_code == 201, made.text
    state = (await served.app.planner("p")).state
    assert state.tasks[1].spec.tool is not None
    assert state.tasks[1].spec.tool.arguments["argv"] == ["echo", HOSTILE.replace("$", "$$")]


async def test_missing_and_unknown_values_are_named_and_nothing_is_begun(served: Served) -> None:
    for params, said in (({}, "is missing; it is a string"), ({"w": 1}, "no parameter 'w'")):
        refused = await served.post("/v1/plans", {"text": TEXT, "params": params, "plan_id": "p"})
        assert refused.status_code == 422
        assert any(said in fault["message"] for fault in refused.json()["faults"])
    assert (await served.get("/v1/plans/p")).status_code == 404


async def test_the_client_gives_values_too(served: Served) -> None:
    async with planfold.Client(served.address, served.tokens["all"]) as client:
        assert (await client.preview(TEXT, params={"v": "a"})).params[0].value == "a"
        receipt = await client.submit(TEXT, params={"v": "a"})
        await client.forecast(TEXT, params={"v": "a"})
        await client.revise(receipt.plan_id, TEXT, params={"v": "b"})
        plan = await client.plan(receipt.plan_id)
        assert plan.task("it").description == 'Run `echo "b"`'
