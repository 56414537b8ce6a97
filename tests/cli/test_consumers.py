"""``planfold consumers``: looking at readers of the log, and replaying what they parked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from command_line import called

import planfold
from planfold.eventstore.envelope import Envelope
from planfold.planner.tasks import RetryPolicy
from planfold.subscriptions.consumer import Consumer
from testbed.patience import PATIENCE_S

DATABASE = "sqlite:///.planfold/planfold.db"
PLAN = planfold.PlanDraft(title="one", tasks=[planfold.TaskDraft(description="ask")])


async def consume(*, broken: bool, name: str = "mail") -> list[str]:
    """Run a consumer until it has nothing more to do; returns the streams that it handled."""
    handled: list[str] = []

    async def handle(envelope: Envelope) -> None:
        if broken and envelope.aggregate_id == "plan-bad":
            raise ValueError("no\x1b[31m address")
        handled.append(envelope.aggregate_id)

    async with planfold.open_app(DATABASE) as app:
        for plan_id in ("plan-bad", "plan-good"):
            await app.submit(PLAN, plan_id=plan_id)
        last = await app.store.last_position()
        consumers = app.store.checkpoints.consumers
        consumer = Consumer(app.store, name, handle, retries=RetryPolicy(attempts=1), partitions=2)
        async with consumer, asyncio.timeout(PATIENCE_S):
            while True:
                (status,) = await consumers.statuses(name)
                rows = await consumers.parked(name)
                is_settled = (len(rows) == 1) if broken else not rows
                if is_settled and max(share.position for share in status.shares) >= last:
                    return handled
                await asyncio.sleep(0.005)


def consumers() -> list[Any]:
    found: list[Any] = json.loads(called("consumers", "--json"))
    return found


def test_none_yet() -> None:
    assert "no database" in called("consumers", code=2)
    asyncio.run(open_once())
    assert called("consumers") == "No consumers yet.\n"
    assert consumers() == []


async def open_once() -> None:
    async with planfold.open_app(DATABASE):
        pass


def test_a_parked_stream_is_shown_with_the_command_that_replays_it() -> None:
    asyncio.run(consume(broken=True))
    out = called("consumers")
    assert out.startswith("mail  ")
    assert "plan-bad at position 1: parked since" in out
    assert "after 1 attempt" in out
    assert "no\\x1b[31m address" in out
    assert "    planfold consumers replay mail plan-bad\n" in out
    assert "partition 1" in out
    (mail,) = consumers()
    assert (mail["name"], mail["members"], mail["refused"]) == ("mail", [], None)
    assert [share["owner"] for share in mail["partitions"]] == [None, None]
    assert mail["behind"] == max(share["behind"] for share in mail["partitions"])
    (row,) = mail["parked"]
    assert (row["stream"], row["position"], row["retry_at"]) == ("plan-bad", 1, None)


def test_a_replay_is_done_when_the_consumer_runs() -> None:
    asyncio.run(consume(broken=True))
    assert called("consumers", "replay", "mail", "bad") == "Will be retried: plan-bad\n"
    assert "plan-bad at position 1: tries again, " in called("consumers")
    assert asyncio.run(consume(broken=False)) == ["plan-bad"]
    assert consumers()[0]["parked"] == []
    assert called("consumers", "replay", "mail") == "Nothing is parked.\n"


@pytest.mark.parametrize("action", ["replay", "accept", "forget"])
def test_an_unknown_name(action: str) -> None:
    asyncio.run(open_once())
    out = called("consumers", action, "mial", code=2)
    assert "there is no consumer 'mial'; `planfold consumers` shows them" in out


def test_an_unknown_stream() -> None:
    asyncio.run(consume(broken=True))
    assert "parked no streams 'plan-good'" in called(
        "consumers", "replay", "mail", "plan-good", code=2
    )


def test_after_a_backup_was_restored_a_consumer_is_refused_until_it_is_accepted() -> None:
    asyncio.run(consume(broken=True))

    async def restore() -> None:
        async with planfold.open_app(DATABASE) as app:
            await app.store.checkpoints.raise_epoch()

    asyncio.run(restore())
    assert "refused: " in called("consumers")
    assert "accept its position" in consumers()[0]["refused"]
    assert "planfold consumers accept mail" in called("consumers")
    with pytest.raises(planfold.PlanfoldError, match="restored from a backup"):
        asyncio.run(consume(broken=False))
    assert called("consumers", "accept", "mail").startswith("mail continues from position ")
    assert consumers()[0]["refused"] is None
    asyncio.run(consume(broken=True))


def test_a_consumer_is_forgotten() -> None:
    asyncio.run(consume(broken=True))
    asyncio.run(consume(broken=False, name="audit"))
    called("consumers", "--db", DATABASE, "forget", "mail")
    assert [each["name"] for each in consumers()] == ["audit"]
    called("consumers", "forget", "audit", "--db", DATABASE)
    assert consumers() == []
