"""Command lines: which word is the program, and which words are read as code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Final

# Programs that start another one, with those of their options that have a value of their own.
_STARTERS: Final = {
    "sudo": "CDRTUghprtu",
    "doas": "Cu",
    "env": "Cu",
    "nice": "n",
    "ionice": "Pcnptu",
    "stdbuf": "eio",
    "time": "fo",
    "timeout": "ks",
    "xargs": "EILPadns",
    "exec": "a",
    **dict.fromkeys(("nohup", "setsid", "command", "builtin", "busybox"), ""),
}
_BEFORE_PROGRAM: Final = re.compile(r"-|\w+=|\d")
_REMOTE: Final = frozenset(("ssh", "rsh", "mosh", "watch", "parallel", "eval"))
_CONTAINERS: Final = frozenset(("docker", "podman", "kubectl", "oc"))
_INTERPRETERS: Final = re.compile(
    r"(?:ba|da|z|k|mk|fi|a|c|tc|rba|pw)?sh|powershell|python[\d.]*|pypy[\d.]*|perl|ruby|node|nodejs"
    r"|deno|bun|php|lua[\d.]*|R|Rscript|julia|osascript|tclsh|su|runuser|flock|script"
)
_FILTERS: Final = re.compile(r"[gmn]?awk|g?sed")
_CODE: Final = re.compile(r"-\w*[ceErp]|--?(?:eval|print|run|command|init-command|execute)", re.I)
_WITH_VALUE: Final = re.compile(r"[-+][oO]")
_FILTER_VALUE: Final = re.compile(r"-[vFl]|--(?:assign|field-separator)")
_FILTER_CODE: Final = re.compile(r"-\w*[ef]|--(?:expression|file)")
_PROGRAM_FOLLOWS: Final = frozenset(("-exec", "-execdir", "-ok", "-okdir"))


def program_of(words: Sequence[str], is_value: Callable[[str], bool]) -> str:
    """The program of a command line, also where another one starts it: ``sudo -u web make``. A word
    that ``is_value`` is the program where it could be."""
    place = _place_of_program(words, is_value)
    return words[place] if place < len(words) else ""


def reads_code(words: Sequence[str]) -> bool:
    """Whether a command line runs what it reads from its standard input: ``sh``, ``ssh web``."""
    if words and words[0].rpartition("/")[2] in _CONTAINERS:
        return _INTERPRETERS.fullmatch(words[-1].rpartition("/")[2]) is not None
    place = _place_of_program(words, lambda _: False)
    if place == len(words):
        return False
    name = words[place].rpartition("/")[2]
    behind = [each for each in words[place + 1 :] if not each.startswith("-")]
    if name in _REMOTE:
        return len(behind) <= 1
    return _INTERPRETERS.fullmatch(name) is not None and not behind


def _place_of_program(words: Sequence[str], is_value: Callable[[str], bool]) -> int:
    place, valued = 0, ""
    while place < len(words):
        word = words[place]
        name = word.rpartition("/")[2]
        place += 1
        if place > 1 and _BEFORE_PROGRAM.match(word) and not is_value(word):
            place += len(word) == 2 and word[0] == "-" and word[1] in valued
        elif name in _STARTERS:
            valued = _STARTERS[name]
        else:
            return place - 1
    return len(words)


def code_in(words: Sequence[str]) -> Iterator[str]:
    """The words that a shell, here or on another machine, or an interpreter reads as code, and the
    programs that ``find`` starts."""
    names = [word.rpartition("/")[2] for word in words]
    for place, name in enumerate(names):
        after = words[place + 1 :]
        if name in _REMOTE:
            yield from after
        elif name in _PROGRAM_FOLLOWS:
            yield from after[:1]
        elif _INTERPRETERS.fullmatch(name):
            yield from _code_of_interpreter(after)
        elif _FILTERS.fullmatch(name):
            yield from _code_of_filter(after)


def _code_of_interpreter(words: Sequence[str]) -> Iterator[str]:
    yield from takewhile(_is_option, words)  # the code may be part of one: -c..., --eval=...
    for place, option in enumerate(words):
        if _CODE.fullmatch(option):
            yield from words[place + 1 : _next_operand(words, place + 1, _WITH_VALUE) + 1]


def _code_of_filter(words: Sequence[str]) -> Iterator[str]:
    """Of ``awk`` and ``sed``, whose programs can start others."""
    written = False
    for place, option in enumerate(words):
        if _FILTER_CODE.match(option):
            written = True
            yield from words[place : place + 2]
    if not written:
        yield from words[: _next_operand(words, 0, _FILTER_VALUE) + 1][-1:]


def _next_operand(words: Sequence[str], place: int, valued: re.Pattern[str]) -> int:
    """The place of the first word from ``place`` on that is neither an option nor its value."""
    while place < len(words) and _is_option(words[place]):
        place += 2 if valued.fullmatch(words[place]) else 1
    return place


def _is_option(word: str) -> bool:
    return word.startswith(("-", "+"))
