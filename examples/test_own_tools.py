"""How to test one's own tools: no database, no worker, only what an attempt sees."""

from own_tools import charge, price, ship
from planfold.executor import TaskCompleted
from planfold.testing import run_tool


async def test_price_is_per_piece() -> None:
    run = await run_tool(price, {"item": "pen", "quantity": 4})
    assert run.outcome == TaskCompleted({"total": 5.0})


async def test_wrong_arguments_are_named() -> None:
    run = await run_tool(price, {"item": 7})
    assert "item" in run.error


async def test_the_key_is_handed_on() -> None:
    run = await run_tool(charge, {"amount": 2})
    assert "the key" in run.result


async def test_a_later_attempt_continues_after_the_last_step() -> None:
    run = await run_tool(ship, {"item": "book"}, steps={"parcel": "parcel 7"})
    assert run.outcome == TaskCompleted("label of parcel 7 printed")
    assert run.steps == {"parcel": "parcel 7", "label": "label of parcel 7"}
