"""A snapshot whose tasks have another shape, and a lock that is waited for when the program ends:
what is read and decided after them is what the log says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from zlib import compress, decompress

import msgspec
import pytest

import planfold
from planfold import App, PlanDraft, TaskDraft
from planfold.errors import Transient
from planfold.planner.commands import TagPlan
from planfold.planner.snapshots import LENGTH, QUICKLY
from planfold.runtime.aggregate import PLAN

TAG = TagPlan(("x",))
Use = Callable[[App, str], Awaitable[object]]


def of_another_shape(snapshot: bytes) -> bytes:
    begin = LENGTH + int.from_bytes(snapshot[:LENGTH], "big")
    *front, places = msgspec.json.decode(decompress(snapshot[LENGTH:begin]))
    piece = compress(b"[1]", QUICKLY)
    pieces = [(ids, len(piece)) for ids, _ in places]
    packed = compress(msgspec.json.encode((*front, pieces)), QUICKLY)
    return b"".join((len(packed).to_bytes(LENGTH, "big"), packed, *(piece for _ in pieces)))


@planfold.tool(effect="safe")
async def step() -> int:
    """Does nothing."""
    return 1


async def asking(address: str) -> str:
    """A plan whose snapshot cannot be read; it waits for an answer, which then comes."""
    steps = [TaskDraft(description="s", tool="step") for _ in range(2)]
    draft = PlanDraft(tasks=[*steps, TaskDraft(label="go", description="Go?", depends_on=[1, 2])])
    last = TaskDraft(description="s", tool="step", depends_on=["go"])
    draft = msgspec.structs.replace(draft, tasks=[*draft.tasks, last])
    async with planfold.open_app(address, tools=[step]) as app:
        plan_id = await app.submit(draft, approved_by="me")
        await app.run(plan_id)
        planner = await app.planner(plan_id)
        version, snapshot = planner.state.version, of_another_shape(planner.snapshot() or b"")
        await app.answer(plan_id, "go", "yes", by="ada")
        await app.store.checkpoints.save_snapshot(plan_id, version, snapshot)
    return plan_id


async def _view(app: App, plan_id: str) -> object:
    return await app.dispatcher.view(PLAN, plan_id, at_least=1)


async def _send(app: App, plan_id: str) -> object:
    return await app.dispatcher.send(PLAN, plan_id, TAG, command_id="c")


async def _send_once(app: App, plan_id: str) -> object:
    return await app.dispatcher.send(PLAN, plan_id, TAG, command_id="c", idempotent=True)


async def _run(app: App, plan_id: str) -> object:
    return (await app.run(plan_id)).status == "completed"


@pytest.mark.parametrize("use", [_view, _send, _send_once, _run])
@pytest.mark.parametrize("partly", [True, False])
async def test_a_snapshot_of_another_shape_is_not_noticed(
    each_database: str, use: Use, partly: bool
) -> None:
    plan_id = await asking(each_database)
    async with planfold.open_app(each_database, tools=[step]) as app:
        if partly:
            await app.dispatcher.view(PLAN, plan_id, partly=True)
        assert await use(app, plan_id)


async def test_a_command_whose_wait_for_the_lock_was_cancelled_is_not_decided(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def suspended(_: str) -> Callable[[], None]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with planfold.open_app(database, tools=[step]) as app:
        plan_id = await app.submit("1. Look at it", approved_by="me")
        app.dispatcher.expect_others(PLAN, plan_id)
        with monkeypatch.context() as patch:
            patch.setattr(app.store, "lock_stream", suspended)
            sending = asyncio.ensure_future(_send(app, plan_id))
            await asked.wait()
            (lookup,) = app.dispatcher._lookups._running
            lookup.cancel()
            with pytest.raises(Transient, match="send the command again"):
                await sending
        await app.dispatcher.send(PLAN, plan_id, TagPlan(("y",)), command_id="d")
        assert (await app.planner(plan_id)).state.tags == ("y",)
