"""``golden`` writes a plan as an offline test; with ``--redact`` without its contents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import called, question, sh, write_plan

from planfold.planner import outcomes
from planfold.planner.planner import Planner
from planfold.testing import check_golden
from planfold.testing.golden import read_golden

SECRET = "Zaphod"


@pytest.fixture
def plan() -> str:
    """With a retry, references, choices, a free answer, and the same secret everywhere."""
    made = write_plan(
        sh(
            "make",
            f"test -e x || {{ echo {SECRET} q4711 >&2; touch x; exit 3; }}; echo {SECRET}",
            retry={"attempts": 2, "base": 0.01},
        ),
        question("which", "make", choices=[f"{SECRET} one", f"{SECRET} two", "no"]),
        question("why", "make"),
        sh("use", "cat", "make", "why", arguments={"argv": ["echo", f"{SECRET}: $make.stdout"]}),
        sh("last", "echo $0 $1; false", "use"),
        title=f"{SECRET}'s plan",
    )
    called("run", "--yes", "--id", f"plan-{SECRET.lower()}", made, code=3)
    called("answer", "which", f"{SECRET.upper()} TWO")
    called("answer", "why", f"because of {SECRET}")
    called("resume", code=1)
    return f"plan-{SECRET.lower()}"


def test_a_plan_as_a_test(plan: str) -> None:
    out = called("golden", plan, "--to", "golden.jsonl")
    replay = check_golden("golden.jsonl")
    assert f"Wrote {replay.events} events of {plan}; " in out
    assert f"{replay.checked} of {replay.decisions} decisions can be made again." in out
    assert called("golden", plan) == Path("golden.jsonl").read_text()
    assert "--force" in called("golden", plan, "--to", "golden.jsonl", code=2)


def test_a_redacted_plan_holds_no_contents_and_replays(plan: str) -> None:
    called("golden", plan, "--to", "whole.jsonl")
    called("golden", plan, "--to", "redacted.jsonl", "--redact")
    text = Path("redacted.jsonl").read_text()
    assert SECRET in Path("whole.jsonl").read_text()
    for word in (SECRET, "q4711", "because", "make it", str(Path.cwd())):
        assert word.lower() not in text.lower(), word
    whole, redacted = check_golden("whole.jsonl"), check_golden("redacted.jsonl")
    assert (redacted.checked, redacted.decisions) == (whole.checked, whole.decisions)
    one, other = read_golden("whole.jsonl"), read_golden("redacted.jsonl")
    assert [e.event_type for e in one] == [e.event_type for e in other]
    assert [e.recorded_at for e in one] == [e.recorded_at for e in other]
    states = [Planner.fold([e.event for e in log]).state for log in (one, other)]
    assert states[0].status == states[1].status == "failed"
    for before, after in zip(*(state.tasks.values() for state in states), strict=True):
        assert (before.status, before.attempt) == (after.status, after.attempt)
        assert len(before.description) == len(after.description)
        assert before.description != after.description
    assert states[1].tasks[2].result in states[1].tasks[2].spec.prompt.choices
    assert "$1.stdout" in states[1].tasks[4].spec.tool.arguments["argv"][1]


def test_a_redacted_test_notices_another_decision(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called("golden", plan, "--to", "redacted.jsonl", "--redact")
    monkeypatch.setattr(outcomes, "retry_delay", lambda *_: 5.0)
    with pytest.raises(AssertionError, match="comes out otherwise"):
        check_golden("redacted.jsonl")


def test_a_plan_that_is_decided_otherwise_is_not_written(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "retry_delay", lambda *_: 5.0)
    out = called("golden", plan, "--to", "golden.jsonl", code=1)
    assert "nothing was written" in out
    assert f"planfold replay {plan}" in out
    assert not Path("golden.jsonl").exists()


def test_two_redactions_differ(plan: str) -> None:
    """The texts cannot be found by redacting guesses."""
    first, second = (called("golden", plan, "--redact") for _ in range(2))
    assert first != second
    titles = {json.loads(text.splitlines()[0])["data"]["title"] for text in (first, second)}
    assert len(titles) == 2


def test_a_redacted_plan_may_have_conditions() -> None:
    made = write_plan(
        sh("disk", "echo 471147114711"),
        sh("clean", "true", "disk", when="int($disk.stdout) > 800000000000"),
        sh("keep", "true", "disk", when="$disk.stdout == '471147114711'"),
        sh("after", "true", "clean"),
        sh("last", "true", "clean", run_if="ended"),
    )
    called("run", "--yes", "--id", "branches", made)
    called("golden", "branches", "--to", "redacted.jsonl", "--redact")
    assert "471147114711" not in Path("redacted.jsonl").read_text()
    replay = check_golden("redacted.jsonl")
    assert (replay.checked, replay.difference) == (replay.decisions, None)
    state = Planner.fold([e.event for e in read_golden("redacted.jsonl")]).state
    found = [task.status.value for task in state.tasks.values()]
    assert found == ["completed", "skipped", "completed", "skipped", "completed"]


def test_a_redacted_map_does_not_show_the_list_of_a_parameter() -> None:
    front = "---\nparams:\n  who: {type: list}\n---\n"
    Path("each.md").write_text(front + '1. Run `echo $item` {for_each="$params.who" effect=safe}\n')
    called("run", "--yes", "--id", "each", "each.md", "--set", 'who=["Lovelace", "$1"]')
    called("golden", "each", "--to", "redacted.jsonl", "--redact")
    assert "Lovelace" not in Path("redacted.jsonl").read_text()
    assert check_golden("redacted.jsonl").difference is None
