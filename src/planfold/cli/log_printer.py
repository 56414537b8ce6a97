"""``LogPrinter``: events as lines, with the names of the tasks that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from planfold.cli.event_text import TaskNames, run_words, words_for
from planfold.cli.terminal import Line, Paper, clean, clock, date_and_time, fit_line, in_json
from planfold.eventstore.envelope import Envelope
from planfold.planner.tasks import Task
from planfold.readmodels.envelopes import envelope_json

NARROW: Final = 70  # columns


class LogPrinter:
    """Prints envelopes from ``first`` to ``last``, both included: each a version or a time (None:
    no bound). It is to see the envelopes before ``first`` too, for the names of tasks, or
    ``name_tasks`` is called."""

    def __init__(
        self,
        as_json: bool,
        name_plans: bool,
        first: int | datetime | None = None,
        last: int | datetime | None = None,
    ) -> None:
        self._as_json = as_json
        self._name_plans = name_plans
        self._first = first
        self._last = last
        self._paper = Paper()
        self._names: dict[str, TaskNames] = {}
        self.is_empty = True

    def print(self, envelope: Envelope) -> None:
        """Print one envelope, unless it is out of bounds."""
        names = self._names.setdefault(envelope.aggregate_id, TaskNames())
        names.note(envelope.event)
        if self._first is not None and _compared(envelope, self._first) < 0:
            return
        if self._last is not None and _compared(envelope, self._last) > 0:
            return
        self.is_empty = False
        if self._as_json:
            self._paper.line(in_json(envelope_json(envelope)))
        else:
            self._paper.line(*self._words(envelope, names))

    def name_tasks(self, plan_id: str, tasks: Mapping[int, Task]) -> None:
        """The tasks that a plan has, whose names the events that are printed may not say."""
        self._names[plan_id] = TaskNames(tasks)

    def flush(self) -> None:
        """Show what was printed."""
        self._paper.flush()

    def _words(self, envelope: Envelope, names: TaskNames) -> Line:
        words = words_for(envelope.event)
        at = envelope.recorded_at
        when = date_and_time(at) if self._paper.width >= NARROW else clock(at)
        line: Line = [(f"{envelope.version:>4} {when} ", "dim")]
        if self._name_plans:
            line.append((clean(envelope.aggregate_id) + " ", "dim"))
        line.append((words.verb, words.style))
        about = f" {names[words.task_id]}" if words.task_id is not None else ""
        if ran := run_words(envelope):
            about += f" ({ran})"
        join = ": " if about and words.detail else " " if words.detail else ""
        line.append((about + join + words.detail, ""))
        return fit_line(line, self._paper.width) if self._paper.is_terminal else line


def _compared(envelope: Envelope, bound: int | datetime) -> float:
    """Negative where the envelope is before the bound, positive where it is after."""
    if isinstance(bound, int):
        return envelope.version - bound
    return envelope.recorded_at - bound.timestamp()
