"""Schedules over HTTP: who may add and see them, and one client for both kinds of programs."""

from __future__ import annotations

import asyncio

import pytest
from served import Served

from planfold import Client, CommandRejected, InvalidPlan, NotFound, PlanDraft, TaskDraft
from planfold.access.credential import Scope
from planfold.types import messages

ASK = {"tasks": [{"description": "Well?", "choices": ["yes", "no"]}]}
NIGHTLY = {"name": "nightly", "cron": "0 2 * * *", "tz": "Europe/Zurich", "draft": ASK}


async def test_a_schedule_from_its_beginning_to_its_end(served: Served) -> None:
    first = await served.post("/v1/schedules", NIGHTLY | {"approve": True}, key="one")
    assert first.status_code == 201, first.text
    assert (first.json()["approved_by"], first.json()["tags"]) == ("ada", ["schedule=nightly"])
    again = await served.post("/v1/schedules", NIGHTLY | {"approve": True}, key="one")
    assert again.json() == first.json()
    listed = (await served.get("/v1/schedules")).json()["schedules"]
    assert listed == [first.json()] == [(await served.get("/v1/schedules/nightly")).json()]
    for _ in range(2):
        run = await served.post("/v1/schedules/nightly/run", {}, key="run")
        assert run.json()["previous"] == "nightly-run-1", run.text
    assert (await served.get("/v1/plans/nightly-run-1")).json()["status"] == "awaiting_answer"
    refused = await served.post("/v1/schedules/nightly/run", {})
    assert (refused.status_code, "has not ended" in refused.text) == (409, True)
    paused = await served.post("/v1/schedules/nightly/pause", {"reason": "why"})
    assert (paused.json()["paused"], paused.json()["next_at"]) == (True, None)
    assert (await served.post("/v1/schedules/nightly/unpause", {})).json()["next_at"] is not None
    events = await served.app.store.read_versions("schedule/nightly")
    said = [event.metadata.extra.get("by") for event in events]
    assert said == ["ada", "ada", None, "ada", "ada"]  # a worker confirmed the submission
    removed = await served.http.delete("/v1/schedules/nightly", headers=served.headers())
    assert removed.json()["name"] == "nightly"
    assert (await served.get("/v1/schedules/nightly")).status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"cron": "0 2 * *"}, 409, "it has 4 fields"),
        ({"tz": "Mars"}, 409, "there is no time zone"),
        ({"name": "a b"}, 422, "name"),
        ({"overlap": "x"}, 422, "overlap"),
        ({"draft": {"tasks": []}}, 422, "has no tasks"),
        ({"text": "1. Run `true`"}, 422, "exactly one of text and draft"),
    ],
)
async def test_what_is_refused(
    served: Served, change: dict[str, object], status: int, said: str
) -> None:
    found = await served.post("/v1/schedules", NIGHTLY | change)
    assert (found.status_code, said in found.text) == (status, True), found.text
    assert (await served.get("/v1/schedules")).json() == {"schedules": []}


async def test_approving_needs_its_scope_and_projects_are_apart(served: Served) -> None:
    assert (await served.post("/v1/schedules", NIGHTLY, "read")).status_code == 403
    refused = await served.post("/v1/schedules", NIGHTLY | {"approve": True}, "write")
    assert refused.status_code == 403
    made = await served.post("/v1/schedules", NIGHTLY, "write")
    assert made.json()["approved_by"] is None
    approved = NIGHTLY | {"name": "approved", "approve": True}
    await served.post("/v1/schedules", approved)
    assert (await served.post("/v1/schedules/approved/run", {}, "write")).status_code == 403
    assert (await served.post("/v1/schedules/nightly/run", {}, "write")).status_code == 200
    waits = (await served.get("/v1/plans/nightly-run-1")).json()["status"]
    assert waits == "awaiting_approval"
    scopes = [Scope.Read, Scope.Write]
    issued = await served.credentials.issue("blue", scopes, lasts_s=60, projects=["blue"])
    blue = issued.secret
    assert (await served.get("/v1/schedules", blue)).json() == {"schedules": []}
    for path, way in (("", "GET"), ("", "DELETE"), ("/run", "POST"), ("/pause", "POST")):
        headers = served.headers(blue, Idempotency_Key=f"key{path}{way}")
        answer = await served.http.request(
            way, f"/v1/schedules/nightly{path}", headers=headers, json={} if path else None
        )
        assert answer.status_code == 404, answer.text
    mine = await served.post("/v1/schedules", NIGHTLY | {"name": "mine"}, blue)
    assert mine.json()["project"] == "blue"
    assert [s["name"] for s in (await served.get("/v1/schedules", blue)).json()["schedules"]] == [
        "mine"
    ]


