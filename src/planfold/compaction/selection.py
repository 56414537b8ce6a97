"""Choose the lines of an error that fit, the most informative ones first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from planfold.compaction.causes import JSON_LEVEL, TELLING, Rank, find_causes
from planfold.compaction.truncation import GAP, truncate_middle

_MOST = 2_000_000  # characters: of a longer text the middle is ignored
_LINE = 1_000  # characters: a longer line is handled in pieces
_WIDTHS = (1_000, 300, 200, 150, 120, 90, 70)  # of a line, so that more causes find room
_INDENT = 4
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b\n]{0,300}\x07")
_FOLDERS = re.compile(r"(?<![\w./~-])(?:[A-Za-z]:|~|\.{1,2})?(?:[/\\][^/\\\s:\"'()]+){3,}(?=[/\\])")
_ERROR_IN_JSON = re.compile(rf'{JSON_LEVEL}|"(?:error|err|exc_info|exception|stack|traceback)" ?:')


def select(text: str, limit: int) -> str:
    """At most ``limit`` characters of ``text``, which is longer; see ``compact_error_message``."""
    if len(text) > _MOST:
        text = f"{text[: _MOST // 2]}\n{GAP}\n{text[-_MOST // 2 :]}"
    lines = _lines(text)
    if "\n" not in text and "\r" not in text and not _ERROR_IN_JSON.search(text):
        return _truncate_line(text, limit)
    page = _Page(lines, limit)
    findings = find_causes(lines)
    for rank in (Rank.Cause, Rank.Symptom):
        page.add_all([finding.lines for finding in findings if finding.rank is rank])
    page.add_all([(len(lines) - 1,), (0,)])
    page.add_all([finding.lines for finding in findings if finding.rank is Rank.Frame])
    hints = [finding.lines for finding in reversed(findings) if finding.rank is Rank.Hint]
    page.add_while_room(hints)
    page.add_while_room((index,) for index in range(len(lines) - 1, -1, -1))
    return page.text()


class _Page:
    """The lines chosen so far, and how many characters are left."""

    def __init__(self, lines: list[str], limit: int) -> None:
        self._lines = lines
        self._chosen: dict[int, str] = {}
        self._room = limit + len(GAP) + 2  # the first line has neither a gap nor a newline before

    def add_all(self, groups: list[tuple[int, ...]]) -> None:
        """Add all of these lines, cut as far as necessary; if they do not fit even then, the last
        ones and then the first ones."""
        width = _WIDTHS[0]
        for width in _WIDTHS:
            wanted = {i: self._truncated(i, width) for lines in groups for i in lines}
            if sum(self._cost(i, line) for i, line in wanted.items()) <= self._room:
                break
        for lines in (*groups[-1:], *groups[:-1]):
            if self._room < len(GAP):
                break
            self._add(lines, width)

    def add_while_room(self, groups: Iterable[tuple[int, ...]]) -> None:
        for lines in groups:
            if self._room < 20 or not self._add(lines, _WIDTHS[1]):
                break

    def _add(self, lines: tuple[int, ...], width: int) -> bool:
        new = {i: self._truncated(i, width) for i in lines if i not in self._chosen}
        if sum(self._cost(i, line) for i, line in new.items()) > self._room:
            return False
        for index, line in new.items():
            self._room -= self._cost(index, line)
            self._chosen[index] = line
        return True

    def _cost(self, index: int, line: str) -> int:
        if index in self._chosen:
            return 0
        beside = (index - 1 in self._chosen) + (index + 1 in self._chosen)
        return len(line) + 1 + (len(GAP) + 1) * (1 - beside)

    def _truncated(self, index: int, width: int) -> str:
        line = self._lines[index]
        indent = len(line) - len(line.lstrip())
        line = line[max(indent - _INDENT, 0) :]
        if len(line) > width:
            line = _FOLDERS.sub("...", line)
        return _truncate_line(line, width)

    def text(self) -> str:
        parts: list[str] = []
        previous = -1
        for index in sorted(self._chosen):
            if parts and index != previous + 1:
                parts.append(GAP)
            parts.append(self._chosen[index])
            previous = index
        return "\n".join(parts)


def _lines(text: str) -> list[str]:
    """Lines as a person would see them: without colours, overwritten progress bars and
    trailing blanks; errors inside JSON log lines are spread out."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    lines: list[str] = []
    for raw in text.split("\n"):
        line = raw.rstrip()
        if "\r" in line:
            line = line[line.rindex("\r") + 1 :]
        if line.startswith("{") and line.endswith("}") and _ERROR_IN_JSON.search(line):
            lines += _spread(line)
        elif len(line) > _LINE:
            lines += (line[i : i + _LINE] for i in range(0, len(line), _LINE))
        else:
            lines.append(line)
    return lines


def _spread(line: str) -> list[str]:
    """A JSON log line: its short values as JSON again, then its long texts line by line."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return [line[i : i + _LINE] for i in range(0, len(line), _LINE)]
    short: dict[str, Any] = {}
    texts: list[str] = []
    for key, value in _flat(record, 3):
        if isinstance(value, str) and ("\n" in value or len(value) > _WIDTHS[1]):
            pieces = (piece.rstrip() for piece in value.splitlines())
            texts += [f"{key}:", *(p[i : i + _LINE] for p in pieces for i in _starts(p))]
        elif value not in (None, "", {}, []):
            short[key] = value
    head = msgspec.json.encode(short).decode()
    return [*(head[i : i + _LINE] for i in _starts(head)), *texts]


def _starts(text: str) -> range:
    return range(0, max(len(text), 1), _LINE)


def _flat(record: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict) and depth:
            yield from ((f"{key}.{inner}", each) for inner, each in _flat(value, depth - 1))
        else:
            yield key, value


def _truncate_line(line: str, width: int) -> str:
    """Both ends of a line that is too long; or what it says of an error in its middle."""
    if len(line) <= width:
        return line
    half = (width - len(GAP)) // 2
    found = TELLING.search(line)
    if found is not None and half < found.start() < len(line) - half:
        start = found.start()
        return f"{GAP}{line[start : start + width - 2 * len(GAP)]}{GAP}"
    return truncate_middle(line, width)
