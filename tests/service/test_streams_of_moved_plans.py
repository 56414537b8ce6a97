"""Event streams of plans that are archived while they are read, and of forks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from served import HASTY, Served, events_of, serve
from test_event_streams import PLAN, positions, read_some, stream

from planfold import Client, NotFound, PlanDraft, TaskDraft
from planfold.transfer.export_file import ExportFile
from planfold.transfer.importer import import_file
from testbed.patience import PATIENCE_S

LARGE = PlanDraft(title="large", tasks=[TaskDraft(description="x" * 10_000) for _ in range(100)])


async def archive(served: Served, folder: Path) -> str:
    """Archive all plans that have ended; the file."""
    done = await served.app.archive(folder, older_than=-1)
    [file] = done.files
    return str(file)


async def test_a_plan_that_is_archived_while_it_is_read(each_database: str, tmp_path: Path) -> None:
    """The stream ends, and the answer to the next request says where the plan is."""
    async with serve(each_database, work=False) as served:
        plan_id = await served.app.submit("1. Run `true`")
        path = f"/v1/plans/{plan_id}/events"
        async with asyncio.timeout(PATIENCE_S), stream(served, path) as response:
            events = events_of(response)
            first = await anext(events)
            # It ends elsewhere, and is archived before this stream has read how.
            await served.app.cancel(plan_id)
            file = await archive(served, tmp_path / "archive")
            rest = [event async for event in events]  # it ends
        got = [event.data["version"] for event in (first, *rest)]
        assert got == list(range(1, len(got) + 1))
        answer = await served.get(path, last_event_id=str(first.id))
        assert (answer.status_code, file in answer.text) == (404, True)
        async with Client(served.address, served.tokens["read"]) as client:
            with pytest.raises(NotFound, match="was archived"):
                [event async for event in client.events(plan_id, after=first.id)]
        with Path(file).open("rb") as archived:  # noqa: ASYNC230
            await import_file(served.app.store, ExportFile(archived, "archive"))
        found, over = await read_some(served, path, 0, 1_000)
        assert not over
        assert [event.id for event in found] == await positions(served, plan_id)
        assert found[0].data["event_id"] == first.data["event_id"]


async def test_what_a_slow_client_has_not_read_when_the_plan_is_archived(
    database: str, tmp_path: Path
) -> None:
    """It is not waited for: the stream of a plan that is gone ends."""
    limits = replace(HASTY, heartbeat_s=0.05)
    async with serve(database, work=False, limits=limits) as served:
        plan_id = await served.app.submit(LARGE)
        for number in range(20):
            await served.app.checkpoint(plan_id, f"checkpoint {number} " + "x" * 50)
        await served.app.cancel(plan_id)
        async with (
            asyncio.timeout(PATIENCE_S),
            stream(served, f"/v1/plans/{plan_id}/events") as response,
        ):
            events = events_of(response)
            await anext(events)
            await archive(served, tmp_path / "archive")
            versions = [event.data["version"] async for event in events]
        assert versions == list(range(2, 2 + len(versions)))


async def test_the_stream_of_all_plans_continues_over_an_archive(
    each_database: str, tmp_path: Path
) -> None:
    async with serve(each_database, work=False) as served:
        ended = await served.app.submit("1. Run `true`")
        await served.app.cancel(ended)
        async with asyncio.timeout(PATIENCE_S), stream(served, "/v1/events") as response:
            events = events_of(response)
            seen = [await anext(events)]
            await archive(served, tmp_path / "archive")
            later = await served.app.submit("1. Run `true`")
            while seen[-1].data["aggregate_id"] != later:
                seen.append(await anext(events))
        ids = [event.id for event in seen]
        assert ids == sorted(set(ids))
        found, _ = await read_some(served, "/v1/events", seen[0].id, 1)
        assert found[0].data["aggregate_id"] == later  # what was archived is left out


@pytest.mark.parametrize("at", ["the end", "the beginning"])
async def test_the_stream_of_a_fork_has_its_own_events(
    each_served: Served, tmp_path: Path, at: str
) -> None:
    """Its history is that of the origin up to there, which it names; the events of its own stream
    begin with the fork. It ends with the fork, also where nothing was left to do."""
    served = each_served
    plan_id = await served.submit(PLAN)
    await served.app.result(plan_id)
    version = None if at == "the end" else 1
    repeat = () if at == "the end" else ("t1", "t2", "t3", "t4")
    fork = await served.app.fork(plan_id, at=version, repeat=repeat, approved_by="ada")
    path = f"/v1/plans/{fork.plan_id}/events"
    found, over = [], False
    async with asyncio.timeout(PATIENCE_S):
        while not over:
            more, over = await read_some(served, path, found[-1].id if found else 0, 1)
            found += more
    first = found[0].data
    assert first["event_type"] == "PlanForked"
    assert (first["data"]["origin"], first["data"]["version"]) == (plan_id, fork.version)
    versions = [event.data["version"] for event in found]
    assert versions == list(range(versions[0], versions[0] + len(versions)))
    assert {event.data["aggregate_id"] for event in found} == {fork.plan_id}
    assert [event.id for event in found] == await positions(served, fork.plan_id)
    log = (await served.get(f"/v1/plans/{fork.plan_id}/log?limit=500")).json()["events"]
    assert [event.data for event in found] == log
    async with Client(served.address, served.tokens["read"]) as client:
        async with asyncio.timeout(PATIENCE_S):  # it ends, too
            feed = [event.event_id async for event in client.events(fork.plan_id)]
    assert feed == [event.data["event_id"] for event in found]


async def test_a_fork_and_its_origin_are_archived_together_while_the_fork_is_read(
    each_served: Served, tmp_path: Path
) -> None:
    served = each_served
    plan_id = await served.submit(PLAN)
    await served.app.result(plan_id)
    fork = await served.app.fork(plan_id)
    path = f"/v1/plans/{fork.plan_id}/events"
    found, _ = await read_some(served, path, 0, 1_000)
    assert [event.id for event in found] == await positions(served, fork.plan_id)
    await archive(served, tmp_path / "archive")
    for name in (plan_id, fork.plan_id):
        answer = await served.get(f"/v1/plans/{name}/events", last_event_id=str(found[-1].id))
        assert (answer.status_code, "was archived" in answer.text) == (404, True)
