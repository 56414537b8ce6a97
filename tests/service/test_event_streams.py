"""Server-Sent Events: each event once and in order, over any number of cut connections; clients
that do not read are dropped, and the others do not notice."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from served import HASTY, Served, Sse, events_of, make_token, serve, until

from planfold import PlanDraft, PlanStatus, TaskDraft
from planfold.access.credential import Scope
from planfold.log import Query
from testbed.patience import PATIENCE_S

PLAN = "\n".join(f"{n}. Run `true` {{#t{n}}}" for n in range(1, 5))


@asynccontextmanager
async def stream(
    served: Served, path: str, last: int = 0, token: str = "read"
) -> AsyncIterator[httpx2.Response]:
    headers = served.headers(token) | ({"Last-Event-ID": str(last)} if last else {})
    async with served.http.stream("GET", path, headers=headers) as response:
        yield response


async def positions(served: Served, plan_id: str | None = None) -> list[int]:
    query = Query(stream_id="plan", aggregate_id=plan_id)
    return [envelope.position for envelope in await served.app.log.read(query)]


async def read_some(served: Served, path: str, last: int, most: int) -> tuple[list[Sse], bool]:
    """At most so many events after a position, then the connection is cut; and whether the plan
    has ended."""
    found: list[Sse] = []
    async with stream(served, path, last) as response:
        if response.status_code == 204:
            return found, True
        assert response.status_code == 200
        async for event in events_of(response):
            found.append(event)
            if len(found) == most:
                break
    return found, False


@pytest.mark.parametrize("when", ["while it runs", "afterwards"])
async def test_a_connection_that_is_cut_at_every_event(each_served: Served, when: str) -> None:
    served = each_served
    plan_id = await served.submit(PLAN)
    if when == "afterwards":
        await served.app.result(plan_id)
    path, found, over = f"/v1/plans/{plan_id}/events", [], False
    async with asyncio.timeout(PATIENCE_S):
        while not over:
            more, over = await read_some(served, path, found[-1].id if found else 0, 1)
            found += more
    assert [event.id for event in found] == await positions(served, plan_id)
    assert [event.data["version"] for event in found] == list(range(1, len(found) + 1))
    assert all(event.data["position"] == event.id for event in found)
    log = (await served.get(f"/v1/plans/{plan_id}/log?limit=500")).json()["events"]
    assert [event.data for event in found] == log


async def test_a_cut_after_each_number_of_events(served: Served) -> None:
    plan_id = await served.submit(PLAN)
    await served.app.result(plan_id)
    path, whole = f"/v1/plans/{plan_id}/events", await positions(served, plan_id)
    for cut in range(1, len(whole)):
        first, _ = await read_some(served, path, 0, cut)
        rest, _ = await read_some(served, path, first[-1].id, len(whole))
        assert [event.id for event in first + rest] == whole, cut


async def test_the_stream_of_all_plans(each_served: Served) -> None:
    """It has the events of plans that begin later, and none of tokens."""
    served = each_served
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            plan_id = await served.submit(PLAN)
            while not await all_read(served, plan_id, found):
                last = found[-1] if found else 0
                [event], _ = await read_some(served, "/v1/events", last, 1)
                assert event.data["stream_id"] == "plan"
                found.append(event.id)
    assert found == await positions(served)


async def all_read(served: Served, plan_id: str, found: list[int]) -> bool:
    ended = await served.app.status(plan_id) is PlanStatus.Completed
    return ended and len(found) == len(await positions(served))


async def test_the_stream_of_a_plan_ends_with_it(each_served: Served) -> None:
    served = each_served
    plan_id = await served.submit(PLAN)
    async with stream(served, f"/v1/plans/{plan_id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        found = [event async for event in events_of(response)]  # it ends
    assert found[-1].data["event_type"] == "PlanningCompleted"
    async with stream(served, f"/v1/plans/{plan_id}/events", found[-1].id) as response:
        assert response.status_code == 204


async def test_a_plan_that_is_taken_up_again(served: Served) -> None:
    plan_id = await served.submit("1. Run `false` {#a}")
    await served.app.result(plan_id)
    path = f"/v1/plans/{plan_id}/events"
    first, _ = await read_some(served, path, 0, 1_000)
    await served.app.retry(plan_id, "a")
    second, over = await read_some(served, path, first[-1].id, 1_000)
    assert not over
    assert [event.id for event in first + second] == await positions(served, plan_id)


@pytest.mark.parametrize("last", ["x", "-1", "1" * 19, "9" * 12, "1.5"])
async def test_a_position_that_is_none(served: Served, last: str) -> None:
    answer = await served.get("/v1/events", last_event_id=last)
    assert answer.status_code == 400


async def test_a_stream_without_events_shows_that_it_lives(served: Served) -> None:
    async with stream(served, "/v1/events") as response:
        beats = 0
        async for line in response.aiter_lines():
            beats += line == ": "
            if beats == 3:
                break


async def test_a_stream_ends_with_its_token(served: Served) -> None:
    token = await make_token(served.credentials, "eve", Scope.Read)
    principal = await served.credentials.find(token, ["token"])
    assert principal is not None
    async with stream(served, "/v1/events", token=token) as response:
        await served.credentials.revoke(principal.id)
        assert [event async for event in events_of(response)] == []
    assert (await served.get("/v1/events", token)).status_code == 401


async def test_a_busy_stream_ends_with_its_token_too(served: Served) -> None:
    token = await make_token(served.credentials, "eve", Scope.Read)
    principal = await served.credentials.find(token, ["token"])
    assert principal is not None

    async def keep_busy() -> None:
        while True:
            await served.app.submit("1. Run `true`")

    busy = asyncio.create_task(keep_busy())
    try:
        async with (
            asyncio.timeout(PATIENCE_S),
            stream(served, "/v1/events", token=token) as response,
        ):
            number = 0
            async for _ in events_of(response):  # it ends
                number += 1
                if number == 3:
                    await served.credentials.revoke(principal.id)
    finally:
        busy.cancel()


async def test_a_token_may_have_so_many_streams(database: str) -> None:
    limits = replace(HASTY, streams=3, streams_per_token=2)
    async with (
        serve(database, limits=limits) as served,
        stream(served, "/v1/events") as one,
        stream(served, "/v1/events") as other,
    ):
        assert (one.status_code, other.status_code) == (200, 200)
        async with stream(served, "/v1/events") as third:
            assert third.status_code == 429
        async with (
            stream(served, "/v1/events", token="all") as fourth,
            stream(served, "/v1/events", token="all") as fifth,
        ):
            assert (fourth.status_code, fifth.status_code) == (200, 429)


async def test_what_is_written_is_sent_at_once(served: Served) -> None:
    """Else the kernel waits 40 ms for more, after the head of each answer."""
    async with stream(served, "/v1/events"):
        sockets = [
            each.get_extra_info("socket")
            for each in gc.get_objects()
            if isinstance(each, asyncio.WriteTransport) and each.get_extra_info("peername")
        ]
        port = int(served.address.rpartition(":")[2])
        open_ones = [each for each in sockets if each.fileno() >= 0]
        mine = [each for each in open_ones if each.getsockname()[1] == port]
        assert mine
        for each in mine:
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_place_is_free_when_its_client_has_left(served: Served) -> None:
    for _ in range(5):
        async with stream(served, "/v1/events") as response:
            assert response.status_code == 200
            assert served.service.streams.taken >= 1
    await until(lambda: served.service.streams.taken == 0)


ALONE = 200  # plans before the slow client comes


@pytest.mark.soak  # a busy machine is slow to drop it
@pytest.mark.parametrize("bytes_a_second", [0, 1, 20])
async def test_a_client_that_hardly_reads_is_dropped_and_the_others_get_theirs(
    database: str, bytes_a_second: int
) -> None:
    limits = replace(HASTY, write_s=3.0)  # more than a busy machine keeps the other one waiting
    async with serve(database, work=False, limits=limits) as served:
        got: list[Any] = []
        delays: list[float] = []
        tasks = [asyncio.create_task(read_all(served, got, delays))]
        await until(lambda: served.service.streams.taken == 1)
        for _ in range(ALONE):
            await submit_large(served)
        await until(lambda: len(got) >= ALONE)
        slow = await unread_stream(served, "/v1/events?new=true")
        tasks.append(asyncio.create_task(sip(slow, bytes_a_second)))
        try:
            await until(lambda: served.service.streams.taken == 2)
            sent, largest = await submit_until_dropped(served)
            sent += ALONE
            await until(lambda: len(got) >= sent)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            slow.close()
        assert served.service.dropped == 1
        await until(lambda: served.service.streams.taken == 0)
        assert [each.data["version"] for each in got] == [1] * sent
        assert 0 < largest < 600_000  # of several MB that were sent
        assert p99(delays[ALONE:]) < limits.write_s / 2  # they do not wait until it is dropped


def p99(delays: list[float]) -> float:
    return sorted(delays)[len(delays) * 99 // 100]


async def submit_large(served: Served) -> None:
    tasks = [TaskDraft(description="x" * 19_000) for _ in range(10)]
    await served.app.submit(PlanDraft(title="large", tasks=tasks))
    await asyncio.sleep(0.02)


async def submit_until_dropped(served: Served) -> tuple[int, int]:
    """How many plans were submitted, and the largest buffer of a connection then, in bytes."""
    sent, largest = 0, 0
    connections = [each for each in gc.get_objects() if isinstance(each, asyncio.WriteTransport)]
    while not served.service.dropped:
        await submit_large(served)
        sent += 1
        largest = max(largest, *(each.get_write_buffer_size() for each in connections))
    return sent, largest


async def read_all(served: Served, got: list[Any], delays: list[float]) -> None:
    """``delays``: seconds from the record of each event until it is here."""
    async with stream(served, "/v1/events", token="all") as response:
        async for event in events_of(response):
            got.append(event)
            delays.append(served.app.store.clock() - event.data["recorded_at"])


async def sip(connection: socket.socket, bytes_a_second: int) -> None:
    """Read a byte from time to time."""
    while bytes_a_second:
        await asyncio.get_running_loop().sock_recv(connection, 1)
        await asyncio.sleep(1 / bytes_a_second)


async def unread_stream(served: Served, path: str) -> socket.socket:
    """A client that asks for a stream, and then reads nothing."""
    host, port = served.address.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    head += f"Authorization: Bearer {served.tokens['read']}\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(connection, head.encode())
    await until(lambda: served.service.streams.taken == 1)
    return connection
