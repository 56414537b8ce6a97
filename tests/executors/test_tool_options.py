"""The options of ``@tool``: what is wrong is said when the tool is declared."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

import planfold
from planfold.errors import ConfigurationError
from planfold.executors.declaration import OPTIONS
from planfold.executors.python import PythonTool
from planfold.planner.tasks import Effect, RetryPolicy


def pay(cents: int, note: str = "") -> int:
    return cents


def declared(**options: Any) -> PythonTool[..., Any]:
    made: PythonTool[..., Any] = planfold.tool(**options)(pay)
    return made


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (None, RetryPolicy()),
        (1, RetryPolicy()),
        (2, RetryPolicy(attempts=2)),
        (RetryPolicy(3, base=0.5), RetryPolicy(3, base=0.5)),
        ({"attempts": 3, "base": 0.5}, RetryPolicy(3, base=0.5)),
    ],
)
def test_retry_is_a_number_of_attempts_or_a_policy(retry: Any, expected: RetryPolicy) -> None:
    assert declared(retry=retry).tool.retry == expected


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"retry": "x"}, "tool 'pay': option retry is 'x', not a number of attempts"),
    ({"retry": True}, "option retry is True"),
    ({"retry": 2.5}, "option retry is 2.5"),
    ({"retry": [2]}, r"option retry is \[2\]"),
    ({"retry": 0}, "option retry.attempts 0 is out of range"),
    ({"retry": 10**9}, "option retry.attempts"),
    ({"retry": {"attempt": 2}}, "attempt"),
    ({"retry": {"attempts": "2"}}, "attempts"),
    ({"retry": RetryPolicy(attempts=-1)}, "option retry.attempts -1"),
    ({"retry": RetryPolicy(attempts="2")}, "option retry"),  # type: ignore[arg-type]
    ({"retry": RetryPolicy(base=-1.0)}, "option retry.base"),
    ({"retry": RetryPolicy(cap=math.nan)}, "retry"),
    ({"retry": RetryPolicy(factor=math.inf)}, "retry"),
    ({"effect": "sometimes"}, "option effect is 'sometimes', not one of safe, keyed, once"),
    ({"effect": None}, "option effect is None"),
    ({"name": ""}, "a tool needs a name"),
    ({"name": 3}, "a tool needs a name"),
    ({"name": "a\0b"}, "option name holds a NUL"),
    ({"name": "x" * 1000}, "option name has 1,000 characters"),
    ({"description": 3}, "option description has the type int; it must be a text"),
    ({"description": "\ud800"}, "option description is not valid Unicode"),
    ({"literal": "note"}, "option literal is 'note', not a list of parameters' names"),
    (
        {"literal": ["notes"]},
        r"literal names 'notes', which is not a parameter \(cents, note\)",
    ),
    ({"literal": [3]}, "option literal names 3"),
    ({"literal": 3}, "option literal is 3"),
    ({"timeout": 3}, "@tool has no option 'timeout'; it has: name, effect, retry"),
]


@pytest.mark.parametrize(("options", "error"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_option_is_refused_with_its_name(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        declared(**options)


def test_every_right_option_is_taken() -> None:
    tool = declared(
        name="charge", effect="keyed", retry=2, description="Charges.", literal=("note",)
    ).tool
    assert (tool.name, tool.effect, tool.retry.attempts) == ("charge", Effect.Keyed, 2)
    assert (tool.description, tool.literal) == ("Charges.", {"note"})


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"write @tool\(name=...\)"):
        planfold.tool("charge")  # type: ignore[call-overload]


def test_with_extra_arguments_any_of_them_may_be_literal() -> None:
    @planfold.tool(literal=["script"])
    def run(**arguments: str) -> None:
        pass

    assert run.tool.literal == {"script"}


def test_the_page_has_every_option() -> None:
    page = Path(__file__).parents[2] / "docs/howto/executors.md"
    _, _, behind = page.read_text(encoding="utf-8").partition("`@tool(...)` takes these options.")
    table = behind.partition("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(OPTIONS)
