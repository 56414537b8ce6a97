"""Progress of plans: redrawn in place in a terminal, a line per change elsewhere, or nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from planfold.cli.event_text import words_for
from planfold.cli.report import header_line, id_width, specs_of, task_line
from planfold.cli.situation import NO_TASKS, NO_TIMES
from planfold.cli.streams import output
from planfold.cli.terminal import (
    STYLES,
    Line,
    Paper,
    can_draw,
    clean,
    clock,
    counted,
    duration,
    fit_line,
    terminal_size,
)
from planfold.eventstore.envelope import Envelope
from planfold.planner.events import PlanRevised, TasksPlanned, UndoPlanned
from planfold.planner.tasks import Task, TaskStatus
from planfold.readmodels.labels import name_of, status_word
from planfold.readmodels.layout import reading_order
from planfold.readmodels.plan_fold import PlanFold

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from planfold.readmodels.workers import Unclaimed

QUIET_VERBS = frozenset({"step", "calls", "compacted"})


class Display(Protocol):
    """Shows what happens to plans. ``redraws`` says that a question is passed to ``draw``."""

    redraws: bool

    def happened(self, fold: PlanFold, envelope: Envelope, *, news: bool) -> None:
        """An event was folded; ``news`` is false for events before this process started."""
        ...

    def began_earlier(self, fold: PlanFold, task: Task, waits: str) -> None:
        """A task had been started before this process; ``waits``: the worker that it waits for."""
        ...

    def draw(self, folds: Sequence[PlanFold], below: Sequence[Line]) -> None:
        """Show the present state, with ``below`` (a question) under it."""
        ...

    def say(self, line: Line) -> None:
        """Print a line that stays."""
        ...

    def close(self) -> None: ...


class Silence:
    """For ``--json``."""

    redraws = False

    def began_earlier(self, fold: PlanFold, task: Task, waits: str) -> None:
        return

    def happened(self, fold: PlanFold, envelope: Envelope, *, news: bool) -> None:
        return

    def draw(self, folds: Sequence[PlanFold], below: Sequence[Line]) -> None:
        return

    def say(self, line: Line) -> None:
        return

    def close(self) -> None:
        return


class PlainLines:
    """One line per change: ``12:01:03 queued 3 build``."""

    redraws = False

    def __init__(self, paper: Paper, *, name_plans: bool = False) -> None:
        self._paper = paper
        self._name_plans = name_plans

    def began_earlier(self, fold: PlanFold, task: Task, waits: str) -> None:
        spans: Line = [(clock(time.time()) + " ", "dim")]
        spans += self._plan_name(fold)
        again = f": attempt {task.attempt}" if task.attempt > 1 else ""
        verb, style = ("waits", "ask") if waits else ("continues", "busy")
        said = f": for {clean(waits)}" if waits else again
        self.say([*spans, (verb, style), (f" {name_of(task.spec)}{said}", "")])

    def happened(self, fold: PlanFold, envelope: Envelope, *, news: bool) -> None:
        words = words_for(envelope.event)
        if not news or words.verb in QUIET_VERBS:
            return
        spans: Line = [(clock(envelope.recorded_at) + " ", "dim")]
        spans += self._plan_name(fold)
        spans.append((words.verb, words.style))
        task = None if words.task_id is None else fold.state.tasks.get(words.task_id)
        if task is not None:
            spans.append((f" {name_of(task.spec)}", ""))
            detail = words.detail
            if words.verb == "queued" and not detail and not task.spec.label:
                detail = clean(task.description)
            if words.verb in ("completed", "failed") and task.started_at:
                ended = task.finished_at or envelope.recorded_at
                took = ended - (envelope.metadata.began_at or task.started_at)
                spans.append((f" ({duration(took)})", "dim"))
            spans.append((f": {detail}" if detail else "", ""))
        elif words.detail:
            spans.append((f" {words.detail}", ""))
        self._paper.lines([spans], width=self._paper.width if self._paper.is_terminal else None)

    def _plan_name(self, fold: PlanFold) -> Line:
        named = self._name_plans or fold.state.parent is not None
        return [(clean(fold.plan_id) + " ", "dim")] if named else []

    def draw(self, folds: Sequence[PlanFold], below: Sequence[Line]) -> None:
        return

    def say(self, line: Line) -> None:
        self._paper.lines([line])

    def close(self) -> None:
        return


class LiveTable:
    """The plan's tasks in graph order, redrawn in place, never higher than the terminal."""

    redraws = True

    def __init__(self, *, since: float = 0.0) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=output(), highlight=False, markup=False, emoji=False)
        self._live: Live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._since = since
        self._begun = time.time()
        self.queues: dict[str, Unclaimed] = {}  # of plans with tasks under shared limits
        self._order: dict[str, tuple[str, list[int]]] = {}
        self._said: Sequence[Line] = ()

    def began_earlier(self, fold: PlanFold, task: Task, waits: str) -> None:
        return

    def happened(self, fold: PlanFold, envelope: Envelope, *, news: bool) -> None:
        if isinstance(envelope.event, (TasksPlanned, PlanRevised, UndoPlanned)):
            self._order.pop(fold.plan_id, None)

    def draw(self, folds: Sequence[PlanFold], below: Sequence[Line]) -> None:
        from rich.console import ConsoleDimensions, Group

        if not self._live.is_started:
            self._live.start()
        # Of the stream that is drawn on: the standard ones may be pipes.
        self._console.size = ConsoleDimensions(*terminal_size(output()))
        width, height = self._console.size
        most = max(height - 4, 1)
        if len(below) > most and below[:-1] != self._said:
            self._said = below[:-1]  # a question that is higher than the terminal: all of it, above
            for line in self._said:
                self.say(line)
        below = below[-most:]
        room = max(height - 1 - len(below), 2)
        lines = (*self._table(folds, width, room), *below)
        texts = [_text(fit_line(line, width), wraps=False) for line in lines]
        self._live.update(Group(*texts), refresh=True)

    def _table(self, folds: Sequence[PlanFold], width: int, room: int) -> list[Line]:
        busy = [fold for fold in folds if fold.state.tasks]
        shown = busy[: max(room // 3, 1)]
        lines: list[Line] = []
        for place, fold in enumerate(shown):
            share = (room - len(lines)) // (len(shown) - place)
            lines += self._plan(fold, width, share, named=len(busy) > 1)
        if len(shown) < len(busy):
            lines[-1:] = [[(f"... and {len(busy) - len(shown)} more plans", "dim")]]
        return lines

    def _plan(self, fold: PlanFold, width: int, room: int, *, named: bool) -> list[Line]:
        name = clean(fold.state.title) or clean(fold.plan_id)
        if named and fold.state.title:
            name = f"{clean(fold.plan_id)} {name}"
        elapsed = duration(time.time() - self._begun)
        queue = self.queues.get(fold.plan_id)
        waiting = NO_TASKS if queue is None else queue.tasks
        claimed_at = NO_TIMES if queue is None else queue.claimed_at
        head: Line = [*header_line(fold, waiting), (f", {elapsed}", "dim")]
        lines: list[Line] = [[(name, "bold")], head]
        tasks = self._tasks(fold)
        rows = max(room - len(lines), 0)
        chosen = tasks if len(tasks) <= rows else _what_matters(tasks, max(rows - 1, 0))
        now, pad = time.time(), id_width(fold)
        for task in chosen:
            line = task_line(
                fold,
                task,
                width=width,
                pad=pad,
                now=now,
                since=self._since,
                unclaimed=waiting,
                claimed_at=claimed_at,
            )
            lines.append(line)
        if len(chosen) < len(tasks):
            lines.append([("  ... " + _rest(tasks, chosen), "dim")])
        return lines[: max(room, 2)]

    def _tasks(self, fold: PlanFold) -> list[Task]:
        tasks = fold.state.tasks
        revision, order = self._order.get(fold.plan_id, ("", []))
        if revision != fold.state.revision_hash:
            order = [spec.id for spec in reading_order(specs_of(fold))]
            self._order[fold.plan_id] = (fold.state.revision_hash, order)
        return [tasks[task_id] for task_id in order]

    def say(self, line: Line) -> None:
        self._console.print(_text(line))

    def redraw_all(self) -> None:
        """Draw after another program used the terminal, without overwriting its output."""
        self._live._live_render._shape = None

    def close(self) -> None:
        self._live.stop()


def _text(line: Line, *, wraps: bool = True) -> Text:
    from rich.text import Text

    parts = ((part, STYLES[style]) for part, style in line)
    return Text.assemble(*parts, no_wrap=not wraps, overflow="fold" if wraps else "crop")


def _what_matters(tasks: Sequence[Task], most: int) -> list[Task]:
    """The tasks to show, in graph order: those that run, ask or failed, then those that come next,
    then those that ended last."""
    first = (TaskStatus.Running, TaskStatus.NeedsClarification, TaskStatus.Failed)
    ranked: list[list[int]] = [[], [], []]
    for place, task in enumerate(tasks):
        if task.status in first:
            ranked[0].append(place)
        else:
            ranked[1 if task.status is TaskStatus.Planned else 2].append(place)
    ended = ranked[2][::-1]
    soon = ranked[1][: max(most // 3, most - len(ranked[0]) - len(ended))]
    chosen = (ranked[0] + soon + ended)[:most]
    return [tasks[place] for place in sorted(chosen)]


def _rest(tasks: Sequence[Task], chosen: Sequence[Task]) -> str:
    shown = {task.id for task in chosen}
    counts: dict[str, int] = {}
    for task in tasks:
        if task.id not in shown:
            name = status_word(task.status.value)
            counts[name] = counts.get(name, 0) + 1
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{counted(sum(counts.values()), 'more task')}: {parts}"


def display_for(
    paper: Paper, *, as_json: bool, since: float = 0.0, name_plans: bool = False
) -> Display:
    """The display that suits where standard output goes."""
    if as_json:
        return Silence()
    if can_draw() and not paper.is_dumb:
        return LiveTable(since=since)
    return PlainLines(paper, name_plans=name_plans)
