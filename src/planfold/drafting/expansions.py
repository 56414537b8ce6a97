"""Where a shell script reads the value of a variable as code, although it is only expanded: in
arithmetic, with ``eval``, as a program, or as what another shell or interpreter runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from planfold.drafting.command_lines import code_in, program_of, reads_code

ARITHMETIC: Final = "arithmetic"
COMMAND: Final = "command"
_DEPTH: Final = 20  # of substitutions in substitutions
_VALUE: Final = "\0"  # in a word, what a value becomes
_NAME: Final = re.compile(r"\$\{?[!#]?([A-Za-z_]\w*)")
_BARE: Final = re.compile(r"(?<!['\w])[A-Za-z_]\w*")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)(?:\[(.*?)\])?\+?=", re.DOTALL)
_SUBSTRING: Final = re.compile(r"[A-Za-z_]\w*(?:\[.*\])?:(?![-=+?])(.*)", re.DOTALL)
_SUBSCRIPT: Final = re.compile(r"[!#]?[A-Za-z_]\w*\[(.*?)\]", re.DOTALL)
_DOCUMENT: Final = re.compile(r"<<-?[ \t]*(?P<quote>['\"\\]?)(?P<end>[\w.-]{1,60})['\"]?")
_KEYWORDS: Final = frozenset(
    ["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "coproc"]
)
_COMPARES: Final = frozenset(["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v"])
_DECLARES: Final = frozenset(["declare", "local", "export", "readonly", "typeset"])
_EVALUATES: Final = frozenset(
    ["eval", "source", ".", "trap", "unset", "read", "mapfile", "readarray", "getopts"]
)


class _ExpandedCommand(NamedTuple):
    """A simple command: its words without quotes, and whether a value is on its input."""

    words: list[str]
    is_fed: bool


def code_of_values(script: str, names: Collection[str]) -> str | None:
    """How a script reads the value of one of these variables as code, or None: ``ARITHMETIC``
    or ``COMMAND``."""
    return _Reader(script, set(names), 0).found()


class _Reader:
    def __init__(self, script: str, names: set[str], depth: int) -> None:
        self._script = script.replace("\\\n", "")
        self._names = names
        self._depth = depth
        self._faults: list[str] = []
        self._place = 0
        self._words: list[str] = []
        self._word: str | None = None
        self._is_target = False  # of a redirection: not a word of the command
        self._fed = False
        self._documents: list[tuple[str, bool]] = []  # their ends, and whether they expand

    def found(self) -> str | None:
        if self._depth > _DEPTH:
            return COMMAND
        for command in self._commands():
            self._check(command)
            if self._faults:
                return self._faults[0]
        return self._faults[0] if self._faults else None

    # --- reading --------------------------------------------------------------------------------

    def _commands(self) -> Iterator[_ExpandedCommand]:
        while self._place < len(self._script):
            char = self._script[self._place]
            if char in "&|()<>" and (self._is_test() or self._script.startswith("&>", self._place)):
                self._end_word()
                self._place += 1
            elif char == "(" and (self._word or "").endswith("="):
                self._add(_VALUE * self._holds(self._inside("(", ")")))
            elif char in ";\n&|()":
                yield self._end(char)
            elif char in " \t":
                self._end_word()
                self._place += 1
            elif char == "#" and self._word is None:
                self._place = self._after("\n", self._place) - 1
            elif char in "<>":
                self._redirect()
            else:
                self._read(char)
        yield self._end("")

    def _is_test(self) -> bool:
        """Whether the place is in ``[[ ... ]]``, where operators are not those of commands."""
        words = [word for word in self._words if word not in _KEYWORDS or word == "!"]
        return "[[" in words[:1] and "]]" not in words

    def _end(self, char: str) -> _ExpandedCommand:
        """The command that ends here."""
        if self._script.startswith("((", self._place):
            self._arithmetic("((", "))")
        else:
            self._place += 1
        self._end_word()
        command = _ExpandedCommand(self._words, self._fed)
        self._is_target = False
        piped = char == "|" and not self._script.startswith("|", self._place)
        self._place += piped and self._script.startswith("&", self._place)
        carries = self._fed or any(_VALUE in word for word in self._words)
        self._words, self._fed = [], piped and carries
        if char == "\n":
            self._skip_documents()
        return command

    def _end_word(self) -> None:
        if self._word is not None and not self._is_target:
            self._words.append(self._word)
        self._is_target = self._is_target and self._word is None
        self._word = None

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _read(self, char: str, quote: str = "") -> None:
        """A part of a word: a quoted text, an expansion, or a character."""
        if char == "\\":
            self._add(self._script[self._place + 1 : self._place + 2])
            self._place += 2
        elif char == "'" and not quote:
            end = self._after("'", self._place + 1)
            self._add(self._script[self._place + 1 : end - 1])
            self._place = end
        elif char == '"' and not quote:
            self._place += 1
            self._add("")
            while self._place < len(self._script) and self._script[self._place] != '"':
                self._read(self._script[self._place], char)
            self._place += 1
        elif char in "$`":
            self._expand()
        else:
            self._add(char)
            self._place += 1

    def _expand(self) -> None:
        script, place = self._script, self._place
        if script.startswith("$((", place):
            self._arithmetic("$((", "))")
        elif script.startswith("$(", place):
            self._substitute("$(", ")")
        elif script[place] == "`":
            end = self._after("`", place + 1)
            self._nested(script[place + 1 : end - 1])
            self._place = end
        elif script.startswith("${", place):
            inner = self._inside("${", "}")
            sub = _SUBSTRING.fullmatch(inner) or _SUBSCRIPT.match(inner)
            if sub and self._holds(sub[1], bare=True):
                self._faults.append(ARITHMETIC)
            self._add(_VALUE if self._holds("${" + inner) else "$")
        else:
            match = _NAME.match(script, place)
            self._add(_VALUE if match and match[1] in self._names else "$")
            self._place = match.end() if match else place + 1

    def _substitute(self, begin: str, end: str) -> None:
        self._nested(self._inside(begin, end))

    def _nested(self, script: str) -> None:
        if fault := _Reader(script, self._names, self._depth + 1).found():
            self._faults.append(fault)
        self._add(_VALUE if self._holds(script) else "$")

    def _arithmetic(self, begin: str, end: str) -> None:
        if self._holds(self._inside(begin, end), bare=True):
            self._faults.append(ARITHMETIC)
        self._add("0")

    def _inside(self, begin: str, end: str) -> str:
        """What is between two brackets; the place is then behind them."""
        start = place = self._place + len(begin)
        opening, closing = begin[-1], end[-1]
        open_ones = len(end)
        while place < len(self._script) and open_ones:
            char = self._script[place]
            if char == "\\":
                place += 1
            elif char == "'" and opening != "{":
                place = self._after("'", place + 1) - 1
            open_ones += (char == opening) - (char == closing)
            place += 1
        self._place = place
        return self._script[start : place - (0 if open_ones else len(end))]

    def _redirect(self) -> None:
        self._end_word()
        document = _DOCUMENT.match(self._script, self._place)
        if self._script.startswith("<<<", self._place):
            self._place += 3
            rest = self._script[self._place : self._after("\n", self._place)]
            self._fed, self._is_target = self._fed or self._holds(rest), True
        elif document:
            self._documents.append((document["end"], not document["quote"]))
            self._fed = self._fed or self._holds(self._script[document.end() :])
            self._place = document.end()
        else:
            self._place += 1 + (self._script[self._place + 1 : self._place + 2] in ("&", ">"))
            self._is_target = self._script[self._place : self._place + 1] != "("

    def _skip_documents(self) -> None:
        for end, expands in self._documents:
            found = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(
                self._script, self._place
            )
            stop = found.end() if found else len(self._script)
            body = self._script[self._place : stop]
            if expands and ("$(" in body or "`" in body):
                fault = _Reader(f'"{body}"', self._names, self._depth + 1).found()
                self._faults += [fault] if fault else []
            self._place = stop
        self._documents = []

    def _after(self, char: str, place: int) -> int:
        found = self._script.find(char, place)
        return len(self._script) + 1 if found < 0 else found + 1

    def _holds(self, text: str, *, bare: bool = False) -> bool:
        names = (_BARE if bare else _NAME).finditer(text)
        return any(each[each.lastindex or 0] in self._names for each in names)

    # --- checking -------------------------------------------------------------------------------

    def _check(self, command: _ExpandedCommand) -> None:
        words = command.words
        while words and (words[0] in _KEYWORDS or (match := _ASSIGNMENT.match(words[0]))):
            if words[0] not in _KEYWORDS and match:
                self._assign(words[0], match)
            words = words[1:]
        if not words:
            return
        program, given = words[0], words[1:]
        has_value = any(map(_is_value, given))
        if has_value and program == "for":
            self._names.add(given[0])
        elif program == "read" and command.is_fed:
            self._names.update(given)
        if program == "let" or (program == "[[" and not _COMPARES.isdisjoint(given)):
            self._faults += [ARITHMETIC] * has_value
        elif program in _DECLARES:
            self._declare(given)
        elif program in _EVALUATES or (program in ("test", "[", "printf") and "-v" in given[:1]):
            said = given if program in _EVALUATES else given[1:2]
            self._faults += [COMMAND] * any(map(_is_value, said))
            if program in ("eval", "trap"):
                self._code(" ".join(given))
        self._run(words, fed=command.is_fed)

    def _run(self, words: list[str], *, fed: bool) -> None:
        """A command that starts a program, perhaps one that reads code."""
        code = list(code_in(words))
        if any(map(_is_value, [program_of(words, _is_value), *code])):
            self._faults.append(COMMAND)
        if fed and (reads_code(words) or (words[0] in ("xargs", "parallel") and code)):
            self._faults.append(COMMAND)
        for each in code:
            self._code(each)

    def _code(self, text: str) -> None:
        if any(name in text for name in self._names):
            fault = _Reader(text, self._names, self._depth + 1).found()
            self._faults += [fault] if fault else []

    def _assign(self, word: str, match: re.Match[str]) -> None:
        if _is_value(match[2] or ""):
            self._faults.append(ARITHMETIC)
        if _is_value(word[match.end() :]):
            self._names.add(match[1])

    def _declare(self, given: list[str]) -> None:
        counts = any(re.fullmatch(r"-\w*i\w*", word) for word in given)
        for word in given:
            match = _ASSIGNMENT.match(word)
            if match:
                self._assign(word, match)
            if _is_value(word) and (counts or not match):
                self._faults.append(ARITHMETIC)


_is_value: Final[Callable[[str], bool]] = lambda word: _VALUE in word  # noqa: E731
