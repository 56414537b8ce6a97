"""Commands over HTTP: once under a key, at the version that was looked at, by whose token it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from served import Served, make_token, serve, until

from planfold.access.credential import Scope
from planfold.log import Query
from planfold.service.openapi import statuses_of
from planfold.service.routes import ROUTES

TWO = "1. Run `true` {#first}\n2. Run `true` {#second}"
QUESTION = {
    "draft": {
        "title": "A question",
        "tasks": [
            {"label": "colour", "description": "Which?", "choices": ["red", "blue"]},
            {"label": "paint", "description": "Paint", "tool": "shell", "effect": "safe"}
            | {"arguments": {"argv": ["echo", "$colour"]}},
        ],
    },
    "approve": True,
}


async def status(served: Served, plan_id: str) -> str:
    found: str = (await served.get(f"/v1/plans/{plan_id}")).json()["status"]
    return found


async def versions(served: Served) -> int:
    return len(await served.app.log.read(Query(stream_id="plan")))


async def test_a_plan_is_taken_in_hand(each_served: Served) -> None:
    served = each_served
    wanted = {"text": TWO, "approve": True, "pause_before": ["second"], "tags": ["nightly"]}
    plan_id = (await served.post("/v1/plans", wanted)).json()["plan_id"]
    path = f"/v1/plans/{plan_id}"
    await until(lambda: is_at(served, plan_id, "paused"))
    for tags, found in (("nightly", 1), ("nightly,late", 0)):
        page = (await served.get(f"/v1/plans?tag={tags}")).json()
        assert [plan["tags"] for plan in page["plans"]] == [["nightly"]] * found
    assert (await served.post(f"{path}/tag", {"add": ["a b"]})).status_code in (400, 422)
    assert (await served.post(f"{path}/tag", {"add": ["late"]})).status_code == 200
    assert (await served.get(path)).json()["tags"] == ["late", "nightly"]
    [reason] = (await served.get(f"{path}/why?task=second")).json()["reasons"]
    assert reason["kind"] == "pause"
    for refused in ({"task": "first"}, {"task": "third"}):
        assert (await served.post(f"{path}/skip", refused)).status_code in (404, 409)
    assert (await served.post(f"{path}/pause", {"before": ["first"]})).status_code == 409
    assert (await served.post(f"{path}/pause", {"reason": "lunch"})).status_code == 200
    done = {"task": "second", "result": {"id": 7}, "reason": "did it"}
    assert (await served.post(f"{path}/complete", done)).status_code == 200
    await until(lambda: is_at(served, plan_id, "completed"))
    plan = (await served.get(path)).json()
    second = plan["tasks"][1]
    assert (second["result"], second["by_hand"]["by"]) == ({"id": 7}, plan["paused"]["by"])
    assert (await served.post(f"{path}/unpause", {})).json()["status"] == "completed"


async def test_a_plan_is_undone(each_served: Served) -> None:
    served = each_served
    undo = {"tool": "shell", "arguments": {"argv": ["true"]}}
    call = {"description": "make", "tool": "shell", "arguments": {"argv": ["true"]}, "undo": undo}
    wanted = {"draft": {"undo": "never", "tasks": [call]}, "approve": True}
    preview = (await served.post("/v1/plans/preview", {"draft": wanted["draft"]})).json()
    assert preview["undo"] == "never"
    plan_id = (await served.post("/v1/plans", wanted)).json()["plan_id"]
    path = f"/v1/plans/{plan_id}"
    await until(lambda: is_at(served, plan_id, "completed"))
    assert (await served.post(f"{path}/undo", {})).status_code == 200
    await until(lambda: is_at(served, plan_id, "completed"))
    plan = (await served.get(path)).json()
    assert (plan["summary"]["undone"], plan["tasks"][0]["undone"]) == (1, True)
    assert (await served.post(f"{path}/undo", {})).status_code == 409


async def is_at(served: Served, plan_id: str, wanted: str) -> bool:
    return await status(served, plan_id) == wanted


async def test_a_plan_from_submission_to_its_end(each_served: Served) -> None:
    served = each_served
    made = await served.post("/v1/plans", QUESTION, "all")
    assert made.status_code == 201
    plan_id = made.json()["plan_id"]

    async def asked() -> bool:
        return bool((await served.get("/v1/questions")).json()["questions"])

    await until(asked)
    [question] = (await served.get("/v1/questions")).json()["questions"]
    assert (question["plan_id"], question["task"]) == (plan_id, "colour")
    assert question["question"]["choices"] == ["red", "blue"]
    path = f"/v1/plans/{plan_id}/answer"
    wrong = await served.post(path, {"task": "colour", "answer": "green"})
    assert wrong.status_code == 409
    answered = await served.post(path, {"task": "colour", "answer": "red"})
    assert answered.status_code == 200, answered.text
    await until(lambda: ended(served, plan_id))
    plan = (await served.get(f"/v1/plans/{plan_id}")).json()
    assert plan["tasks"][1]["result"]["stdout"] == "red"
    changed = await served.post(
        f"/v1/plans/{plan_id}/change-answer", {"task": "colour", "answer": "blue"}
    )
    assert changed.status_code == 200, changed.text
    await until(lambda: painted(served, plan_id, "blue"))
    assert (await served.get("/v1/questions")).json() == {"questions": [], "next": None}


async def ended(served: Served, plan_id: str) -> bool:
    return await status(served, plan_id) == "completed"


async def painted(served: Served, plan_id: str, colour: str) -> bool:
    plan = (await served.get(f"/v1/plans/{plan_id}")).json()
    result = plan["tasks"][1]["result"]
    return plan["status"] == "completed" and result["stdout"] == colour


async def test_a_key_is_carried_out_once(each_served: Served) -> None:
    served = each_served
    body = {"text": TWO}
    first = await served.post("/v1/plans", body, key="k")
    before = await versions(served)
    again = await served.post("/v1/plans", body, key="k")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = await served.post("/v1/plans", {"text": "1. Run `false`"}, key="k")
    assert (other.status_code, other.json()["type"]) == (422, "urn:planfold:problem:key-reused")
    elsewhere = await served.post(f"/v1/plans/{first.json()['plan_id']}/cancel", {}, key="k")
    assert elsewhere.status_code == 422
    # Another sender does not get the answer of the first.
    write = await served.post("/v1/plans", body, "write", key="k")
    assert write.status_code == 422
    assert await versions(served) == before


async def test_a_key_counts_after_a_restart(each_database: str) -> None:
    async with serve(each_database, work=False) as served:
        made = await served.post("/v1/plans", {"text": TWO}, key="k")
        token = served.tokens["all"]
        plan = made.json()["plan_id"]
        wrong = await served.post(f"/v1/plans/{plan}/cancel", {"reason": "late"}, key="c")
        assert wrong.status_code == 200
    async with serve(each_database, work=False) as served:
        again = await served.post("/v1/plans", {"text": TWO}, token, key="k")
        assert (again.status_code, again.json()["plan_id"]) == (201, plan)
        body = {"reason": "late"}
        again = await served.post(f"/v1/plans/{plan}/cancel", body, token, key="c")
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_requests_with_one_key_at_the_same_time(each_served: Served) -> None:
    served = each_served
    posts = [served.post("/v1/plans", {"text": TWO}, key="k") for _ in range(10)]
    found = await asyncio.gather(*posts)
    assert {answer.status_code for answer in found} <= {201, 409}
    assert 201 in {answer.status_code for answer in found}
    assert {a.json()["type"] for a in found if a.status_code == 409} <= {
        "urn:planfold:problem:in-progress"
    }
    assert len((await served.get("/v1/plans")).json()["plans"]) == 1


async def test_two_instances_and_one_key(postgres_database: str) -> None:
    async with (
        serve(postgres_database, work=False) as one,
        serve(postgres_database, work=False) as other,
    ):
        token = one.tokens["all"]
        posts = [
            each.post("/v1/plans", {"text": TWO}, token, key=f"k{number}")
            for number in range(10)
            for each in (one, other)
        ]
        found = await asyncio.gather(*posts)
        assert {answer.status_code for answer in found} <= {201, 409}
        assert len((await one.get("/v1/plans")).json()["plans"]) == 10


@pytest.mark.parametrize("key", ["", "a b", "é".encode(), "x" * 201, "a\tb"])
async def test_a_write_needs_a_key(served: Served, key: Any) -> None:
    headers: Any = served.headers() | ({"Idempotency-Key": key} if key else {})
    answer = await served.http.post("/v1/plans", json={"text": TWO}, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:planfold:problem:key")
    assert await versions(served) == 0


async def test_a_refusal_does_not_use_up_the_key(served: Served) -> None:
    bad = await served.post("/v1/plans", {"text": "1. Run `true` {#a}\n2. Run `x` {#a}"}, key="k")
    assert bad.status_code == 422
    assert bad.json()["faults"]
    good = await served.post("/v1/plans", {"text": TWO}, key="k")
    assert good.status_code == 201


async def test_a_command_for_another_version_is_refused(each_database: str) -> None:
    async with serve(each_database, work=False) as served:
        plan_id = await served.submit(TWO, approve=False)
        looked = await served.get(f"/v1/plans/{plan_id}")
        tag = looked.headers["etag"]
        unchanged = await served.get(f"/v1/plans/{plan_id}", if_none_match=tag)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        approval = {"revision_hash": looked.json()["revision_hash"]}
        path = f"/v1/plans/{plan_id}"
        first = await served.post(f"{path}/approve", approval, key="a", if_match=tag)
        assert first.status_code == 200
        late = await served.post(f"{path}/cancel", {}, if_match=tag)
        assert (late.status_code, late.json()["type"]) == (412, "urn:planfold:problem:version")
        # A repetition is answered, although the version has changed since.
        again = await served.post(f"{path}/approve", approval, key="a", if_match=tag)
        assert again.status_code == 200
        new = first.headers["etag"]
        assert (await served.post(f"{path}/cancel", {}, if_match=new)).status_code == 200
        odd = await served.post(f"{path}/retry", {"task": "first"}, if_match="12")
        assert odd.status_code == 400
        old = await served.get(f"{path}?version=1")
        assert old.json()["status"] == "awaiting_approval"
        assert (await served.get(f"{path}?version=99")).status_code == 404


async def test_an_approval_names_what_was_looked_at(served: Served) -> None:
    plan_id = await served.submit(TWO, approve=False)
    path = f"/v1/plans/{plan_id}"
    wrong = await served.post(f"{path}/approve", {"revision_hash": "0" * 12})
    assert wrong.status_code == 409
    assert (await served.post(f"{path}/approve", {})).status_code == 422
    assert await status(served, plan_id) == "awaiting_approval"


async def test_by_comes_from_the_token(each_database: str) -> None:
    async with serve(each_database, work=False) as served:
        bob = await make_token(served.credentials, "bob", Scope.Read, Scope.Write, Scope.Approve)
        made = await served.post("/v1/plans", {"text": TWO}, bob)
        plan_id, revision = made.json()["plan_id"], made.json()["revision_hash"]
        path = f"/v1/plans/{plan_id}/approve"
        claimed = await served.post(path, {"revision_hash": revision, "by": "ada"}, bob)
        assert claimed.status_code == 422
        assert (await served.post(path, {"revision_hash": revision}, bob)).status_code == 200
        cancel = await served.post(f"/v1/plans/{plan_id}/cancel", {"reason": "late"}, "write")
        assert cancel.status_code == 200
        log = (await served.get(f"/v1/plans/{plan_id}/log")).json()["events"]
        approved = next(event for event in log if event["event_type"] == "PlanApproved")
        assert approved["data"]["by"] == "bob"
        asked = [e for e in log if e["metadata"]["extra"]]
        assert next(e["metadata"]["extra"]["by"] for e in asked) == "bob"
        assert asked[-1]["metadata"]["extra"]["by"] == "write"
        assert len(asked[-1]["metadata"]["extra"]["token"]) == 16


async def test_a_token_without_approve_cannot_approve_by_the_way(served: Served) -> None:
    """As a token for an agent is made: it reads and writes."""
    agent = await make_token(served.credentials, "agent", Scope.Read, Scope.Write)
    refused = await served.post("/v1/plans", {"text": TWO, "approve": True}, agent)
    assert refused.status_code == 403
    made = await served.post("/v1/plans", {"text": TWO}, agent)
    plan_id = made.json()["plan_id"]
    path = f"/v1/plans/{plan_id}"
    for name, body in {
        "approve": {"revision_hash": made.json()["revision_hash"]},
        "reject": {},
        "answer": {"task": "first", "answer": "yes"},
        "change-answer": {"task": "first", "answer": "yes"},
        "budget": {"budget": {"cost": 1}},
        "revise": {"text": TWO, "approve": True},
    }.items():
        assert (await served.post(f"{path}/{name}", body, agent)).status_code == 403, name
    assert await status(served, plan_id) == "awaiting_approval"


async def test_the_other_commands(each_served: Served) -> None:
    served = each_served
    made = await served.post("/v1/plans", {"text": "1. Run `false` {#broken}", "approve": True})
    plan_id = made.json()["plan_id"]
    path = f"/v1/plans/{plan_id}"

    async def failed() -> bool:
        return await status(served, plan_id) == "failed"

    await until(failed)
    before = (await served.get(path)).json()["version"]
    assert (await served.post(f"{path}/retry", {"task": "broken"})).status_code == 200
    await until(failed)
    assert (await served.get(path)).json()["version"] > before
    why = (await served.get(f"{path}/why?task=broken")).json()
    assert why["reasons"][0]["kind"] == "failed"
    revised = await served.post(
        f"{path}/revise", {"text": "1. Run `true` {#whole}", "approve": True}
    )
    assert revised.status_code == 200, revised.text
    await until(lambda: ended(served, plan_id))
    assert (await served.get(f"{path}/stats")).json()["plan_id"] == plan_id
    assert (await served.post(f"{path}/replan", {"reason": "x"})).status_code == 409
    more = await served.post(f"{path}/budget", {"budget": {"cost": 1.5}})
    assert more.status_code in (200, 409)
    assert (await served.post(f"{path}/budget", {"budget": {}})).status_code == 409
    rejected = await served.post("/v1/plans", {"text": TWO})
    other = rejected.json()["plan_id"]
    answer = await served.post(f"/v1/plans/{other}/reject", {})
    assert answer.json()["status"] == "cancelled"
    log = (await served.get(f"/v1/plans/{other}/log")).json()["events"]
    assert "rejected by ada" in str(log)


BAD_BODIES: dict[str, tuple[bytes, int]] = {
    "no JSON": (b"{", 400),
    "not UTF-8": (b'{"text": "\xff"}', 400),
    "too deep": (b'{"draft": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", 400),
    "another type": (b"[]", 422),
    "nothing": (b"{}", 422),
    "unknown field": (b'{"text": "1. Run `true`", "by": "ada"}', 422),
    "two plans": (b'{"text": "1. Run `true`", "draft": {"tasks": []}}', 422),
    "text and wish": (b'{"text": "1. Run `true`", "wish": "x"}', 422),
    "no model": (b'{"wish": "make it"}', 409),
    "empty plan": (b'{"draft": {"tasks": []}}', 422),
    "a name of a plan": (b'{"text": "1. Run `true`", "plan_id": "../x"}', 422),
    "a line break": (b'{"text": "1. Run `true`", "plan_id": "x\\n"}', 422),
    "NUL": (b'{"draft": {"title": "a\\u0000", "tasks": [{"description": "x"}]}}', 422),
    "surrogate": (b'{"text": "1. Run `true` \\ud800"}', 400),
    "priority": (b'{"text": "1. Run `true`", "priority": 5000}', 422),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_body_is_refused_and_changes_nothing(served: Served, name: str) -> None:
    body, status_code = BAD_BODIES[name]
    headers = served.headers(Idempotency_Key="k", Content_Type="application/json")
    answer = await served.http.post("/v1/plans", content=body, headers=headers)
    assert answer.status_code == status_code, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert await versions(served) == 0


async def test_a_body_is_bounded_and_is_json(served: Served) -> None:
    plan_id = await served.submit(TWO, approve=False)
    path = f"/v1/plans/{plan_id}/cancel"
    large = await served.post(path, {"reason": "x" * 300_000})
    assert large.status_code == 413
    for token, status_code in {"nobody": 401, "read": 403}.items():  # before the body is read
        refused = await served.post(path, {"reason": "x" * 3_000_000}, token)
        assert refused.status_code == status_code
    missing = await served.post("/v1/plans/absent/cancel", {"reason": "x" * 3_000_000})
    assert missing.status_code == 404

    async def chunks() -> Any:
        for _ in range(400):
            yield b" " * 1_000

    headers = served.headers(Idempotency_Key="k", Content_Type="application/json")
    streamed = await served.http.post(path, content=chunks(), headers=headers)
    assert streamed.status_code == 413
    form = served.headers(Idempotency_Key="k") | {"Content-Type": "text/plain"}
    assert (await served.http.post(path, content=b"{}", headers=form)).status_code == 415
    assert await status(served, plan_id) == "awaiting_approval"


@pytest.mark.parametrize("plan_id", ["absent", "%00", "a%0ab", "%ff", "x" * 300])
async def test_a_plan_that_is_not_there(each_served: Served, plan_id: str) -> None:
    for path in ("", "/log", "/why", "/stats", "/events"):
        answer = await each_served.get(f"/v1/plans/{plan_id}{path}")
        assert answer.status_code == 404, (path, answer.text)
    answer = await each_served.post(f"/v1/plans/{plan_id}/cancel", {})
    assert answer.status_code == 404


async def test_a_token_is_no_plan(served: Served) -> None:
    [head] = [h for h in await served.app.store.heads("credential") if h.head["name"] == "ada"]
    assert (await served.get(f"/v1/plans/{head.aggregate_id}")).status_code == 404
    assert (await served.get(f"/v1/plans/{head.aggregate_id}/log")).status_code == 404


async def test_pages_of_plans(each_served: Served) -> None:
    served = each_served
    made = [await served.submit(TWO, approve=number % 2 == 0) for number in range(7)]
    await until(lambda: done(served, 4))
    found: list[str] = []
    after = ""
    while True:
        page = (await served.get(f"/v1/plans?limit=3{after}")).json()
        found += [plan["id"] for plan in page["plans"]]
        if page["next"] is None:
            break
        after = f"&before={page['next']}"
    assert found == made[::-1]
    waiting = (await served.get("/v1/plans?status=awaiting_approval")).json()["plans"]
    assert [plan["id"] for plan in waiting] == [made[5], made[3], made[1]]
    for bad in ("limit=0", "limit=9999", "status=x", "before=x", "before=nan~a", "x=1"):
        assert (await served.get(f"/v1/plans?{bad}")).status_code == 400, bad
    log = (await served.get(f"/v1/plans/{made[0]}/log?limit=2")).json()
    rest = (await served.get(f"/v1/plans/{made[0]}/log?after={log['next']}")).json()
    assert [e["version"] for e in log["events"] + rest["events"]] == list(
        range(1, len(rest["events"]) + 3)
    )


async def done(served: Served, number: int) -> bool:
    page = (await served.get("/v1/plans?status=completed")).json()
    return len(page["plans"]) == number


async def test_a_preview_records_nothing(served: Served) -> None:
    answer = await served.http.post(
        "/v1/plans/preview", json={"text": TWO}, headers=served.headers("read")
    )
    assert answer.status_code == 200
    assert answer.json()["waves"] == [[1], [2]]
    assert [task["label"] for task in answer.json()["tasks"]] == ["first", "second"]
    bad = await served.http.post(
        "/v1/plans/preview",
        json={"draft": {"tasks": [{"description": "x", "depends_on": ["y"]}]}},
        headers=served.headers("read"),
    )
    assert bad.status_code == 422
    assert bad.json()["faults"][0]["task"] == "1"
    assert await versions(served) == 0


async def test_figures_and_metrics(served: Served) -> None:
    await served.submit(TWO)
    await until(lambda: done(served, 1))

    async def counted() -> bool:
        found = (await served.get("/v1/stats")).json()["figures"]
        return bool(found["plans"] == {"completed": 1})

    await until(counted)
    text = (await served.get("/metrics")).text
    assert 'planfold_plans_ended_total{status="completed"} 1.0' in text
    schema = (await served.get("/v1/schema")).json()
    assert schema["title"] == "plan"


async def test_a_signal_is_given_once_to_the_plans_that_wait(served: Served) -> None:
    text = "1. Wait {#paid wait_for=payment.settled key=order-17}"
    plan_id = await served.submit(text)
    given = {"name": "payment.settled", "key": "order-17", "data": {"amount": 3}, "id": "e1"}
    first = await served.post("/v1/signals", given, key="one")
    assert first.json() == {"id": "e1", "new": True}
    assert (await served.post("/v1/signals", given, key="two")).json() == {"id": "e1", "new": False}
    other = await served.post("/v1/signals", given | {"data": 4}, key="three")
    assert other.status_code == 409
    await until(lambda: ended(served, plan_id))
    assert (await served.get(f"/v1/plans/{plan_id}")).json()["tasks"][0]["result"] == {"amount": 3}
    assert (await served.post("/v1/signals", given | {"name": "a b"})).status_code == 409
    assert (await served.post("/v1/signals", {"name": "x"})).status_code == 422


async def test_the_key_of_a_request_is_the_id_of_its_signal(served: Served) -> None:
    given = {"name": "x", "key": "k"}
    assert (await served.post("/v1/signals", given, key="same")).json()["new"] is True
    assert (await served.post("/v1/signals", given, key="same")).json()["new"] is False
    for other in (given | {"key": "l"}, given | {"data": 4}):
        reused = await served.post("/v1/signals", other, key="same")
        assert (reused.status_code, reused.json()["type"]) == (
            422,
            "urn:planfold:problem:key-reused",
        )


@pytest.mark.parametrize("key", ["signal/e1", "signal", "e1", "key-e1"])
async def test_no_key_of_a_request_is_that_of_a_signal(served: Served, key: str) -> None:
    submitted = await served.post("/v1/plans", {"text": "1. Run `true`"}, key=key)
    assert submitted.status_code == 201
    given = await served.post("/v1/signals", {"name": "x", "key": "k", "id": "e1"})
    assert given.json() == {"id": "e1", "new": True}


async def test_a_token_for_some_projects_gives_no_signals(served: Served) -> None:
    issued = await served.credentials.issue("some", [Scope.Write], lasts_s=60, projects=["a"])
    found = await served.post("/v1/signals", {"name": "x", "key": "k"}, issued.secret)
    assert found.status_code == 403
    assert "projects" in found.text


async def test_a_break_point_at_no_task_is_refused_as_the_document_says(served: Served) -> None:
    found = await served.post("/v1/plans", {"text": "1. Run `true`", "pause_before": ["x"]})
    submit = next(route for route in ROUTES if route.name == "submit")
    assert found.status_code == 404
    assert 404 in statuses_of(submit)
