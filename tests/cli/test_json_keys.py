"""The pages list the keys that ``--json`` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import called, question, sh, shown, write_plan

from planfold import PlanView, Question
from planfold.readmodels.explanation import Explanation
from planfold.readmodels.plan_view import TaskView
from planfold.readmodels.reason import Reason
from planfold.readmodels.timeline import PhaseSpan

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def row_of(command: str) -> str:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8").partition("\n## JSON\n")[2]
    rows = [row for row in page.splitlines() if row.startswith(f"| `{command}`")]
    (row,) = [row for row in rows if '{"' in row]
    return row.split("`; ")[0]


def listed(command: str) -> dict[str, list[str]]:
    """The keys in a row of the page, by the key that the object belongs to ("": the whole)."""
    found: dict[str, list[str]] = {}
    stack, last = [], ""
    for token in re.findall(r'[{}]|"\w+"', row_of(command)):
        if token == "{":
            stack.append(last)
        elif token == "}":
            stack.pop()
        else:
            last = token.strip('"')
            found.setdefault(stack[-1], []).append(last)
    return found


def fields(*structs: type[msgspec.Struct]) -> list[str]:
    return sorted(name for each in structs for name in each.__struct_fields__)


@pytest.fixture
def a_plan() -> dict[str, Any]:
    called("run", "--yes", write_plan(sh("a", "true"), question("q")), code=3)
    return shown()


def test_the_keys_of_a_plan(a_plan: dict[str, Any]) -> None:
    keys, hint = listed("show"), "the row `show` under JSON in docs/reference/cli.md"
    assert set(keys[""]) ^ {*fields(PlanView), "schedule"} == set(), hint
    assert sorted(keys[""]) == sorted(a_plan)
    assert set(keys["tasks"]) ^ {*fields(TaskView)} == set(), hint
    assert sorted(keys["tasks"]) == sorted(a_plan["tasks"][0])
    assert sorted(keys["questions"]) == sorted([*fields(Question), "label"])
    assert sorted(keys["questions"]) == sorted(a_plan["questions"][0])


def test_the_keys_of_a_list(a_plan: dict[str, Any]) -> None:
    (found,) = json.loads(called("list", "--json"))
    assert sorted(listed("list")[""]) == sorted(found)


def test_the_keys_of_an_explanation(a_plan: dict[str, Any]) -> None:
    keys = listed("why")
    assert sorted(keys[""]) == fields(Explanation)
    assert sorted(keys["reasons"]) == fields(Reason)
    assert sorted(json.loads(called("why", "--json"))["reasons"][0]) == fields(Reason)
    assert sorted(keys["history"]) == sorted(listed("stats ID")["entries"]) == fields(PhaseSpan)
    assert sorted(json.loads(called("why", "q", "--json"))["history"][0]) == fields(PhaseSpan)


def test_the_keys_of_a_diagnosis(a_plan: dict[str, Any]) -> None:
    of_both, of_sqlite = re.findall(r"`(.*?)`", row_of("doctor"))[1:3]
    listed_keys = re.findall(r'"(\w+)"', of_both + of_sqlite)
    assert sorted(listed_keys) == sorted(json.loads(called("doctor", "--json")))


def test_the_keys_of_an_envelope(a_plan: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in called("log", "--json").splitlines()]
    assert {tuple(sorted(line)) for line in lines} == {tuple(sorted(listed("log")[""]))}
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")
    tables = page.partition("<!-- generated")[0].split("| field of `metadata` |")
    of_envelope, of_metadata = (set(re.findall(r"`(\w+)`", names_in(each))) for each in tables)
    assert of_envelope == set(lines[0])
    printed = [set(line["metadata"]) for line in lines]
    assert set.union(*printed) <= of_metadata
    assert set.intersection(*printed) >= {"correlation_id", "causation_id", "extra"}
    asked = next(line["data"] for line in lines if line["event_type"] == "ClarificationRequested")
    assert (asked["question"], "key" in asked) == ("q, please?", False), "defaults are left out"


def names_in(table: str) -> str:
    """The first cells of the rows."""
    return " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
