"""Messages say statuses in words, not by their values in JSON."""

from __future__ import annotations

import ast
from pathlib import Path

import planfold
from planfold.planner.tasks import PlanStatus, TaskStatus, in_words

LIBRARY = Path(planfold.__file__).parent


def test_every_status_has_words() -> None:
    words = {status: in_words(status) for status in (*TaskStatus, *PlanStatus)}
    assert words[TaskStatus.NeedsClarification] == "waits for an answer"
    assert words[PlanStatus.AwaitingApproval] == "waits for approval"
    assert [said for said in words.values() if "_" in said] == []


def raw_statuses(source: str) -> list[int]:
    """The lines of ``raise`` statements that put a status, or its value, into a message."""
    raised = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise))
    shown = (part for node in raised for part in ast.walk(node))
    return [
        part.lineno
        for part in shown
        if isinstance(part, ast.FormattedValue) and is_status(part.value)
    ]


def is_status(node: ast.expr) -> bool:
    text = ast.unparse(node).partition(".replace(")[0].removesuffix(".value")
    return text.rpartition(".")[2] == "status"


def test_no_refusal_shows_the_value_of_a_status() -> None:
    assert raw_statuses('raise E(f"{task.status.value} {n}")') == [1]
    assert raw_statuses('raise E(f"it is {status}")') == [1]
    found = {
        path.relative_to(LIBRARY).as_posix(): lines
        for folder in ("planner", "runtime", "readmodels")
        for path in (LIBRARY / folder).glob("*.py")
        if (lines := raw_statuses(path.read_text(encoding="utf-8")))
    }
    found.pop("runtime/trace_export.py", None)  # that is the status of an HTTP answer
    assert found == {}, "use in_words (planfold/planner/tasks.py)"
