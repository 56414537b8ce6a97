"""While the PostgreSQL server is down the service says so, and continues when it is back."""

from __future__ import annotations

import asyncio
import time

import pytest
from served import events_of, make_token, serve, until

from planfold import Transient
from planfold.service.problems import refusal_of
from planfold.types import Scope
from testbed.postgres import PostgresServer

TWO = {"text": "1. Run `true` {#a}\n2. Run `true` {#b}", "approve": True}


def test_a_refusal_does_not_name_the_database() -> None:
    """It is answered before authentication too."""
    problem = refusal_of(Transient("postgresql://10.0.0.1:5432/plans does not answer")).problem
    assert (problem.status, "10.0.0.1" in problem.detail) == (503, False)


@pytest.mark.soak  # each request waits for the database before it gives up
@pytest.mark.timeout(120)
async def test_requests_while_the_database_is_away() -> None:
    server = await asyncio.to_thread(PostgresServer)
    try:
        await asyncio.to_thread(server.start)
        async with serve(server.address()) as served:
            token = await make_token(served.credentials, "new", *Scope)
            first = await served.post("/v1/plans", TWO, key="first")
            headers = served.headers("all")
            async with served.http.stream("GET", "/v1/events", headers=headers) as stream:
                events = events_of(stream)
                position = (await anext(events)).id
                await asyncio.to_thread(server.stop, "kill")

                began = time.monotonic()
                for answer in await asyncio.gather(
                    served.get("/v1/plans"),
                    served.post("/v1/plans", TWO, key="second"),
                    served.get("/v1/me", token),
                    served.http.get("/readyz"),
                ):
                    assert answer.status_code == 503, answer.text
                    assert str(server.port) not in answer.text
                assert (await served.http.get("/livez")).status_code == 200
                took = time.monotonic() - began

                await asyncio.to_thread(server.start)

                async def back() -> bool:
                    return (await served.http.get("/readyz")).status_code == 200

                await until(back)
            again = await served.post("/v1/plans", TWO, key="first")
            assert again.json()["plan_id"] == first.json()["plan_id"]
            second = await served.post("/v1/plans", TWO, key="second")
            assert second.status_code == 201
            path = f"/v1/plans/{second.json()['plan_id']}/events"
            async with served.http.stream("GET", path, headers=headers) as stream:
                kinds = [event.data["event_type"] async for event in events_of(stream)]
            assert kinds[-1] == "PlanningCompleted"
            resumed = served.headers("all", Last_Event_ID=str(position))
            async with served.http.stream("GET", "/v1/events", headers=resumed) as stream:
                following = await anext(events_of(stream))
            assert following.data["aggregate_id"] == first.json()["plan_id"]
            assert following.data["version"] == 2
            assert took < 60, took
    finally:
        await asyncio.to_thread(server.close)
