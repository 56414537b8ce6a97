"""Waits as each command shows them, and ``planfold signal``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from command_line import called, shown

import planfold

PLAN = """# Order

1. Wait for the payment {#paid wait_for=payment.settled key=order-17 timeout=2d}
2. Run `echo $paid.amount` {#tell effect=safe}
"""
FILE = "plan.md"


@pytest.fixture
def plan() -> str:
    Path(FILE).write_text(PLAN)

    async def begin() -> str:
        async with planfold.open_app() as app:
            plan_id = await app.submit(PLAN, approved_by="me")
            async with app.worker():
                async with asyncio.timeout(20):
                    while (await app.planner(plan_id)).state.unregistered:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            return plan_id

    return asyncio.run(begin())


def test_views_say_what_a_plan_waits_for(plan: str) -> None:
    printed = " ".join(called("plan", FILE).split())
    assert (
        "wait, waits for the signal payment.settled with the key order-17, at most 2 d" in printed
    )
    assert "for payment.settled" in called("show")
    why = called("why", plan)
    assert "task paid waits for the signal 'payment.settled' with the key 'order-17'" in why
    assert "planfold signal payment.settled order-17" in why
    assert "(waits for the signal payment.settled" in called("graph")
    assert "waits 1 paid: for the key order-17, until " in " ".join(called("log").split())
    assert shown()["tasks"][0]["wait"] == {"signal": "payment.settled", "key": "order-17"}


def test_a_signal_is_given_on_the_command_line(plan: str) -> None:
    give = ("signal", "payment.settled", "order-17", "--data", '{"amount": 12}', "--id", "e1")
    assert called(*give) == "Recorded: payment.settled order-17\n"
    assert called(*give).startswith("It was given before; nothing changes")
    assert json.loads(called(*give, "--json"))["new"] is False
    called("resume", plan)
    assert shown()["tasks"][1]["result"]["stdout"] == "12"
    called("replay", plan)
    called("doctor")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["no name", "k"], "is not the name of a signal"),
        (["n", "k", "--data", "{"], "--data is not JSON"),
        (["n"], "Missing argument 'KEY'"),
    ],
)
def test_what_is_no_signal_is_bad_input(plan: str, words: list[str], fault: str) -> None:
    assert fault in called("signal", *words, code=2)
