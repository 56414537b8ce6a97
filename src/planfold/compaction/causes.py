"""Find what went wrong in the output of compilers, interpreters, test runners, shells and logs.

Every pattern here takes time linear in the length of the line, for any content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

import msgspec

ABOVE, BELOW = 6, 12  # lines: the greatest distance between an error and its place
_FRAMES = 60  # lines: how far up to look for a frame that is not in a library


class Rank(IntEnum):
    """How informative a line is; lines of lower rank are left out first."""

    Cause = 0  # an error's type and message, and where it happened
    Symptom = 1  # what follows from it; the rest of its message
    Frame = 2  # the first and the last line, the code at fault
    Hint = 3  # warnings, places, words that suggest an error
    Rest = 4


class Finding(msgspec.Struct, frozen=True):
    """Indices of lines that belong together."""

    rank: Rank
    lines: tuple[int, ...]


_START = r"^[\s|+>*!-]*(?:E {2,})?"
_NAME = r"[A-Z]\w*(?:Error|Exception|Failure|Fault|Interrupt|Exit|Expired|ExceptionGroup|Panic)"
_TYPE = rf"(?:[A-Za-z_]\w*[.$])*{_NAME}"
# What a line begins with that states an error.
_CAUSE = re.compile(
    rf"{_START}(?:Exception in thread \S+ |Uncaught |Unhandled |Caused by: |Fatal )?"
    rf"{_TYPE}(?=:|\(|\s*$| \[)"
    rf"|{_START}(?:Caused by: |Suppressed: |Exception in thread |panic: )"
    rf"|{_START}(?:[\w.-]+:? )?(?i:error|fatal|fatal error|internal error)(?:\[\w+\])?(?:: | near )"
    r"|^E {3,}\S|^Fatal Python error|^npm (?:ERR!|error) (?:code|[A-Z]\w*Error)\b"
    r"|^Failed example:|^Expected:$|^Got:$|^CONFLICT |^ ! \["
    r"|^\S+: (?:line )?\d+: |^\S+:\d+: \*\*\* |^[\w/.-]{1,80}(?:\[\d+\])?: \*\*\* (?!\[)"
    r"|^\s*(?!\d\d:)[^\s:()]*[A-Za-z]\w{0,9}(?::\d+(?::\d+)?|\(\d+,\d+\)): ?[^\s\d]"
)
_CAUSE_WITHIN = re.compile(
    r"\bpanicked at |: undefined reference to|Segmentation fault|\(core dumped\)"
    r"|\b[Aa]ssertion\b.{0,80}\bfailed\b|\bat \S{1,300} line \d+\.$"
    r"|(?:^|[\s\[<|])(?:ERROR|FATAL|CRITICAL|SEVERE|EMERG)(?=[\s\]>:|])|\blevel=(?:error|fatal)\b"
)
_SYMPTOM = re.compile(
    rf"\b{_NAME}(?:: |\(|$)|\*\*\*|^(?:FAIL|FAILED|ERROR)\b|^npm (?:ERR!|error) "
    r"|^\s*[\u00d7\u2717\u2718] "
    r"|(?i:\b(?:no such|not found|cannot|can't|could not|couldn't|unable to|denied|refused"
    r"|timed out|unexpected|invalid|failed to|does not exist|did not|killed|aborted|exited with"
    r"|non-zero|exit (?:code|status) [1-9]|must be|already exists|mismatch)\b)"
)
TELLING = re.compile(rf"\b{_NAME}\b|(?i:\b(?:error|fatal|panic)\b)")
_HINT = re.compile(r"(?i)\b(?:error|fail(?:ed|ure)?|warning|warn|fatal|panic|exception)\b")
_NO_CAUSE = re.compile(
    r"(?i:^\s*(?:warning|note|help|info|debug)\b|: (?:warning|note): |\b(?:0|no) errors?\b)"
    r"|\b(?:DEBUG|INFO|WARN|WARNING)\b(?! .{0,200}\b(?:ERROR|FATAL)\b)"
)
# A line with none of these says nothing, which is quickly seen.
_WORDS = (
    *("error", "err!", "exception", "fail", "fault", "fatal", "panic", "caused by", "suppressed"),
    *("interrupt", "exit", "expired", "expected", "got:", "conflict", "***", "! [", "e   ", "warn"),
    *(
        "undefined reference",
        "core dumped",
        "assert",
        "critical",
        "severe",
        "emerg",
        "\u00d7",
        "\u2717",
        "\u2718",
    ),
    *("no such", "not found", "cannot", "can't", "could not", "couldn't", "unable", "denied"),
    *("refused", "timed out", "invalid", "does not exist", "did not", "killed", "aborted"),
    *("non-zero", "must be", "already exists", "mismatch"),
)
_NUMBERED = re.compile(r"[:(]\d|: \d+:|line \d")
_HEADER = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\)")
PLACE = re.compile(
    r'File "[^"\n]{1,400}", line \d+'
    r"|(?<![\w./\\@-])[\w./\\@-]*[A-Za-z_]\w{0,9}:\d+(?!\w)"
    r"|[\w.-]\(\d+,\d+\)|[\w/.-]: (?:line )?\d+|\bat \S{1,300} line \d+"
)
_PYTHON_PLACE = re.compile(r'^[\s|+]*File "[^"\n]{1,400}", line \d+')
_ARROW = re.compile(r"^\s*--> \S+:\d+")
_LIBRARY = re.compile(
    r"site-packages|dist-packages|/lib/python\d|<frozen |java\.base/|\b(?:java|javax|jdk|sun)\."
    r"|node:internal|node_modules|/go/src/|/rustc/|/usr/include/|/usr/lib/"
)
JSON_LEVEL = r'"(?:level|severity|levelname|lvl|log\.level)" ?: ?"?(?i:err|fatal|crit|50|60)'
_LEVEL = re.compile(JSON_LEVEL)
_STAMP = re.compile(
    r"\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d(?:[.,]\d+)?Z?|0x[0-9a-fA-F]+|\[\d+\]|\b\d+(?:\.\d+)?m?s\b"
)


def find_causes(lines: Sequence[str]) -> list[Finding]:
    """The causes that the lines report, in their order; a repeated cause once."""
    raised = _raised(lines)
    known = {line: _rank(line) for line in set(lines)}
    ranks = [known[line] for line in lines]
    for index in raised.inside:
        ranks[index] = Rank.Rest
    for index in raised.ends:
        ranks[index] = Rank.Cause
    for index, line in enumerate(lines):
        if _ARROW.match(line) and index:
            above = ranks[index - 1]
            said = not _NO_CAUSE.search(lines[index - 1])
            ranks[index - 1] = Rank.Cause if said else above
    said_before: set[str] = set()
    ends = set(raised.ends)
    found: list[Finding] = []
    for index, rank in enumerate(ranks):
        if rank is Rank.Rest:
            continue
        together: list[tuple[Rank, int]] = [(rank, index)]
        if rank is Rank.Cause:
            together += _belonging(lines, ranks, index, raised=index in ends)
        text = "\n".join(_STAMP.sub("", lines[i]).strip() for r, i in together if r is rank)
        if text in said_before:
            continue
        said_before.add(text)
        own = tuple(sorted({i for r, i in together if r is rank}))
        found.append(Finding(rank, own))
        found += (Finding(r, (i,)) for r, i in together if r is not rank)
    return found


class _Raised(msgspec.Struct):
    inside: list[int] = []  # lines of Python tracebacks: frames and code
    ends: list[int] = []  # lines that name what was raised


def _raised(lines: Sequence[str]) -> _Raised:
    """Python's exceptions may have any name: what was raised is the first line after the frames
    that is as far to the left as the traceback's heading."""
    raised = _Raised()
    column: int | None = None
    for index, line in enumerate(lines):
        if "Traceback (" in line and (heading := _HEADER.search(line)):
            column = heading.start()
            raised.inside.append(index)
        elif column is not None:
            if line[column : column + 1].strip():
                raised.ends.append(index)
                column = None
            else:
                raised.inside.append(index)
    return raised


