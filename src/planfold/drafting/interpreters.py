"""Which words of a command line are programs, and which are code that a program reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

_INTERPRETERS: Final = re.compile(
    r"(?:.*/)?(?:(?:ba|da|z|k|mk|fi|a|c|tc|rba|pw)?sh|powershell|python[\d.]*|pypy[\d.]*|perl|ruby"
    r"|node|nodejs|deno|bun|php|lua[\d.]*|R|Rscript|julia|osascript|tclsh|su|runuser|flock|script)"
)
_REMOTE: Final = re.compile(r"(?:.*/)?(?:ssh|rsh|mosh|watch|parallel|eval)")
_STARTERS: Final = re.compile(
    r"(?:.*/)?(?:sudo|doas|env|nice|ionice|nohup|setsid|stdbuf|time|timeout|xargs|command|exec"
    r"|builtin|busybox)"
)
_BEFORE_PROGRAM: Final = re.compile(r"-|\w+=|\d")
_CODE: Final = re.compile(r"-\w*[ceEpr]|--(?:eval|command|execute|print|run)|-(?:Command|c:v)")
_CONTAINERS: Final = re.compile(r"(?:.*/)?(?:docker|podman|kubectl|oc)")
_BEGINS: Final = re.compile(r"-(?:exec|execdir|ok|okdir)")  # of find: a command follows


def programs_in(words: Sequence[str], is_value: Callable[[str], bool]) -> Iterator[int]:
    """The places of the programs of a command line, also where another one starts them, as in
    ``sudo -u web make`` or ``find . -exec rm``. What ``is_value`` is never only an option."""
    starts = [0, *(place + 1 for place, word in enumerate(words) if _BEGINS.fullmatch(word))]
    for start in starts:
        for place in range(start, len(words)):
            word = words[place]
            if place > start and _BEFORE_PROGRAM.match(word) and not is_value(word):
                continue
            if not _STARTERS.fullmatch(word):
                yield place
                break


def code_in(words: Sequence[str]) -> list[str]:
    """The words that a shell, here or on another machine, or an interpreter reads as code."""
    for place, word in enumerate(words):
        if _REMOTE.fullmatch(word):
            return list(words[place + 1 :])
    first = next((n for n, word in enumerate(words) if _INTERPRETERS.fullmatch(word)), len(words))
    behind = [word for word in words[first + 1 :] if word != "--"]
    attached = []
    for word in behind:
        if not word.startswith("-"):
            break
        attached.append(word)  # -cCODE, --eval=CODE
    return attached + [code for option, code in pairwise(behind) if _CODE.fullmatch(option)]


def reads_code(words: Sequence[str]) -> bool:
    """Whether a command line runs what it reads from its standard input: ``sh``, ``ssh web``."""
    if _CONTAINERS.fullmatch(words[0]):
        return _INTERPRETERS.fullmatch(words[-1]) is not None
    for place in programs_in(words, lambda _: False):
        behind = [each for each in words[place + 1 :] if not each.startswith("-")]
        if _REMOTE.fullmatch(words[place]) and len(behind) <= 1:
            return True
        if _INTERPRETERS.fullmatch(words[place]) and not behind:
            return True
    return False