async def test_an_edit_needs_the_scopes_of_what_it_changes(served: Served) -> None:
    await served.post("/v1/schedules", NIGHTLY, "write")
    edit = "/v1/schedules/nightly/edit"
    found = await served.post(edit, {"cron": "30 3 * * *", "catch_up": "all"}, "write")
    assert found.status_code == 200, found.text
    kept = found.json()
    assert (kept["cron"], kept["tz"], kept["catch_up"]) == ("30 3 * * *", "Europe/Zurich", "all")
    assert (await served.post(edit, {"approve": True}, "write")).status_code == 403
    approved = (await served.post(edit, {"approve": True})).json()
    assert approved == kept | {"approved_by": "ada"}
    assert (await served.post(edit, {"cron": "* * * * *"}, "write")).status_code == 403
    other = "---\nparams: {who: {default: all}}\n---\n1. Run `echo $params.who`\n"
    changed = await served.post(edit, {"text": other, "params": {"who": "you"}, "tags": ["x"]})
    assert changed.json()["approved_by"] is None
    assert changed.json()["tags"] == ["schedule=nightly", "x"]
    assert changed.json()["revision_hash"] != kept["revision_hash"]
    for body, status, said in (
        ({"cron": "60 * * * *"}, 409, "its minute cannot be '60'"),
        ({"params": {"who": "me"}}, 409, "give the plan again with them"),
        ({"overlap": "x"}, 422, "'x' is not one of allow, queue, skip"),
        ({"text": "1. Run `true`", "draft": ASK}, 422, "exactly one of text and draft"),
    ):
        refused = await served.post(edit, body)
        assert (refused.status_code, said in refused.text) == (status, True), refused.text
    assert (await served.get("/v1/schedules/nightly")).json() == changed.json()


async def test_the_client(served: Served) -> None:
    def work() -> None:
        with Client(served.address, served.tokens["all"]) as client:
            added = client.add_schedule("n", "0 * * * *", "1. Ask how it went (yes/no)").run()
            found = client.schedules().run()
            assert isinstance(found, messages.SchedulePage)
            assert found.schedules == [added] == [client.schedule("n").run()]
            edited = client.edit_schedule("n", cron="@daily", overlap="allow").run()
            assert (edited.cron, edited.overlap, edited.title) == ("@daily", "allow", added.title)
            plan = PlanDraft(title="T", tasks=[TaskDraft(description="How?", choices=["a", "b"])])
            assert client.edit_schedule("n", plan=plan, approve=True).run().title == "T"
            assert client.pause_schedule("n", reason="x").run().paused
            with pytest.raises(CommandRejected, match="unpause it first"):
                client.run_schedule("n").run()
            assert not client.unpause_schedule("n").run().paused
            assert client.run_schedule("n").run().previous == "n-run-1"
            with pytest.raises(InvalidPlan):
                client.add_schedule("m", "0 * * * *", PlanDraft(tasks=[])).run()
            assert client.remove_schedule("n").run().name == "n"
            with pytest.raises(NotFound):
                client.schedule("n").run()

    await asyncio.to_thread(work)
