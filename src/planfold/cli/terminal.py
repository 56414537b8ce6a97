"""Printing safely: what comes from plans, tools and people is data, never terminal control.

Output is built of lines, a line of spans (text, style). The same lines go to a pipe as plain
text, to a terminal with colours, and into the live display.
"""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterable
from typing import IO, Any, Final

from planfold.cli.streams import output, say
from planfold.printable import printable
from planfold.readmodels import labels
from planfold.readmodels.labels import JOINERS, STATUS_MARKS
from planfold.readmodels.labels import clean as clean
from planfold.readmodels.labels import counted as counted
from planfold.readmodels.labels import duration as duration
from planfold.readmodels.labels import width_of as width_of

StyledText = tuple[str, str]  # text, name of a style or ""
Line = list[StyledText]

PIPE_WIDTH: Final = 100
STYLES: Final = {  # in rich's words
    "good": "green",
    "bad": "red",
    "busy": "cyan",
    "ask": "yellow",
    "dim": "dim",
    "bold": "bold",
    "": "",
}
_BLANKS: Final = re.compile(r"[^\S\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029]")  # drawn as a space


def clean_lines(text: str) -> list[str]:
    """The lines of ``text``, each safe to print, with its indentation; no blank ones at the end."""
    lines = text.replace("\r\n", "\n").rstrip().split("\n") if text.strip() else []
    return [printable(_BLANKS.sub(" ", line.expandtabs(4)), JOINERS) for line in lines]


def fit(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns, with a mark where something is left out."""
    return labels.fit(text, width, ELLIPSIS)


def fit_line(line: Line, width: int) -> Line:
    """The line in at most ``width`` columns."""
    spans: Line = []
    for text, style in line:
        room = width - sum(width_of(kept) for kept, _ in spans)
        if room <= 0:
            break
        spans.append((fit(text, room), style))
    return spans


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """``text`` (already clean) in lines of at most ``width`` characters."""
    return textwrap.wrap(
        text,
        max(width, len(rest) + 10),
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )


def can_ask() -> bool:
    """Whether a person sits at a terminal and this process is in its foreground."""
    return _in_foreground(sys.stdin) and can_draw()


def can_draw() -> bool:
    """Whether standard output is a terminal that this process may redraw."""
    return _in_foreground(output())


def _in_foreground(stream: IO[str]) -> bool:
    try:
        return stream.isatty() and os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


class Paper:
    """Where lines go: standard output as it is now."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or output()
        self.is_terminal = self._stream.isatty()
        self.is_dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown", "")
        self._prompt = ""
        self.colour = self.is_terminal and not self.is_dumb and not os.environ.get("NO_COLOR")

    @property
    def width(self) -> int:
        if not self.is_terminal:
            return PIPE_WIDTH
        return max(terminal_size(self._stream)[0], 20)

    def line(self, *spans: StyledText | str) -> None:
        """Print one line. Its texts are clean already."""
        parts = [(span, "") if isinstance(span, str) else span for span in spans]
        self._stream.write("".join(self._painted(*part) for part in parts).rstrip() + "\n")

    def lines(self, lines: Iterable[Line], *, width: int | None = None) -> None:
        """Print lines, at once; a prompt that is open is shown again below them."""
        self._stream.write("\n" if self._prompt else "")
        for line in lines:
            self.line(*(fit_line(line, width) if width else line))
        self._stream.write(self._prompt)
        self.flush()

    def prompt(self, text: str) -> None:
        """Ask for a line; call with "" once it was typed."""
        self._prompt = text
        self._stream.write(text)
        self.flush()

    def flush(self) -> None:
        self._stream.flush()

    def _painted(self, text: str, style: str) -> str:
        if not self.colour or not style or not text:
            return text
        from rich.color import ColorSystem
        from rich.style import Style

        return Style.parse(STYLES[style]).render(text, color_system=ColorSystem.STANDARD)


def in_json(value: Any, *, indent: int | None = None) -> str:
    """``value`` as JSON that is safe to print."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return printable(text, "\n" + JOINERS, lambda character: json.dumps(character)[1:-1])


def print_json(value: Any) -> None:
    """One JSON value on standard output: indented for a person, on one line for a program."""
    say(in_json(value, indent=2 if output().isatty() else None))


def terminal_size(stream: IO[str]) -> tuple[int, int]:
    """Columns and rows: of COLUMNS and LINES, else of the terminal that ``stream`` is."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    given = [int(text) if text.isdecimal() else 0 for text in map(_variable, ("COLUMNS", "LINES"))]
    return given[0] or columns or PIPE_WIDTH, given[1] or rows or 24


def _variable(name: str) -> str:
    return os.environ.get(name, "")


def clock(at: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def date_and_time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _can(text: str) -> bool:
    try:
        text.encode(output().encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _marks() -> dict[str, str]:
    fancy = dict(STATUS_MARKS)
    plain = dict(zip(fancy, ".>?+x!-<", strict=True))
    return fancy if all(map(_can, fancy.values())) else plain


ELLIPSIS: Final = "…" if _can("…") else "~"
MARKS: Final = _marks()
STATUS_STYLES: Final = {
    "planned": "dim",
    "running": "busy",
    "needs_clarification": "ask",
    "completed": "good",
    "failed": "bad",
    "cancelled": "bad",
    "skipped": "dim",
    "undone": "dim",
    "awaiting_approval": "ask",
    "awaiting_answer": "ask",
    "paused": "ask",
    "cancelling": "bad",
}
