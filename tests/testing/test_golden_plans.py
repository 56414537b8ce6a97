"""A log that was written to a file is an offline test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from planfold.cli.main import cli
from planfold.errors import CorruptLog
from planfold.planner import outcomes
from planfold.testing import check_golden
from planfold.testing.golden import read_golden

PLAN = {
    "title": "A plan \u200b\x1b",
    "tasks": [
        {
            "label": "a",
            "description": "fails once",
            "tool": "shell",
            "effect": "safe",
            "retry": {"attempts": 2, "base": 0.01},
            "arguments": {"script": "test -e x || { touch x; exit 1; }"},
        },
        {"label": "b", "description": "Which?", "kind": "clarification", "choices": ["l", "r"]},
    ],
}


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("plan.json").write_text(json.dumps(PLAN))
    run = CliRunner()
    assert run.invoke(cli, ["run", "plan.json", "--yes", "--id", "p"]).exit_code == 3
    assert run.invoke(cli, ["answer", "p", "b", "l"]).exit_code == 0
    Path("p.jsonl").write_text(run.invoke(cli, ["log", "p", "--json"]).stdout)
    return tmp_path / "p.jsonl"


def test_a_plan_that_is_decided_as_it_was(golden: Path) -> None:
    found = check_golden(golden)
    assert found.checked == found.decisions > 5
    assert found.events == len(read_golden(golden))


def test_a_difference_fails_the_test(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "retry_delay", lambda *_: 5.0)
    with pytest.raises(AssertionError, match=r"comes out otherwise(?s:.)*delay=5.0"):
        check_golden(golden)


def test_a_file_that_is_no_log_of_one_plan(golden: Path) -> None:
    lines = golden.read_text().splitlines()
    for damaged in (lines[1:], [*lines[:2], "{"], [], [*lines[:3], *lines[:3]]):
        golden.write_text("\n".join(damaged))
        with pytest.raises(CorruptLog, match=r"p\.jsonl"):
            check_golden(golden)


def test_the_log_of_a_fork_is_refused(golden: Path) -> None:
    forked = {"origin": "plan-1", "version": 3, "revision_hash": "x"}
    line = json.loads(golden.read_text().splitlines()[0])
    golden.write_text(json.dumps({**line, "event_type": "PlanForked", "data": forked}))
    with pytest.raises(CorruptLog, match="a fork, which cannot be decided without plan plan-1; wr"):
        check_golden(golden)
