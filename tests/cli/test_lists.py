"""``list`` by pages, abbreviated ids, and a part of a long log."""

from __future__ import annotations

import json

import pytest
from command_line import called, question, sh, write_plan

from planfold.cli import report
from planfold.runtime import plan_reader


def ids(*words: str) -> list[str]:
    return [plan["id"] for plan in json.loads(called("list", "--json", *words))]


@pytest.fixture
def plans() -> list[str]:
    names = [f"plan-{letter}" for letter in "abcde"]
    for name in names:
        called("run", "--yes", "--detach", "--id", name, write_plan(question("q")))
    return names[::-1]


def test_list_prints_a_page_and_says_how_to_see_the_next(plans: list[str]) -> None:
    assert ids() == plans
    first = called("list", "--limit", "2")
    assert [line.split()[0] for line in first.splitlines()] == [*plans[:2], "Older"]
    assert first.endswith(f"Older plans: planfold list --after {plans[1]}\n")
    assert ids("--limit", "2", "--after", plans[1]) == plans[2:4]
    assert "Older" not in called("list", "--after", plans[1])
    assert ids("--after", "a") == []
    assert called("list", "--after", "a") == "No such plans.\n"
    assert "no plan 'x'" in called("list", "--after", "x", code=2)


def test_list_finds_plans_by_status_title_and_age(plans: list[str]) -> None:
    called("cancel", "plan-b")
    assert ids("--status", "cancelled") == ["plan-b"]
    assert ids("--status", "cancelled", "--status", "awaiting_answer", "--limit", "4") == plans[:4]
    assert ids("--since", "1h") == plans
    assert ids("--older-than", "1h") == []
    assert ids("--title", "no such title") == []
    out = called("list", "--status", "done", code=2)
    assert "'done' is not a status of a plan; those are awaiting_approval" in out


def test_an_abbreviated_id_that_several_plans_have_lists_them(plans: list[str]) -> None:
    out = called("show", "plan-", code=2)
    assert "begins the ids of several plans" in out
    assert all(name in out for name in plans)
    assert called("show", "c").splitlines()[1].startswith("plan-c ")


def test_a_part_of_a_long_log_has_the_names_of_its_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = write_plan(sh("first", "true"), sh("second", "true", "first"))
    called("run", "--yes", "--id", "long", plan)
    whole = called("log", "long").splitlines()
    part = called("log", "long", "--from", "4", "--to", "6").splitlines()
    assert part == whole[3:6]
    monkeypatch.setattr(plan_reader, "LONG_LOG", 3)
    assert called("log", "long", "--from", "4", "--to", "6").splitlines() == part
    assert called("log", "long", "--from", "4").splitlines() == whole[3:]
    assert "1 (first)" in called("show", "long") or "first" in called("show", "long")


def test_a_large_plan_is_shown_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SHOWN", 3)
    monkeypatch.setattr(report, "QUESTIONS", 1)
    names = [f"step{number}" for number in range(4)]
    plan = write_plan(*(sh(name, "true") for name in names), question("one"), question("two"))
    called("run", "--yes", "--id", "large", plan, code=3)
    shown = called("show", "large")
    assert "... and 3 more tasks; planfold show large --all prints them" in shown
    assert "... and 1 more question" in shown
    assert [name for name in ("one:", "two:", *names) if name in shown] == ["one:", "two:", "step0"]
    whole = called("show", "large", "--all")
    assert "more" not in whole
    assert all(name in whole for name in names)
    assert len(json.loads(called("show", "large", "--json"))["tasks"]) == 6


def test_the_history_of_a_task_is_read_from_a_long_log_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called("run", "--yes", "--id", "long", write_plan(sh("first", "true")))
    monkeypatch.setattr(plan_reader, "LONG_LOG", 3)
    short = called("why", "long", "first")
    assert "So far" not in short
    assert "planfold why long first --history" in short
    assert "So far" in called("why", "long", "first", "--history")
