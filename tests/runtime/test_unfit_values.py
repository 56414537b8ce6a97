"""A command gets texts and numbers: what is said where a reference is something else."""

from __future__ import annotations

from typing import Any

import pytest

import planfold
from plans import PLAN_ID, finish, submit, task


@planfold.tool(effect="safe")
async def pay(paid: Any) -> Any:
    return paid


@pytest.mark.parametrize(
    ("paid", "word", "said"),
    [
        (
            {"amount": 3, "id": "x"},
            "$pay",
            "shell: argv[1]: $pay is an object, the result of task 1 pay; refer to a part of it "
            "($pay.amount or $pay.id), or pass it as JSON in stdin",
        ),
        (
            {"rows": [1, 2]},
            "$pay.rows",
            "shell: argv[1]: $pay.rows is a list of 2 items, [0] to [1], part of the result of "
            "task 1 pay; refer to a part of it ($pay.rows[0]), or pass it as JSON in stdin",
        ),
        (
            None,
            "$pay",
            "shell: argv[1]: $pay is null, the result of task 1 pay; give it a default, as in "
            "$pay ?? '-'",
        ),
    ],
)
async def test_an_argument_that_is_no_text_is_named_with_its_task_and_the_remedy(
    paid: Any, word: str, said: str
) -> None:
    async with planfold.open_app("sqlite:///:memory:", tools=[pay]) as app:
        await submit(
            app,
            task("pay", label="pay", arguments={"paid": paid}),
            task("shell", label="send", arguments={"argv": ["echo", word]}),
        )
        await finish(app)
        assert (await app.view(PLAN_ID)).task("send").error == said


async def test_so_is_a_variable_of_the_environment_and_an_element_of_a_map() -> None:
    each = task(
        "shell",
        label="each",
        for_each="$pay",
        arguments={"argv": ["env"], "env": {"V": "$item"}},
    )
    async with planfold.open_app("sqlite:///:memory:", tools=[pay]) as app:
        await submit(app, task("pay", label="pay", arguments={"paid": [{"a": 1}]}), each)
        await finish(app)
        error = (await app.view(PLAN_ID)).task("2[0]").error
    assert error is not None
    assert error.startswith("shell: env.V: $item is an object; refer to a part of it ($item.a)")
