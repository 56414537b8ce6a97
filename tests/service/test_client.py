"""``planfold.Client``: one list of methods for asynchronous and synchronous programs."""

from __future__ import annotations

import asyncio
import typing
from pathlib import Path

import pytest
from served import Served, serve, until

import planfold
from planfold import (
    Budget,
    Client,
    CommandRejected,
    ConfigurationError,
    Conflict,
    InvalidPlan,
    NotFound,
    PlanDraft,
    PlanStatus,
    TaskDraft,
    Transient,
)
from planfold.service.routes import ROUTES
from planfold.service.runtime_file import RuntimeFile, runtime_path, write_runtime_file
from planfold.types import EventFeed, Operation, Scope, Unclaimed, messages
from testbed.patience import PATIENCE_S

TWO = "1. Run `true` {#first}\n2. Run `true` {#second}"
WITHOUT_METHOD = {
    "live",
    "ready",
    "metrics",
    "openapi",
    "picture",
    "schema",
    "graph",
    "timeline",
    "task",
    "revision",
    "remaining",
    "sketch",
    "launch",
    "begin_session",
    "end_session",
    "tokens",
    "create_token",
    "revoke_token",
}


def test_every_other_route_has_a_method_with_its_types() -> None:
    renamed = {"plan_events": "events", "budget": "add_budget"}
    for route in ROUTES:
        if route.name in WITHOUT_METHOD:
            continue
        method = getattr(Client, renamed.get(route.name, route.name))
        returned = typing.get_type_hints(method)["return"]
        if route.media == "events":
            assert returned is EventFeed
        else:
            assert returned == Operation[route.response], route.name


async def test_asynchronous(served: Served) -> None:
    async with Client(served.address, served.tokens["all"]) as client:
        assert (await client.me()).scopes == tuple(Scope)
        assert (await client.preview(TWO)).waves == [[1], [2]]
        receipt = await client.submit(TWO)
        assert isinstance(receipt, messages.Receipt)
        with pytest.raises(Conflict, match="version 1, not 9"):
            await client.approve(receipt.plan_id, receipt.revision_hash, version=9)
        await client.approve(receipt.plan_id, receipt.revision_hash, version=receipt.version)
        events = [event async for event in client.events(receipt.plan_id)]
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        plan = await client.plan(receipt.plan_id)
        assert plan.status is PlanStatus.Completed
        assert (await client.plan(receipt.plan_id, version=1)).status.value == "awaiting_approval"
        assert [each.id for each in (await client.plans()).plans] == [receipt.plan_id]
        assert (await client.log(receipt.plan_id, limit=2)).next == events[1].position
        assert (await client.why(receipt.plan_id, "first")).task_id == 1
        assert await client.queue(receipt.plan_id) == Unclaimed({}, attended=False)
        assert (await client.time(receipt.plan_id)).plan_id == receipt.plan_id
        assert (await client.stats()).unreadable == []


async def test_synchronous(served: Served) -> None:
    def work() -> None:
        ask = TaskDraft(label="colour", description="Which?", choices=["red", "blue"])
        use = TaskDraft(description="Use it", depends_on=["colour"])
        with Client(served.address, served.tokens["all"]) as client:
            receipt = client.submit(PlanDraft(tasks=[ask, use]), approve=True, priority=3).run()
            [question] = client.questions().run().questions
            assert question.task == "colour"
            client.answer(receipt.plan_id, "colour", "red").run()
            client.change_answer(receipt.plan_id, "colour", "blue").run()
            client.answer(receipt.plan_id, 2, "used").run()
            with pytest.raises(CommandRejected, match="another answer would do so: 2"):
                client.change_answer(receipt.plan_id, "colour", "red").run()
            client.change_answer(receipt.plan_id, "colour", "red", repeat=[2]).run()
            with pytest.raises(InvalidPlan) as caught:
                client.revise(receipt.plan_id, PlanDraft(tasks=[])).run()
            assert caught.value.faults
            with pytest.raises(CommandRejected):
                client.replan(receipt.plan_id, "why not").run()
            with pytest.raises(CommandRejected):
                client.retry(receipt.plan_id, "colour").run()
            with pytest.raises(CommandRejected):
                client.add_budget(receipt.plan_id, Budget()).run()
            with pytest.raises(NotFound):
                client.cancel("absent").run()
            client.cancel(receipt.plan_id, reason="enough").run()
            kinds = [event.event_type for event in client.events(receipt.plan_id)]
            assert kinds[-1] == "PlanningCompleted"
            other = client.submit(TWO).run()
            assert client.reject(other.plan_id).run().status is PlanStatus.Cancelled
            with pytest.raises(CommandRejected, match="no model"):
                client.wish("anything").run()

    await asyncio.to_thread(work)


async def test_an_operation_is_sent_only_when_it_is_asked_for_and_counts_once(
    served: Served,
) -> None:
    async with Client(served.address, served.tokens["all"]) as client:
        submission = client.submit(TWO)
        assert (await client.plans()).plans == []
        assert await submission == await submission
        assert len((await client.plans()).plans) == 1
        first = await client.submit(TWO, key="mine")
        assert await client.submit(TWO, key="mine") == first


async def test_what_a_token_may_not_do(served: Served) -> None:
    async with Client(served.address, served.tokens["read"]) as client:
        with pytest.raises(CommandRejected, match="scope write"):
            await client.submit(TWO)
    async with Client(served.address, "pft_wrong") as client:
        with pytest.raises(ConfigurationError, match="send a valid token"):
            await client.plans()
        with pytest.raises(ConfigurationError):
            [event async for event in client.events()]


async def test_a_service_that_is_restarted(database: str) -> None:
    """A feed continues where it was, and a write waits for the service."""
    async with serve(database, work=False) as served:
        port = int(served.address.rpartition(":")[2])
        token = served.tokens["all"]
        client = Client(served.address, token)
        first = await client.submit(TWO, approve=True)
        found: list[int] = []
        following = asyncio.create_task(follow(client, first.plan_id, found))
        await until(lambda: len(found) >= 3)
    with pytest.raises(Transient, match="cannot be reached"):
        await client.plans()
    from planfold.service.server import Binding

    async with serve(database, binding=Binding(port=port)) as served:
        async with asyncio.timeout(PATIENCE_S):
            await following
        log = await client.log(first.plan_id)
        assert found == [event.position for event in log.events]
        await client.aclose()


async def follow(client: Client, plan_id: str, found: list[int]) -> None:
    async for event in client.events(plan_id):
        found.append(event.position)


async def test_the_service_on_this_machine_is_found(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANFOLD_DB", served.app.settings.database)
    with pytest.raises(ConfigurationError, match="no service runs here"):
        Client()
    path = runtime_path(served.app.settings.database)
    runtime = RuntimeFile(address=served.address, token=served.tokens["read"], pid=1)
    write_runtime_file(path, runtime)
    async with planfold.Client() as client:
        assert (await client.me()).name == "read"
    with pytest.raises(ConfigurationError, match="give a token for https://other"):
        Client("https://other.example.org")
