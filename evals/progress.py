"""Progress of a plan of many like tasks: how many are done, in one line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from planfold.cli.streams import output
from planfold.cli.terminal import STYLES, Line, Paper, clean, counted, fit
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
        self._live: Live | None = None
        if paper.is_terminal and not paper.is_dumb:
            console = Console(file=output(), highlight=False)
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def happened(self, fold: PlanFold, envelope: Envelope, *, news: bool) -> None:
        return

    def began_earlier(self, fold: PlanFold, task: Task, waits: str) -> None:
        return

    def draw(self, folds: Sequence[PlanFold], below: Sequence[Line]) -> None:
        tasks = [task for fold in folds for task in fold.state.tasks.values()]
        done = sum(task.status in ENDED for task in tasks)
        failed = sum(task.status is TaskStatus.Failed for task in tasks)
        text = f"{done:,} of {counted(len(tasks), self._what)}"
        text += f", {failed:,} failed" if failed else ""
        if self._quiet or text == self._shown:
            return
        if self._live is not None:
            self._live.start()
            self._live.update(Text(fit(text, self._paper.width)), refresh=True)
        elif time.monotonic() - self._told < EVERY_S:
            return
        else:
            self._paper.lines([[(text, "dim")]])
        self._shown, self._told = text, time.monotonic()

    def say(self, line: Line) -> None:
        text = clean("".join(text for text, _ in line))
        if self._live is not None:
            self._live.console.print(Text(text, style=STYLES["bad"]))
        else:
            self._paper.lines([[(text, "bad")]])

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
