"""What waits for an approval, as lines: what would run, and what a revision would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from planfold.cli.by_hand_text import before_lines
from planfold.cli.preview import preview_lines, undo_notes
from planfold.cli.terminal import Line, clean_lines, fit, wrapped
from planfold.planner.tasks import PlanStatus, TaskSpec, TaskStatus
from planfold.planner.undone import without_undo_tasks
from planfold.readmodels.labels import labelled, name_of

if TYPE_CHECKING:
    from planfold.drafting.changes import PlanDiff
    from planfold.readmodels.plan_fold import PlanFold

_NAMED: Final = 200  # tasks that a line names
MOST_EACH: Final = 10  # tasks of each plan, where several are approved


def counted_specs(fold: PlanFold) -> list[TaskSpec]:
    """The planned tasks without superseded tasks and undo tasks."""
    return [t.spec for t in without_undo_tasks(fold.state).values() if not t.superseded]


def revision_lines(fold: PlanFold, width: int) -> list[Line]:
    """What a revision that waits for approval would change, against what was approved before."""
    if fold.state.status is not PlanStatus.AwaitingApproval or not fold.approved:
        return []
    from planfold.drafting.changes import plan_diff

    diff = plan_diff(fold.approved, counted_specs(fold))
    return [[], *change_lines(diff, width, "Only the model's work on planning it.")]


def change_lines(diff: PlanDiff, width: int, without: str) -> list[Line]:
    """What a revision would change; ``without``: what is said where that is nothing."""
    styles = {"+": "good", "-": "bad", "~": "ask"}
    found = clean_lines(str(diff)) if diff else [without]
    lines: list[Line] = [[("What would change", "bold")]]
    return lines + [[(fit(line, width), styles.get(line[:1], ""))] for line in found]


def approval_lines(fold: PlanFold, width: int) -> list[Line]:
    """Every line of what an approval would let run, where one is waited for."""
    if fold.state.status is not PlanStatus.AwaitingApproval:
        return []
    return [[], [("What would run", "bold")], *runs_lines(fold, width)]


def runs_lines(fold: PlanFold, width: int, *, most: int | None = None) -> list[Line]:
    """What an approval would let run: not what has completed, whose results are reused."""
    tasks = fold.state.tasks
    specs = labelled(counted_specs(fold))
    done = [s for s in specs if tasks[s.id].status is TaskStatus.Completed]
    left = [s for s in specs if tasks[s.id].status is not TaskStatus.Completed]
    again = [s for s in left if tasks[s.id].status is TaskStatus.Planned and tasks[s.id].attempt]
    lines = preview_lines(left, width, most=most)
    lines += undo_notes(left, fold.state.config.undo, width)
    for what, which in (("Runs again", again), ("Already done, and reused", done)):
        if which:
            more = f", and {len(which) - _NAMED:,} more" if len(which) > _NAMED else ""
            text = f"{what}: {', '.join(name_of(spec) for spec in which[:_NAMED])}{more}"
            lines += [[(part, "dim")] for part in wrapped(text, width)]
    return lines


def tasks_to_approve(fold: PlanFold, width: int) -> list[Line]:
    """What one approval among several would let run, in short."""
    lines = [*runs_lines(fold, width, most=MOST_EACH), *revision_lines(fold, width)]
    return [*lines, *before_lines(fold.state, width)]
