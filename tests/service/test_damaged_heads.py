"""Lists where the line of a plan or a token was damaged: the others are there, and that one is
marked or made again from its log."""

from __future__ import annotations

import apsw
import asyncpg
import pytest
from served import serve

from planfold import Client
from planfold.databases import database_path
from planfold.service.remote_plans import RemotePlans
from planfold.types import Scope

DAMAGED = ["x", "{}", '{"status": "odd"}', "[1]", '{"status": "completed", "origins": 5}']
WORKING = [Scope.Read, Scope.Write, Scope.Approve]


async def damage(address: str, head: str, aggregate_id: str) -> None:
    """Write to the database behind planfold's back."""
    if path := database_path(address):
        with apsw.Connection(str(path)) as raw:
            raw.execute("UPDATE streams SET head = ? WHERE aggregate_id = ?", (head, aggregate_id))
        return
    connection = await asyncpg.connect(address)
    statement = "UPDATE planfold.streams SET head = $1 WHERE aggregate_id = $2"
    await connection.execute(statement, head, aggregate_id)
    await connection.close()


@pytest.mark.parametrize("head", DAMAGED)
async def test_a_list_marks_the_plan_whose_line_was_damaged(each_database: str, head: str) -> None:
    async with serve(each_database, work=False) as served:
        for plan_id in ("whole", "hurt"):
            body = {"text": "1. Run `true` {#a}", "plan_id": plan_id, "project": "red"}
            assert (await served.post("/v1/plans", body)).status_code == 201
        await damage(each_database, head, "hurt")
        listed = await served.get("/v1/plans")
        assert listed.status_code == 200, listed.text
        found = {plan["id"]: plan["status"] for plan in listed.json()["plans"]}
        assert found == {"whole": "awaiting_approval", "hurt": None}
        by_id = (await served.get("/v1/plans?id=hurt")).json()["plans"]
        assert [(plan["id"], plan["status"]) for plan in by_id] == [("hurt", None)]
        assert (await served.get("/v1/plans/hurt")).json()["status"] == "awaiting_approval"
        assert (await served.get("/v1/questions")).status_code == 200
        async with Client(served.address, served.tokens["all"]) as client:
            remote, local = await RemotePlans(client).plans(), await served.app.plans()
            assert {each.head.get("status") for each in remote} == {None, "awaiting_approval"}
            assert [each.aggregate_id for each in remote] == [each.aggregate_id for each in local]
            assert await RemotePlans(client).status("hurt") == "awaiting_approval"


async def test_a_damaged_line_is_shown_to_no_other_project(each_database: str) -> None:
    """The store knows no project of it; its log does."""
    async with serve(each_database, work=False) as served:
        for project in ("default", "red"):
            issued = await served.credentials.issue(
                project, WORKING, lasts_s=60, projects=[project]
            )
            served.tokens[project] = issued.secret
        body = {"text": "1. Run `true`", "plan_id": "hurt"}
        assert (await served.post("/v1/plans", body, "red")).status_code == 201
        await damage(each_database, "x", "hurt")
        for path in ("/v1/plans", "/v1/plans?id=hurt"):
            assert (await served.get(path, "default")).json()["plans"] == []
        assert (await served.get("/v1/plans/hurt", "red")).status_code == 200
        assert (await served.get("/v1/plans/hurt", "default")).status_code == 404


async def test_tokens_are_listed_from_their_log_where_a_line_was_damaged(
    each_database: str,
) -> None:
    async with serve(each_database, work=False) as served:
        before = (await served.get("/v1/tokens")).json()
        await damage(each_database, "x", f"credential-{before['tokens'][0]['id']}")
        assert (await served.get("/v1/tokens")).json() == before


async def test_a_stream_ends_with_a_plan_whose_line_was_damaged(each_database: str) -> None:
    async with serve(each_database) as served:
        plan_id = await served.submit("1. Run `true`")
        await served.app.result(plan_id)
        await damage(each_database, "x", plan_id)
        log = (await served.get(f"/v1/plans/{plan_id}/log")).json()["events"]
        answer = await served.get(f"/v1/plans/{plan_id}/events")
        assert answer.text.count("\nid: ") == len(log)