def _rank(line: str) -> Rank:
    lower = line.lower()
    if not any(word in lower for word in _WORDS) and not _NUMBERED.search(line):
        return Rank.Rest
    if _LEVEL.search(line):
        return Rank.Cause
    if not _NO_CAUSE.search(line):
        if _CAUSE.match(line) or _CAUSE_WITHIN.search(line):
            return Rank.Cause
        if _SYMPTOM.search(line):
            return Rank.Symptom
    return Rank.Hint if _HINT.search(line) or PLACE.search(line) else Rank.Rest


def _belonging(
    lines: Sequence[str], ranks: Sequence[Rank], index: int, *, raised: bool
) -> list[tuple[Rank, int]]:
    """What belongs to a cause: the line where it happened, the rest of its message."""
    together: list[tuple[Rank, int]] = []
    after = index + 1
    if lines[index].endswith(":") and after < len(lines) and lines[after].strip():
        together.append((Rank.Cause, after))
    if PLACE.search(lines[index]) and not raised:
        return together
    frame = next((i for i in _up(index) if _PYTHON_PLACE.match(lines[i])), None)
    if frame is None:
        return together + _place_near(lines, ranks, index)
    own = _own_frame(lines, frame)
    together.append((Rank.Cause if own == frame else Rank.Symptom, frame))
    together += [(Rank.Cause, own), (Rank.Frame, min(own + 1, index - 1))]
    rest = range(after, min(after + 3, len(lines)))
    together += [(Rank.Symptom, i) for i in rest if lines[i].strip() and ranks[i] > 0]
    return together


def _place_near(lines: Sequence[str], ranks: Sequence[Rank], index: int) -> list[tuple[Rank, int]]:
    """The first place below that is not inside a library, else the first above."""
    near: list[tuple[Rank, int]] = []
    for i in range(index + 1, min(index + 1 + BELOW, len(lines))):
        if ranks[i] is Rank.Cause and not _ARROW.match(lines[i]):
            break
        if PLACE.search(lines[i]):
            if not _LIBRARY.search(lines[i]):
                return [*near, (Rank.Cause, i)]
            near = near or [(Rank.Symptom, i)]
    above = (i for i in _up(index) if ranks[i] > 0 and PLACE.search(lines[i]))
    return near + [(Rank.Cause, i) for i in above][:1]


def _own_frame(lines: Sequence[str], frame: int) -> int:
    """Where an error was raised inside a library: the last frame outside of it."""
    for i in range(frame, max(frame - _FRAMES, -1), -1):
        if _HEADER.search(lines[i]):
            break
        if _PYTHON_PLACE.match(lines[i]) and not _LIBRARY.search(lines[i]):
            return i
    return frame


def _up(index: int) -> range:
    return range(index - 1, max(index - 1 - ABOVE, -1), -1)
