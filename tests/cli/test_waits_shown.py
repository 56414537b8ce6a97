"""Waits as each command shows them, and ``planfold signal``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from command_line import called, shown, start

import planfold
from planfold.runtime.signal_delivery import SignalDelivery
from planfold.testing import check_golden
from testbed.patience import PATIENCE_S

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
                async with asyncio.timeout(PATIENCE_S):
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


def test_run_prints_the_command_that_gives_the_signal() -> None:
    Path(FILE).write_text("1. Wait for it {#paid wait_for=settled timeout=60s}\n")
    run = start("run", "--yes", "--id", "p", FILE)
    assert run.stdout is not None
    line = next(line for line in run.stdout if "settled until" in line)  # ends with the plan
    assert line.rstrip().endswith("; `planfold signal settled p` gives it")
    called("signal", "settled", "p")
    assert "1 of 1 task completed" in run.communicate(timeout=PATIENCE_S)[0]
    assert run.returncode == 0


def test_a_plan_that_waits_is_redacted_with_its_key_and_default() -> None:
    Path("waits.json").write_text(
        json.dumps(
            {
                "title": "Order",
                "tasks": [
                    {"label": "order", "description": "Which order?", "kind": "clarification"},
                    {
                        "label": "paid",
                        "description": "Wait",
                        "wait_for": "payment",
                        "key": "customer-$order",
                        "timeout": 0.001,
                        "default": {"note": "Zaphod"},
                    },
                ],
            }
        )
    )
    called("run", "--yes", "--id", "p", "waits.json", code=3)
    called("answer", "order", "Zaphod")
    called("resume")
    called("golden", "p", "--to", "redacted.jsonl", "--redact")
    text = Path("redacted.jsonl").read_text()
    assert "Zaphod" not in text
    assert "customer" not in text
    called("golden", "p", "--to", "whole.jsonl")
    assert check_golden("redacted.jsonl").checked == check_golden("whole.jsonl").checked


def test_a_plan_that_is_imported_alone_gets_the_signals_of_its_new_database(plan: str) -> None:
    called("export", plan, "--to", "plan.jsonl")
    called("export", "--to", "all.jsonl")
    for file in ("plan.jsonl", "all.jsonl"):
        there = ("--db", f"sqlite:///{file}.db")
        called("import", file, *there)
        called("signal", "payment.settled", "order-17", "--data", '{"amount": 12}', *there)
        called("resume", plan, *there)
        called("import", "plan.jsonl", *there)
    assert shown()["status"] == "running"


def test_an_import_that_was_interrupted_before_the_signals_is_repeated(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called("export", plan, "--to", "plan.jsonl")
    there = ("--db", "sqlite:///other.db")
    with monkeypatch.context() as broken:
        broken.setattr(SignalDelivery, "await_again", _interrupted)
        assert "interrupted" in called("import", "plan.jsonl", *there, code=1)
    called("signal", "payment.settled", "order-17", "--data", '{"amount": 12}', *there)
    called("import", "plan.jsonl", *there)
    called("resume", plan, *there)


async def _interrupted(self: SignalDelivery, plan_id: str) -> None:
    raise RuntimeError(f"interrupted at {plan_id}")


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
