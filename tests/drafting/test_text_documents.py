"""Whole documents: what the text drafter makes of them is what a careful reader would."""

from __future__ import annotations

from pathlib import Path

import pytest
from text_rows import outline_of

from benchmarks.asynchow import HowTo, load_plans
from benchmarks.texts import FORMS, score
from planfold.drafting.compiler import compile_plan
from planfold.drafting.text.drafter import parse_text
from planfold.errors import InvalidPlan
from planfold.tools.tool import Tool, Toolbox

TEXTS = Path(__file__).resolve().parent / "texts"
DOCUMENTS = sorted(path for path in TEXTS.iterdir() if path.suffix != ".outline")
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


# --- AsyncHow: how-to plans that were not written for this --------------------------------------


@pytest.fixture(scope="module")
def howtos(data_sets: Path) -> list[HowTo]:
    """Up to 267 plans; ``python -m benchmarks.texts`` reads all of them."""
    plans = load_plans(data_sets / "asynchow_dev.jsonl")
    return plans[:: 3 if len(plans) > 100 else 1]


@pytest.mark.parametrize("form", FORMS)
def test_howtos_are_found_in_every_form(form: str, howtos: list[HowTo]) -> None:
    found = score(howtos, form)
    assert found.counted >= 0.99 * found.plans
    assert found.unchanged >= 0.99 * found.plans
    assert found.chained >= 0.99 * found.plans
    assert found.processing >= 0.97
