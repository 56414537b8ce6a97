"""Whole documents: what the text drafter makes of them is what a careful reader would."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from text_rows import outline_of

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft
from planfold.drafting.text.drafter import parse_text
from planfold.errors import InvalidPlan
from planfold.planner.tasks import NodeKind
from planfold.tools.tool import Tool, Toolbox

TEXTS = Path(__file__).resolve().parent / "texts"
DOCUMENTS = sorted(path for path in TEXTS.iterdir() if path.suffix != ".outline")
CONNECTORS = ("Then, ", "Next, ", "After that, ", "Then ")
TOOLS = Toolbox(
    [Tool(name=name, literal=frozenset({"script"})) for name in ("shell", "http", "convert")]
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_has_its_outline(path: Path) -> None:
    """The outlines were read against the texts, line by line; read again what you change."""
    expected = path.with_suffix(".outline").read_text(encoding="utf-8")
    assert outline_of(parse_text(path.read_text(encoding="utf-8"))) == expected


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_document_compiles(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.stem == "web-app-readme":
        with pytest.raises(InvalidPlan, match="'cd tidepool' holds only inside this task"):
            compile_plan(parse_text(text), TOOLS)
        text = text.replace("cd tidepool\n", "")
    assert len(compile_plan(parse_text(text), TOOLS)) > 4


# --- AsyncHow: how-to plans that nobody wrote for this -------------------------------------------


@pytest.fixture(scope="module")
def howtos(shared_data: Path) -> list[tuple[str, list[str]]]:
    """Every third plan: its title and its tasks."""
    lines = (shared_data / "asynchow_dev.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[::3]]
    return [(row["title"], [task["description"] for task in row["tasks"]]) for row in rows]


def without_stop(text: str) -> str:
    return re.sub(r"^finally,? ", "", text.strip().lower()).rstrip(".").rstrip()


def said(draft: PlanDraft) -> list[str]:
    return [without_stop(task.description) for task in draft.tasks]


def is_chain(draft: PlanDraft) -> bool:
    waits = [task.depends_on for task in draft.tasks]
    return waits == [[place] if place else [] for place in range(len(waits))]


def processing_share(drafts: list[PlanDraft]) -> float:
    kinds = [task.kind for draft in drafts for task in draft.tasks]
    return kinds.count(NodeKind.Processing) / len(kinds)


def test_numbered_howtos(howtos: list[tuple[str, list[str]]]) -> None:
    drafts = []
    for title, tasks in howtos:
        numbered = "\n".join(f"{number}. {task}" for number, task in enumerate(tasks, start=1))
        draft = parse_text(f"# {title}\n\n{numbered}\n")
        assert draft.title == title
        assert said(draft) == [without_stop(task) for task in tasks]
        assert is_chain(draft)
        drafts.append(draft)
    assert processing_share(drafts) >= 0.97


def test_howtos_told_as_prose(howtos: list[tuple[str, list[str]]]) -> None:
    """Left out: tasks that are several sentences or have an order of their own inside."""
    inner = re.compile(r"[.!?;:][\"”]? \S|\bthen\b|\bnext\b|\bfinally\b|:$", re.IGNORECASE)
    drafts = []
    for _, tasks in howtos:
        if any(inner.search(task) for task in tasks):
            continue
        draft = parse_text(" ".join(sentences(tasks)))
        assert said(draft) == [without_stop(task) for task in tasks]
        assert is_chain(draft)
        drafts.append(draft)
    assert len(drafts) >= 0.85 * len(howtos)
    assert processing_share(drafts) >= 0.97


def sentences(tasks: list[str]) -> list[str]:
    told = []
    for place, task in enumerate(task.strip() for task in tasks):
        connector = CONNECTORS[place % len(CONNECTORS)]
        if place in (0, len(tasks) - 1):
            connector = "First, " if place == 0 else "Finally, "
        stop = "" if task.endswith((".", "?", "!")) else "."
        told.append(connector + task[0].lower() + task[1:] + stop)
    return told
