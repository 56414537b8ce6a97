"""The states that a dispatcher keeps are bounded by number and by size."""

from __future__ import annotations

import asyncio

import pytest

import planfold
from planfold.errors import LeaseLost
from planfold.eventstore.port import Fence
from planfold.planner.commands import HandleExecutorEvent, TaskCompleted
from planfold.runtime import mailboxes as mailboxes_module
from planfold.runtime.aggregate import PLAN
from planfold.runtime.letter import Basis, Letter
from planfold.runtime.mailboxes import Mailboxes
from plans import Until, finish, submit, task


@planfold.tool(effect="safe")
async def big(kb: int) -> str:
    return "word " * (kb * 200)


async def kept(app: planfold.App, count: int) -> list[str]:
    mailboxes = app.dispatcher._mailboxes
    names = [f"p{n}" for n in range(count)]
    return [name for name in names if mailboxes.get((PLAN.stream_id, name)) is not None]


async def test_states_are_dropped_when_they_take_too_much_memory(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailboxes_module, "CACHED_BYTES", 300_000)
    async with planfold.open_app(database, tools=[big]) as app:
        for n in range(9):
            await submit(app, task("big", arguments={"kb": 100}), plan_id=f"p{n}")
            await finish(app, f"p{n}")
        few = await kept(app, 9)
        assert 1 <= len(few) <= 4
        assert few[-1] == "p8", "the one that was used last"
        view = await app.view("p0")
        assert (await app.planner("p0")).state.tasks[1].result == view.task(1).result
        loaded = await kept(app, 9)
    assert "p0" in loaded
    assert len(loaded) <= 4


async def test_states_are_bounded_by_number(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailboxes_module, "CACHED_STATES", 3)
    async with planfold.open_app(database, tools=[big]) as app:
        for n in range(9):
            await submit(app, task("big", arguments={"kb": 1}), plan_id=f"p{n}")
        assert await kept(app, 9) == ["p6", "p7", "p8"]


def test_what_waits_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailboxes_module, "CACHED_STATES", 1)
    mailboxes = Mailboxes()
    first = mailboxes.make(PLAN, "first")
    first.deciding = True
    mailboxes.make(PLAN, "second")
    assert mailboxes.get((PLAN.stream_id, "first")) is first


async def test_a_state_is_estimated_near_what_it_takes(database: str) -> None:
    async with planfold.open_app(database, tools=[big]) as app:
        await submit(app, task("big", arguments={"kb": 100}))
        await app.send("p", HandleExecutorEvent(1, TaskCompleted("word " * 20_000), 1))
        mailbox = app.dispatcher._mailboxes.get((PLAN.stream_id, "p"))
        assert mailbox is not None
        assert 50_000 < mailbox.size < 300_000


async def test_a_state_that_is_loaded_after_it_was_dropped_takes_no_room(
    database: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailboxes_module, "CACHED_STATES", 1)
    async with planfold.open_app(database, tools=[big]) as app:
        await submit(app, task("big", arguments={"kb": 1}))
        mailboxes = Mailboxes()
        loading = mailboxes.make(PLAN, "p")
        mailboxes.make(PLAN, "other")
        assert mailboxes.get((PLAN.stream_id, "p")) is None
        await loading.load(app.store)
        await until(lambda: loading.size > 0)
    assert mailboxes._bytes == 0


async def test_letters_are_decided_one_by_one_only_as_long_as_one_of_them_may_be_bad(
    database: str,
) -> None:
    async with planfold.open_app(database) as app:
        mailbox = Mailboxes().make(PLAN, "p")
        loop = asyncio.get_running_loop()
        lost = Basis()
        bad, void, good, later, last = (
            Letter(None, answer=loop.create_future(), fence=Fence(1, 1, 1)) for _ in range(5)
        )
        void.basis = lost
        mailbox.put_back([bad, void, good], alone=True)
        mailbox.waiting.extend([later, last])
        lost.failed = True
        taken = []
        while mailbox.waiting:
            letters, _ = mailbox.take(app.store)
            taken.append((letters, mailbox.alone))
        assert taken[:2] == [([bad], True), ([good], True)]
        assert sum(len(letters) for letters, _ in taken) == 4
        assert isinstance(void.answer.exception(), LeaseLost)
