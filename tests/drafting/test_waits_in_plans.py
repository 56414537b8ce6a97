"""Waits and stall limits in all forms of a plan, and their faults."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.files import load_plan
from planfold.drafting.model.answer import answer_form
from planfold.drafting.revision import check_tasks
from planfold.drafting.text.drafter import load_text
from planfold.errors import InvalidPlan
from planfold.instants import instant_of
from planfold.planner.tasks import Effect, TaskSpec, Wait
from planfold.tools.tool import Tool, Toolbox

TOOLS = Toolbox([Tool(name="order", parameters={"type": "object"})])


def compiled(text: str, source: str = "plan.md") -> dict[int, TaskSpec]:
    specs = compile_plan(load_plan(text, source=source, tools=["order"]), TOOLS)
    check_tasks(specs, TOOLS, {})  # what was compiled compiles to the same
    return {spec.id: spec for spec in specs}


def faults(**fields: Any) -> list[str]:
    tasks = [TaskDraft(description="d", **fields)]
    with pytest.raises(InvalidPlan) as refusal:
        compile_plan(PlanDraft(tasks=tasks), TOOLS)
    return [f"{fault.field}: {fault.message}" for fault in refusal.value.faults]


def test_waits_in_text() -> None:
    tasks = compiled(
        """# Order
1. @order {} {#order stall_timeout=5m}
2. Wait for it {wait_for=payment.settled key="$order.id" timeout=2d default="none"}
3. Wait {wait=2h}
4. Wait {at=2026-12-01T09:00[Europe/Zurich]}
"""
    )
    assert tasks[1].stall_timeout == 300.0
    assert tasks[2].wait == Wait(signal="payment.settled", key="$1.id", default="none")
    assert (tasks[2].timeout, tasks[2].depends_on) == (172_800.0, (1,))
    assert tasks[3].wait == Wait(seconds=7_200.0)
    written = "2026-12-01T09:00[Europe/Zurich]"
    assert tasks[4].wait == Wait(at=instant_of("2026-12-01T08:00Z"), written=written)
    assert {tasks[i].effect for i in (2, 3, 4)} == {Effect.Safe}


def test_what_a_list_says_of_its_work_is_not_said_of_a_wait() -> None:
    tasks = compiled("# P\n\n## All {retry=3 timeout=30s}\n\n1. Do it\n2. Wait {wait=2h}\n")
    assert tasks[1].timeout == 30.0
    assert tasks[2].timeout is None


def test_a_number_in_a_key_is_that_of_the_text() -> None:
    tasks = compiled(
        '# P\n\n1. First\n   1. Look\n   2. Look again\n2. Wait {wait_for=x key="$1.2.id"}\n'
    )
    assert max(tasks.values(), key=lambda spec: spec.id).wait is not None


def test_a_default_of_a_file_may_be_any_json() -> None:
    task = {"description": "d", "wait_for": "x", "timeout": 5, "default": {"n": [1]}}
    spec = compiled(json.dumps({"tasks": [task]}), "plan.json")[1]
    assert spec.wait == Wait(signal="x", default={"n": [1]})


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"wait": 1, "at": "2026-12-01T09:00Z"}, "at: a task has one of wait, at, wait_for"),
        ({"wait": 0}, "wait: 0.0 is out of range"),
        ({"wait": "2h"}, "wait: expected `float | null`, got `str`"),
        ({"wait": 1, "tool": "order"}, "tool: is not used by a task with wait"),
        ({"wait": 1, "timeout": 5}, "timeout: is not used by a task with wait"),
        ({"at": "2026-12-01T09:00Z", "default": "x"}, "default: is not used by a task with at"),
        ({"wait": 1, "done": True}, "wait: is not used by a task that is done"),
        ({"wait": 1, "kind": "clarification"}, "kind: is not used by a task with wait"),
        ({"wait": 1, "stall_timeout": 1}, "stall_timeout: is not used by a task with wait"),
        ({"key": "x"}, "key: is only for wait_for"),
        ({"wait_for": "two words"}, "wait_for: two words is not the name of a signal"),
        ({"wait_for": "x", "default": "d"}, "default: needs a timeout"),
        ({"wait_for": "x", "key": ""}, "key: has 0 characters"),
        ({"wait_for": "x", "key": "$nope"}, "key: $nope: there is no task 'nope'"),
        ({"at": "tomorrow"}, "at: tomorrow: it is not a time such as"),
        ({"at": "2026-12-01T09:00"}, "at: 2026-12-01T09:00: it has no time zone"),
        ({"at": "2026-12-01T09:00[Mars/Base]"}, "there is no time zone 'Mars/Base'"),
        ({"at": "2026-02-30T09:00Z"}, "there is no such day or time"),
        ({"at": "1826-12-01T09:00Z"}, "the year must be from 1970 to 2099"),
        ({"stall_timeout": 0}, "stall_timeout: 0.0 is out of range"),
        ({"choices": ["a"], "stall_timeout": 1}, "stall_timeout: is not used by a clarification"),
        ({"choices": ["a"], "default": 1}, "default: is not a text"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], fault: str) -> None:
    found = faults(**fields)
    assert any(fault in each for each in found), found


def moment(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-01T09:00[Europe/Zurich]", moment(2026, 12, 1, 8)),
        ("2026-07-01 09:00:30[Europe/Zurich]", moment(2026, 7, 1, 7, 0, 30)),
        ("2026-12-01T09:00Z", moment(2026, 12, 1, 9)),
        ("2026-12-01T09:00-05:30", moment(2026, 12, 1, 14, 30)),
        ("2026-12-01T09:00+01:00[Europe/Zurich]", moment(2026, 12, 1, 8)),
        ("2026-03-29T02:30[Europe/Zurich]", moment(2026, 3, 29, 1, 30)),  # left out: 03:30
        ("2026-10-25T02:30[Europe/Zurich]", moment(2026, 10, 25, 0, 30)),  # twice: the first
        ("2026-10-25T02:30+02:00[Europe/Zurich]", moment(2026, 10, 25, 0, 30)),
        ("2026-10-25T02:30+01:00[Europe/Zurich]", moment(2026, 10, 25, 1, 30)),  # the second
        ("2026-04-05T01:45[Australia/Lord_Howe]", moment(2026, 4, 4, 14, 45)),  # by half an hour
    ],
)
def test_a_time_is_a_moment(text: str, at: float) -> None:
    assert instant_of(text) == at


@pytest.mark.parametrize(
    "text", ["2026-12-01T09:00+02:00[Europe/Zurich]", "2026-12-01T09:00Z[../../etc/passwd]", ""]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|time"):
        instant_of(text)


WAITS = {"wait", "at", "wait_for", "key"}


def test_a_model_may_plan_waits() -> None:
    schema = answer_form(TOOLS).schema["properties"]["tasks"]["items"]["anyOf"]
    said = [set(each["required"]) & WAITS for each in schema]
    assert [each for each in said if each] == [{"wait"}, {"at"}, {"wait_for", "key"}]
    assert "timeout" in schema[-1]["required"]


def test_an_item_of_directives_alone_is_a_task() -> None:
    draft = load_text("1. Run `true`\n2. {wait=2h}\n3. {retry=3}\n4. Run `false`\n")
    assert [task.description for task in draft.tasks] == [
        "Run `true`",
        "{wait=2h}",
        "{retry=3}",
        "Run `false`",
    ]
    assert [task.wait for task in draft.tasks] == [None, "2h", None, None]
    assert [task.depends_on for task in draft.tasks] == [[], [1], [2], [3]]
