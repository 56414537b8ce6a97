"""A model's conditions, maps, waits, limits and undo: what it writes in the strict form is read,
and what is wrong goes back to it with the place and the remedy."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from planfold.drafting.model.answer import answer_form
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.model.drafter import Wish, draft_tasks
from planfold.executors.http import HTTP
from planfold.executors.shell import SHELL
from planfold.llm.scripted import ScriptedModel
from planfold.planner.tasks import ForEach, Wait
from planfold.shared_limits import SharedLimit
from planfold.tools.tool import Toolbox

TOOLS = Toolbox([SHELL, HTTP])
TOOLS.limits = {"door": SharedLimit(concurrency=1)}
FORM = answer_form(TOOLS)

ORDER = {"depends_on": [], "when": "", "run_if": "completed"}
MAP = {"for_each": "", "on_item_failure": "stop", "concurrency": 0, "item_by_item": False}
SHELL_USUAL = {"cwd": None, "env": None, "stdin": None}


def strict_call(label: str, *argv: str, **fields: Any) -> dict[str, Any]:
    """A call of the shell as a decoder writes it that is held to the schema."""
    task = {"tool": "shell", "kind": "tool_call", "label": label, "description": label}
    task |= {"arguments": {"argv": list(argv) or ["true"], **SHELL_USUAL}, "on_failure": "stop"}
    task |= {**ORDER, **MAP, "timeout": 0, "stall_timeout": 0}
    return {**task, "undo": "", "limits": [], **fields}


def strict_wait(label: str, **fields: Any) -> dict[str, Any]:
    task = {"kind": "processing", "label": label, "description": label, "on_failure": "stop"}
    return {**task, **ORDER, **fields}


def test_the_strict_form_says_everything_and_is_read() -> None:
    undo = json.dumps({"tool": "shell", "arguments": {"argv": ["rm", "$self.stdout"]}})
    tasks = [
        strict_call("list"),
        strict_call("each", "echo", "$item", for_each="$list.stdout", concurrency=3,
                    on_item_failure="continue", undo=undo, limits=["door"]),
        strict_call("known", "echo", "$item", for_each="$each ?? []", timeout=60, stall_timeout=9),
        strict_call("tell", when="size($each) > 1 && $list:status == 'completed'", run_if="ended"),
        strict_wait("soon", wait=60),
        strict_wait("paid", wait_for="payment.settled", key="$list.stdout", timeout=9),
    ]  # fmt: skip
    valid = jsonschema_rs.Draft202012Validator(FORM.schema)
    assert valid.is_valid({"tasks": tasks})
    candidates = Candidates(TOOLS)
    specs = {spec.label: spec for task in tasks for spec in candidates.offer(task)}
    assert candidates.end_round() == ([], [])
    usual, each, known, tell, soon, paid = specs.values()
    assert (usual.for_each, usual.when, usual.timeout, usual.undo) == (None, None, None, None)
    assert each.for_each == ForEach(items="$1.stdout", concurrency=3, on_item_failure="continue")
    assert each.undo is not None
    assert (each.undo.tool.arguments["argv"], each.limits) == (["rm", "$self.stdout"], ("door",))
    assert known.for_each == ForEach(items="$2 ?? []")
    assert (known.timeout, known.stall_timeout) == (60.0, 9.0)
    assert (tell.depends_on, tell.run_if) == ((1, 2), "ended")
    assert soon.wait == Wait(seconds=60.0)
    assert (paid.wait, paid.timeout) == (Wait(signal="payment.settled", key="$1.stdout"), 9.0)


@pytest.mark.parametrize(
    ("field", "value", "takes"),
    [
        ("for_each", "$list.files[0].names ?? []", True),
        ("for_each", "$list?.files", True),
        ("for_each", "all files", False),
        ("for_each", ["a", "b"], False),
        ("when", "$list.stdout.contains('a') && size($list.stdout) > 1", True),
        ("when", "!$list.ok", True),
        ("when", "the list is long", False),
        ("when", None, False),
        ("for_each", "list.files", False),
        ("concurrency", -1, False),
        ("on_item_failure", None, False),
        ("timeout", 0, True),
    ],
)
def test_the_form_of_a_list_is_held_to(field: str, value: Any, takes: bool) -> None:
    valid = jsonschema_rs.Draft202012Validator(FORM.schema)
    task = strict_call("a", "echo", "$item", **{field: value})
    assert valid.is_valid({"tasks": [task]}) is takes


def test_a_number_may_be_what_a_failed_task_would_have_found() -> None:
    fetch = {"tool": "http", "kind": "tool_call", "label": "a", "description": "a"}
    fetch |= {"arguments": {"url": "x", "method": None, "headers": None, "timeout_s": None}}
    valid = jsonschema_rs.Draft202012Validator(FORM.schema)
    fetch |= {**ORDER, **MAP, "on_failure": "stop", "effect": "safe", "limits": []}
    fetch |= {"timeout": 0, "stall_timeout": 0}
    assert valid.is_valid({"tasks": [fetch]})


OK = strict_call("a")


def drop(task: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in task.items() if key not in fields}


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (
            strict_call("b", when="$a.exit_code >"),
            "task b, when: not CEL: the end comes too early",
        ),
        (
            strict_call("b", when="$a.exitcode == 0"),
            "task b, when: $a.exitcode: the result of shell has no field 'exitcode'",
        ),
        (
            strict_call("b", when="a.exit_code == 0"),
            "task b, when: a is not a name here (write $a for a task",
        ),
        (
            strict_call("b", when="$a:status == 'failed'"),
            "task b, when: $a:status is never failed where this task runs "
            "(add run_if: failed (or ended), or let that task have on_failure: continue)",
        ),
        (
            strict_call("b", "echo", "$item", for_each="$a.files"),
            "task b, for_each: $a.files: the result of shell has no field 'files'",
        ),
        (
            strict_call("b", when="$nowhere == 1"),
            "task b, when: $nowhere: there is no task 'nowhere'",
        ),
        (
            strict_call("b", run_if="failed"),
            "task b, run_if: there is nothing before it that could fail "
            "(add what may fail to depends_on, or leave run_if out)",
        ),
        (
            strict_call("b", "echo", "$item", for_each="all of them"),
            "task b, for_each: all of them is not a reference to a list "
            "(write one reference, such as $fetch.invoices, or the list itself)",
        ),
        (
            strict_call("b", "echo", "x", for_each="$a.stdout"),
            "task b, arguments: says nothing of the element "
            "(refer to the element: $item, $item.field or $index)",
        ),
        (
            strict_call("b", "echo", "$item"),
            "task b, arguments",
        ),
        (
            strict_wait("b", wait=5, at="2026-12-01T09:00Z"),
            "task b, at: a task has one of wait, at, wait_for (write a task for each wait)",
        ),
        (
            strict_wait("b", at="tomorrow"),
            "(write a time such as 2026-12-01T09:00[Europe/Zurich])",
        ),
        (
            strict_wait("b", wait_for="the payment"),
            "task b, wait_for: the payment is not the name of a signal "
            "(use letters, digits and . _ : / -, such as payment.settled)",
        ),
        (
            strict_call("b", wait=5),
            "task b, tool: is not used by a task with wait "
            "(leave it out, or do the work in a task after this one)",
        ),
        (
            strict_call("b", undo='{"tool": "shel", "arguments": {}}'),
            "task b, undo.tool: there is no tool 'shel' (did you mean 'shell'? tools: http, shell)",
        ),
        (
            strict_call("b", undo='{"tool": "http", "arguments": {"url": "$arguments.url"}}'),
            "task b, undo.arguments: $arguments.url: the task is called without 'url'",
        ),
        (
            strict_call("b", undo="rm -rf x"),
            "task b, undo: expected",
        ),
        (
            strict_call("b", limits=["doors"]),
            "task b, limits: the limit 'doors' is not declared (did you mean 'door'?",
        ),
        (
            strict_call("b", stall_timeout=-3),
            "task b, stall_timeout: -3.0 is out of range",
        ),
        (
            strict_call("b", "echo", "$item", for_each="$a.stdout", concurrency=-3),
            "task b, concurrency: -3 is out of range",
        ),
    ],
)
async def test_what_is_wrong_goes_back_with_its_place_and_remedy(wrong: Any, fault: str) -> None:
    answers = [json.dumps({"tasks": [OK, wrong]}), json.dumps({"tasks": [strict_call("b")]})]
    model = ScriptedModel(answers, chunk=11)
    candidates = Candidates(TOOLS)

    async def ask(number: int, request: Any, on_text: Any) -> Any:
        return await model.ask(request, on_text=on_text)

    drafted = await draft_tasks(Wish(text="do it"), TOOLS, candidates, ask)
    assert (drafted.complete, drafted.rounds) == (True, 2)
    assert fault in model.requests[1].messages[-1].text
    assert [spec.label for spec in candidates.accepted.values()] == ["a", "b"]
