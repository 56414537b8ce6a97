"""The table of docs/howto/conditions.md: each cell is a test, generated from the page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planfold.errors import CommandRejected
from planfold.planner.commands import CancelTask, SkipTask
from planfold.planner.planner import Planner
from planfold.planner.tasks import RunIf, TaskSpec
from tests.planner.plan_builders import done, failed, initialize, play, running, statuses, work

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "conditions.md"
KINDS = ("completed", "tolerated", "not completed", "not needed")
REALISED = {  # how a task of each kind may have ended
    "completed": ("completed",),
    "tolerated": ("tolerated",),
    "not completed": ("failed", "cancelled", "below a failed one", "below a cancelled one"),
    "not needed": ("false", "below a false one", "nothing failed", "by hand"),
}
WHEN = (None, "true", "false", "1 / 0 > 1")  # the last has no answer
CHILD = 99


def tables() -> Iterator[list[list[str]]]:
    lines = iter(PAGE.read_text(encoding="utf-8").split("<!-- what runs when -->")[1].splitlines())
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        elif rows:
            yield rows
            rows = []


CELLS, OUTCOMES = itertools.islice(tables(), 2)
BECOMES = {row[0]: row[1:] for row in OUTCOMES[2:]}


def cases(row: list[str], run_if: RunIf) -> Iterator[tuple[tuple[str, ...], str | None, str]]:
    """How the parents end, the condition, and the outcome of the task, for one cell."""
    kinds = [] if row[0] == "nothing" else row[0].split(", ")
    becomes = BECOMES[row[CELLS[0].index(run_if)]]
    for ends in itertools.product(*(REALISED[kind] for kind in kinds)):
        for place, when in enumerate(WHEN):
            yield ends, when, becomes[max(0, place - 1)]


def parents(ends: tuple[str, ...]) -> Iterator[tuple[int, list[TaskSpec], list[Any]]]:
    """For each parent its id, the tasks that it needs, and the commands that make it end so."""
    for place, end in enumerate(ends, 1):
        own, above = place * 10, place * 10 + 1
        match end:
            case "completed":
                yield own, [work(own)], [done(own)]
            case "tolerated":
                yield own, [work(own, on_failure="continue")], [failed(own)]
            case "failed":
                yield own, [work(own)], [failed(own)]
            case "cancelled":
                yield own, [work(own, 1)], [CancelTask(own)]
            case "below a failed one":
                yield own, [work(above), work(own, above)], [failed(above)]
            case "below a cancelled one":
                yield own, [work(above, 1), work(own, above)], [CancelTask(above)]
            case "false":
                yield own, [work(own, when="false")], []
            case "by hand":
                yield own, [work(own, 1)], [SkipTask(own)]
            case "below a false one":
                yield own, [work(above, when="false"), work(own, above)], []
            case "nothing failed":
                yield own, [work(above), work(own, above, run_if="failed")], [done(above)]


@pytest.mark.parametrize("run_if", CELLS[0][1:])
@pytest.mark.parametrize("row", CELLS[2:], ids=lambda row: row[0])
def test_a_task_becomes_what_the_page_says(row: list[str], run_if: RunIf) -> None:
    for ends, when, outcome in cases(row, run_if):
        check(ends, run_if, when, outcome)


def check(ends: tuple[str, ...], run_if: RunIf, when: str | None, outcome: str) -> None:
    made = list(parents(ends))
    child = work(CHILD, *(own for own, _, _ in made), when=when, run_if=run_if)
    specs = [work(1), *(spec for _, above, _ in made for spec in above), child]
    if outcome == "the plan is refused":
        with pytest.raises(CommandRejected):
            Planner().process(initialize(*specs))
        return
    commands = [command for _, _, commands in made for command in commands]
    for order in (commands, commands[::-1]):
        plan = play(running(*specs), *order)
        task = plan.handler.state.tasks[CHILD]
        expected = {
            "it runs": ("running", None),
            "it fails": ("failed", None),
            "not needed": ("skipped", "condition"),
            "skipped": ("skipped", "failure"),
        }[outcome]
        became = (task.status.value, task.skip_reason)
        assert became == expected, (ends, run_if, when, statuses(plan))


def test_the_page_has_every_combination_of_kinds() -> None:
    combinations = {
        frozenset(chosen)
        for size in range(len(KINDS) + 1)
        for chosen in itertools.combinations(KINDS, size)
    }
    rows = [frozenset(() if row[0] == "nothing" else row[0].split(", ")) for row in CELLS[2:]]
    assert len(rows) == len(combinations)
    assert set(rows) == combinations
    assert CELLS[0][1:] == ["completed", "failed", "ended"]
