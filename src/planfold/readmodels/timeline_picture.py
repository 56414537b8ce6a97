"""The timeline of a plan as SVG: a row for each task, its attempts and waits as segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from planfold.readmodels.graph_picture import node_name, status_words
from planfold.readmodels.labels import clean, duration, fit, shown_as
from planfold.readmodels.layout import Layout, Node
from planfold.readmodels.ledger import Ledger
from planfold.readmodels.picture_style import box, line, words
from planfold.readmodels.time_scale import TimeScale
from planfold.readmodels.timeline import Phase, PhaseSpan, Timeline

LABEL_W, _ROW_H, _COUNTED_H, _BAR_H, _AXIS_H, _LEGEND_H = 250, 20, 52, 11, 26, 34
_PAGE: Final = 50  # rows
_TAIL_W: Final = 190  # for the words behind a row
_QUEUED: Final = (Phase.Worker, Phase.PlanLimit, Phase.RouteLimit, Phase.MapLimit)
_WAITING: Final = (Phase.Approval, Phase.Pause, Phase.Retry, Phase.Answer, Phase.Budget)
_RAN: Final = (Phase.Running, Phase.Stopping)


class TimelinePicture:
    """The timeline of a plan up to ``now``, ``width`` pixels wide. ``height`` is 0 if no time has
    passed in the plan."""

    def __init__(self, timeline: Timeline, layout: Layout, ledger: Ledger, width: float) -> None:
        self._start, self._end = ledger.start, ledger.start + ledger.seconds
        self._timeline, self._layout, self._ledger = timeline, layout, ledger
        self._spans = {
            spec.id: timeline.spans(spec.id, self._end)
            for node in layout.nodes
            for spec in node.tasks
        }
        ran = [
            self._times(span)
            for spans in self._spans.values()
            for span in spans
            if span.phase in _RAN
        ]
        room = width - LABEL_W - _TAIL_W
        self._scale = TimeScale(ran, self._start, self._end, room)
        self._rows: dict[int, tuple[float, Node]] = {}  # of each task
        self._axes = [float(_LEGEND_H)]  # one above each page of rows
        top = float(_LEGEND_H + _AXIS_H)
        for row, node in enumerate(layout.nodes):
            if row and row % _PAGE == 0:
                self._axes.append(top)
                top += _AXIS_H
            self._rows |= {spec.id: (top, node) for spec in node.tasks}
            top += _COUNTED_H if node.counted else _ROW_H
        self.height = top + 10 if ledger.seconds > 0 else 0.0

    def elements(self) -> Iterator[str]:
        """The elements, from (0, 0) on."""
        yield from _legend()
        yield from self._axis()
        critical = {entry.task_id for entry in self._ledger.entries}
        for node in self._layout.nodes:
            first = node.tasks[0]
            y, bold = self._rows[first.id][0], any(spec.id in critical for spec in node.tasks)
            yield from _label(node, y, bold=bold)
            if node.counted:
                yield from self._crowd(node, y)
            else:
                yield from self._row(first.id, y)
        for entry in self._ledger.entries:
            if entry.phase not in (Phase.Parents, Phase.Ended):
                yield from self._critical(entry)

    def _times(self, span: PhaseSpan) -> tuple[float, float]:
        return span.start, self._end if span.end is None else span.end

    def _places(self, span: PhaseSpan) -> tuple[float, float]:
        begin, end = self._times(span)
        left = LABEL_W + self._scale.at(begin)
        return left, max(LABEL_W + self._scale.at(end) - left, 1.0)

    def _axis(self) -> Iterator[str]:
        top, small = _LEGEND_H + 14, ' font-size="11"'
        for place, seconds in self._scale.ticks():
            x = LABEL_W + place
            yield line(x, top + 4, x, self.height - 10, "grid")
            for axis in self._axes:
                yield words(x + 3, axis + 14, _offset(seconds), "dim", small)
        for left, right, seconds in self._scale.gaps:
            rest = ' fill-opacity="0.55"'
            x = LABEL_W + left
            yield box(x, top + 4, right - left, self.height - 14 - top, "gap", rest)
            middle = small + ' font-style="italic" text-anchor="middle"'
            yield words(x + (right - left) / 2, top, f"≈ {duration(seconds)}", "ink", middle)

    def _row(self, task_id: int, y: float) -> Iterator[str]:
        spans, right = self._spans[task_id], float(LABEL_W)
        middle = y + _ROW_H / 2
        for span in spans:
            x, width = self._places(span)
            if span.phase in _QUEUED:
                yield box(x, middle - 3, width, 6, "queued")
            elif span.phase in _RAN:
                kind = "running" if span.phase is Phase.Running else "stopping"
                yield box(x, middle - _BAR_H / 2, width, _BAR_H, f"span {kind}")
                if span.attempt > 1 and width > 14:
                    number = ' font-size="10" font-weight="bold"'
                    yield words(x + 4, middle + 3.5, str(span.attempt), "page", number)
            elif span.phase in _WAITING:
                yield line(x, middle, x + width, middle, "waiting")
            else:
                continue
            right = x + width
        ran = sum(self._length(span) for span in spans if span.phase in _RAN)
        status = shown_as(self._timeline.state, self._timeline.state.tasks[task_id])
        tail = status_words(status) + (f", ran {duration(ran)}" if ran else "")
        yield words(right + 6, middle + 4, tail, f"word {status}", ' font-size="11"')

    def _length(self, span: PhaseSpan) -> float:
        begin, end = self._times(span)
        return end - begin

    def _crowd(self, node: Node, y: float) -> Iterator[str]:
        """The number of running tasks of a fan-out over time."""
        spans = [s for spec in node.tasks for s in self._spans[spec.id] if s.phase in _RAN]
        steps = _running([self._times(span) for span in spans])
        most = max((count for _, count in steps), default=0)
        right, bottom = float(LABEL_W), y + _COUNTED_H - 8
        if most:
            x = LABEL_W + self._scale.at(steps[0][0])
            path = [f"M{x:.6g} {bottom:.6g}"]
            for time, count in steps:
                right = LABEL_W + self._scale.at(time)
                height = bottom - (_COUNTED_H - 14) * count / most
                path.append(f"H{right:.6g}V{height:.6g}")
            yield f'<path class="running" d="{"".join(path)}Z"/>'
        counts = _statuses(self._timeline, node)
        shown = ", ".join(f"{status_words(s).split()[0]} {n:,}" for s, n in counts.items())
        yield words(right + 6, y + 22, shown, "ink", ' font-size="11"')
        if most:
            yield words(right + 6, y + 36, f"up to {most:,} at once", "dim", ' font-size="11"')

    def _critical(self, entry: PhaseSpan) -> Iterator[str]:
        if entry.task_id not in self._rows:
            return
        y, node = self._rows[entry.task_id]
        x, width = self._places(entry)
        middle, height = y + _ROW_H / 2, _BAR_H + 3.0
        if node.counted:
            middle, height = y + _COUNTED_H - 5, 3.0
        yield box(x, middle - height / 2, width, height, "span critical")


def _label(node: Node, y: float, *, bold: bool) -> Iterator[str]:
    first = node.tasks[0]
    text = node_name(node)
    if not node.counted:
        text = fit(f"{text}: {clean(first.description)}", 36)
    weight = ' font-size="12" font-weight="bold"' if bold else ' font-size="12"'
    yield words(16, y + (_COUNTED_H if node.counted else _ROW_H) / 2 + 4, text, "ink", weight)


def _legend() -> Iterator[str]:
    small, y = ' font-size="11"', 16.0
    yield box(16, y - 9, 30, _BAR_H, "span running")
    yield words(51, y, "running", "ink", small)
    yield box(110, y - 6, 30, 6, "queued")
    yield words(145, y, "queued", "ink", small)
    yield line(200, y - 3, 230, y - 3, "waiting")
    yield words(235, y, "waiting for a person, approval or a retry", "ink", small)
    yield box(470, y - 10, 30, _BAR_H + 2, "span critical")
    yield words(506, y, "critical path", "ink", small)
    yield box(590, y - 10, 30, _BAR_H + 2, "gap")
    yield words(626, y, "nothing runs; shortened, with its length", "ink", small)


def _offset(seconds: float) -> str:
    if seconds == 0:
        return "0 s"
    return f"{seconds:g} s" if seconds < 60 else duration(seconds).removesuffix(" 0 s")


def _running(times: Iterable[tuple[float, float]]) -> Sequence[tuple[float, int]]:
    """Each time at which the number of running tasks changes, and the number from then on."""
    changes: dict[float, int] = {}
    for begin, end in times:
        changes[begin] = changes.get(begin, 0) + 1
        changes[end] = changes.get(end, 0) - 1
    count, steps = 0, []
    for time in sorted(changes):
        count += changes[time]
        steps.append((time, count))
    return steps


def _statuses(timeline: Timeline, node: Node) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for spec in node.tasks:
        status = shown_as(timeline.state, timeline.state.tasks[spec.id])
        found[status] = found.get(status, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))
