"""A handler of one's own gets what the planner gets: persistence, the concurrency check,
metadata, subscriptions. The account is the one of docs/howto/aggregates.md."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from planfold import CommandRejected, Conflict, NotFound, open_app
from planfold.app import App
from planfold.errors import ConfigurationError, CorruptLog
from planfold.eventstore.envelope import Query, Undecoded
from planfold.eventstore.port import Append
from planfold.handler import Metadata
from planfold.runtime.aggregate import PLAN, Aggregate
from planfold.testing import scenario as harness
from testbed.patience import PATIENCE_S

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "aggregates.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def from_the_page() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(BLOCKS[0].replace("asyncio.run(main())", ""), str(PAGE), "exec"), names)
    return names


page = SimpleNamespace(**from_the_page())
ACCOUNT: Aggregate = page.ACCOUNT


async def account(app: App, name: str = "ada") -> Any:
    return await app.dispatcher.view(ACCOUNT, name)


async def send(app: App, command: Any, name: str = "ada", **how: Any) -> list[Any]:
    return await app.dispatcher.send(ACCOUNT, name, command, **how)


async def test_its_state_survives_a_restart(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        assert await send(app, page.Deposit(500)) == [page.Deposited(500)]
        await send(app, page.Withdraw(120))
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        assert (await account(app)).balance == 380
        assert [h.version for h in await app.store.heads("account")] == [2]
        assert await app.plans() == []


async def test_a_refusal_writes_nothing(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        with pytest.raises(CommandRejected, match="the balance is 0"):
            await send(app, page.Withdraw(101))
        with pytest.raises(NotFound, match="no account 'ada'"):
            await account(app)
        assert await app.store.read(Query()) == []


async def test_two_apps_on_one_file_never_decide_on_an_old_state(database: str) -> None:
    async with (
        open_app(database, aggregates=[ACCOUNT]) as one,
        open_app(database, aggregates=[ACCOUNT]) as other,
    ):
        await send(one, page.Deposit(1_000))
        assert (await account(other)).balance == 1_000
        apps = (one, other)
        outcomes = await asyncio.gather(
            *(send(apps[i % 2], page.Withdraw(100)) for i in range(20)), return_exceptions=True
        )
        refused = [o for o in outcomes if isinstance(o, CommandRejected)]
        assert len(refused) == 9  # ten withdrawals and the overdraft
        assert len(refused) + sum(isinstance(o, list) for o in outcomes) == 20
        assert (await account(one)).balance == (await account(other)).balance == -100
        versions = [e.version for e in await one.store.read(Query(aggregate_id="ada"))]
        assert versions == list(range(1, 14))  # deposited, 11 withdrawn, frozen


async def test_an_append_at_an_old_version_is_refused(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        await send(app, page.Deposit(1))
        stale = Append("account", "ada", 0, [(page.Deposited(1), Metadata())])
        with pytest.raises(Conflict):
            await app.store.append(stale)
        assert await app.store.version("ada") == 1


async def test_metadata_tells_the_chain_of_causes(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        await send(app, page.Deposit(10), command_id="c-1", correlation_id="order-7")
        await send(app, page.Withdraw(20), command_id="c-2", extra={"till": "4"})
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        await send(app, page.Deposit(5), command_id="c-3")
        first, second, third, fourth = await app.store.read(Query(aggregate_id="ada"))
    assert first.metadata == Metadata("order-7", "c-1", command={"Deposit": {"cents": 10}})
    assert second.metadata == Metadata(
        "order-7", "c-2", {"till": "4"}, command={"Withdraw": {"cents": 20}}
    )
    assert (third.event, third.metadata) == (page.Frozen(), Metadata("order-7", "ada#2/Freeze"))
    assert fourth.metadata == Metadata("order-7", "c-3", command={"Deposit": {"cents": 5}})
    assert (first.stream_id, first.event_type, first.event_id) == ("account", "Deposited", "ada#1")


async def test_a_command_that_comes_twice_counts_once(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        await send(app, page.Deposit(10), command_id="c-1", idempotent=True)
        assert await send(app, page.Deposit(10), command_id="c-1", idempotent=True) == []
        with pytest.raises(Conflict):
            await send(app, page.Deposit(11), command_id="c-1", idempotent=True)
        assert (await account(app)).balance == 10


async def test_subscribers_hear_of_it_live_and_from_any_position(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        heard: list[Any] = []

        async def listen() -> None:
            async for envelope in app.store.subscribe(Query(stream_id="account")):
                heard.append(envelope)
                if len(heard) == 3:
                    return

        await send(app, page.Deposit(1))
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            group.create_task(listen())
            await send(app, page.Deposit(2), "bob")
            await send(app, page.Withdraw(1))
        assert [(e.aggregate_id, e.version) for e in heard] == [("ada", 1), ("bob", 1), ("ada", 2)]
        query = Query(event_type="Deposited")
        async for envelope in app.store.subscribe(query, after=heard[0].position):
            assert envelope == heard[1]
            break


async def test_an_id_belongs_to_one_kind(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        await send(app, page.Deposit(1))
        with pytest.raises((Conflict, CorruptLog, CommandRejected, NotFound)):
            await app.planner("ada")


async def test_without_its_aggregate_a_stream_is_shown_but_not_read(database: str) -> None:
    async with open_app(database, aggregates=[ACCOUNT]) as app:
        await send(app, page.Deposit(1))
    async with open_app(database) as app:
        (envelope,) = await app.store.read(Query())
        assert isinstance(envelope.event, Undecoded)
        assert msgspec.json.decode(envelope.event.data) == {"cents": 1}
        with pytest.raises(CorruptLog, match="ada#1"):
            await app.store.load("ada")


async def test_old_events_are_upcast(database: str) -> None:
    old = msgspec.defstruct("Deposited", [("dollars", int)], frozen=True)
    before = Aggregate("account", page.Account, (old,))
    async with open_app(database, aggregates=[before]) as app:
        await app.store.append(Append("account", "ada", 0, [(old(3), Metadata())]))  # type: ignore[call-arg]
    steps = {page.Deposited: (lambda data: {"cents": data["dollars"] * 100},)}
    events = (page.Deposited, page.Withdrawn, page.Frozen)
    aggregate = Aggregate("account", page.Account, events, steps)
    async with open_app(database, aggregates=[aggregate]) as app:
        view: Any = await app.dispatcher.view(aggregate, "ada")
        assert view.balance == 300


async def test_two_kinds_may_not_share_an_events_name() -> None:
    taken = msgspec.defstruct("TaskDispatched", [("x", int)])
    clash = Aggregate("other", page.Account, (taken,))
    assert PLAN.stream_id == "plan"
    with pytest.raises(ConfigurationError, match="two events are called 'TaskDispatched'"):
        async with open_app("sqlite:///:memory:", aggregates=[clash]):
            pass


@pytest.mark.parametrize("code", BLOCKS[2:])
def test_the_tests_on_the_page_pass(code: str) -> None:
    names = {**vars(page), "given": harness.given}
    exec(compile(code, str(PAGE), "exec"), names)
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()
