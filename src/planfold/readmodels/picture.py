"""A plan as a picture: its graph and its timeline, as SVG or as a page in HTML.

Both are one file without scripts, fonts or links to other files. Texts of the plan are escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from planfold.readmodels.graph_picture import graph_elements, status_words
from planfold.readmodels.labels import (
    STATUS_MARKS,
    clean,
    counted,
    duration,
    fit,
    labelled,
    name_of,
    shown_as,
    status_word,
)
from planfold.readmodels.layout import Layout
from planfold.readmodels.ledger import ledger_of
from planfold.readmodels.picture_style import STYLE, escaped, words
from planfold.readmodels.timeline import Phase, Timeline
from planfold.readmodels.timeline_picture import TimelinePicture

_LEAST_W: Final = 1180
_TITLE_H: Final = 62
_NOT_WAITING: Final = (Phase.Running, Phase.Stopping, Phase.Ended)


class Picture:
    """The picture of a plan as folded by ``timeline``, up to ``now`` (seconds since the epoch)."""

    def __init__(self, timeline: Timeline, now: float) -> None:
        state = timeline.state
        self._timeline, self._now = timeline, now
        self._title = state.title or timeline.fold.plan_id
        self._layout = Layout(labelled(task.spec for task in state.written().values()))
        self._ledger = ledger_of(timeline, now)
        self._width = max(self._layout.width, _LEAST_W)
        self._times = TimelinePicture(timeline, self._layout, self._ledger, self._width)

    def svg(self) -> str:
        """The graph above the timeline."""
        below = _TITLE_H + self._layout.height
        height = below + self._times.height
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self._width:g}" '
            f'height="{height:g}" viewBox="0 0 {self._width:g} {height:g}" '
            'font-family="system-ui,sans-serif" font-size="13">',
            f"<title>{escaped(self._title)}</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
            '<path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
            '<rect class="page" width="100%" height="100%"/>',
            words(16, 28, fit(clean(self._title), 70), "ink", ' font-size="17" font-weight="bold"'),
            words(16, 50, self._facts(), "dim"),
            f'<g transform="translate(0 {_TITLE_H})">',
            *graph_elements(self._layout, self._statuses(), self._critical()),
            "</g>",
        ]
        if self._times.height:
            parts += [f'<g transform="translate(0 {below:g})">', *self._times.elements(), "</g>"]
        return "\n".join([*parts, "</svg>\n"])

    def html(self) -> str:
        """The same as a page, with a table that lists every task, also those of fan-outs."""
        title = escaped(self._title)
        return "\n".join(
            [
                '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
                '<meta http-equiv="Content-Security-Policy" '
                "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
                '<meta name="viewport" content="width=device-width">',
                '<meta name="color-scheme" content="light dark">',
                f"<title>{title}</title>",
                "<style>body{font:14px system-ui,sans-serif;margin:1rem}.scroll{overflow-x:auto}"
                "td,th{text-align:left;padding:.15rem .8rem .15rem 0}td.n{text-align:right}"
                "</style></head><body>",
                f'<div class="scroll">{self.svg()}</div>',
                "<table><thead><tr><th>Task<th>Status<th>Attempts<th>Waited<th>Ran<th>What"
                "</thead><tbody>",
                *self._rows(),
                "</tbody></table></body></html>\n",
            ]
        )

    def _facts(self) -> str:
        state = self._timeline.state
        began = datetime.fromtimestamp(state.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        status = status_word(state.status.value)
        took = duration(self._ledger.seconds)
        counts = Counter(shown_as(state, task) for task in state.written().values())
        parts = (f"{counts[s]:,} {status_words(s)}" for s in STATUS_MARKS if counts[s])
        tasks = f"{counted(counts.total(), 'task')}: {', '.join(parts)}"
        return f"{status} · {tasks} · {took} since {began}"

    def _statuses(self) -> dict[int, str]:
        state = self._timeline.state
        return {i: shown_as(state, task) for i, task in state.tasks.items()}

    def _critical(self) -> set[int]:
        return {entry.task_id for entry in self._ledger.entries}

    def _rows(self) -> Iterator[str]:
        end, state = self._ledger.start + self._ledger.seconds, self._timeline.state
        for node in self._layout.nodes:
            for spec in node.tasks:
                task, spans = state.tasks[spec.id], self._timeline.spans(spec.id, end)
                ran = sum(s.seconds(end) for s in spans if s.phase is Phase.Running)
                waited = sum(s.seconds(end) for s in spans if s.phase not in _NOT_WAITING)
                yield (
                    f"<tr><td>{escaped(name_of(spec))}<td>{status_words(shown_as(state, task))}"
                    f'<td class="n">{task.attempt}<td class="n">{duration(waited)}'
                    f'<td class="n">{duration(ran)}<td>{escaped(spec.description)}'
                )
