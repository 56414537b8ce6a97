"""Progress of a plan of many like tasks: how many are done, in one line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from planfold.cli.terminal import Line, Paper, clean, counted, fit
from planfold.eventstore.envelope import Envelope
from planfold.planner.tasks import Task, TaskStatus
from planfold.readmodels.plan_fold import PlanFold

EVERY_S: Final = 10.0  # seconds between two lines where nothing can be redrawn
ENDED: Final = frozenset(
    {TaskStatus.Completed, TaskStatus.Failed, TaskStatus.Cancelled, TaskStatus.Skipped}
)


class CountingDisplay:
    """``37 of 376 examples, 2 failed``: redrawn in a terminal, else a line now and then."""

    redraws = False

    def __init__(self, paper: Paper, what: str, *, quiet: bool = False) -> None:
        self._paper = paper
        self._what = what
        self._quiet = quiet
        self._told = time.monotonic()
        self._shown = ""

    def happened(self, fold: PlanFold, envelope: Envelope, *, news: bool) -> None:
        return

    def goes_on(self, fold: PlanFold, task: Task) -> None:
        return

    def draw(self, folds: Sequence[PlanFold], below: Sequence[Line]) -> None:
        tasks = [task for fold in folds for task in fold.state.tasks.values()]
        done = sum(task.status in ENDED for task in tasks)
        failed = sum(task.status is TaskStatus.Failed for task in tasks)
        text = f"{done:,} of {counted(len(tasks), self._what)}"
        text += f", {failed:,} failed" if failed else ""
        if self._quiet or text == self._shown:
            return
        if self._paper.is_terminal and not self._paper.is_dumb:
            self._paper.redraw(fit(text, self._paper.width))
        elif time.monotonic() - self._told < EVERY_S:
            return
        else:
            self._paper.lines([[(text, "dim")]])
        self._shown, self._told = text, time.monotonic()

    def say(self, line: Line) -> None:
        self._paper.lines([[(clean("".join(text for text, _ in line)), "bad")]])

    def close(self) -> None:
        if self._paper.is_terminal and not self._paper.is_dumb and self._shown:
            self._paper.redraw("")
