"""Questions in the terminal. Keys are read while other work continues."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
import sys
import termios
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from planfold.cli.access import person
from planfold.cli.question_text import is_work, question_lines
from planfold.cli.remedies import explained
from planfold.cli.terminal import Line, Paper, clean
from planfold.errors import CommandRejected, NotFound
from planfold.planner.questions import Question
from planfold.readmodels.plan_fold import PlanFold

if TYPE_CHECKING:
    from planfold.app import App

FAILED_PREFIX: Final = "/failed"
_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)
_ERASE, _ERASE_LINE, _ERASE_WORD, _END = "\x7f\b", "\x15", "\x17", "\x04"


class Keyboard:
    """Lines from the terminal without blocking. With ``own_echo`` the terminal itself shows
    nothing: the caller draws :attr:`typed` wherever it likes."""

    def __init__(self, changed: Callable[[], None], *, own_echo: bool) -> None:
        self.typed = ""
        self.lines: deque[str] = deque()
        self.closed = False  # the person typed Ctrl-D or the terminal has gone
        self._changed = changed
        self._own_echo = own_echo
        self._descriptor = sys.stdin.fileno()
        self._saved: list[int | list[bytes | int]] | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        self.take_terminal()

    def take_terminal(self) -> None:
        """Switch the terminal's own echo off; again after the process was suspended."""
        if not self._own_echo:
            return
        with contextlib.suppress(termios.error):
            mode = termios.tcgetattr(self._descriptor)
            self._saved = self._saved or mode[:]
            mode[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def stop(self) -> None:
        """Restore the terminal's settings."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        if self._saved is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)
            self._saved = None

    def forget(self) -> None:
        """Discard what was typed before the question was shown: it is not an answer to it."""
        self.typed = ""
        self.lines.clear()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:
            data = b""
        if data:
            self.feed(self._decoder.decode(data))
        else:
            self._close()
        self._changed()

    def _close(self) -> None:
        self.closed = True
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def feed(self, keys: str) -> None:
        """Apply keys as a terminal does."""
        for key in _ESCAPE.sub("", keys):
            if key in "\r\n":
                self.lines.append(self.typed)
                self.typed = ""
            elif key in _ERASE:
                self.typed = self.typed[:-1]
            elif key == _ERASE_LINE:
                self.typed = ""
            elif key == _ERASE_WORD:
                self.typed = self.typed.rstrip().rpartition(" ")[0]
            elif key == _END:
                if not self.typed:
                    self._close()
            elif key.isprintable() or key == "\t":
                self.typed += " " if key == "\t" else key


class Asker:
    """Puts open questions to the person, one at a time, in the order in which they came."""

    def __init__(
        self,
        app: App,
        keyboard: Keyboard,
        paper: Paper,
        *,
        draws: bool,
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._app = app
        self._look = look  # brings the folds up to date
        self._keyboard = keyboard
        self._paper = paper
        self._draws = draws  # the question is part of a display that is redrawn
        self._current: tuple[str, Question] | None = None
        self._error = ""

    @property
    def gave_up(self) -> bool:
        """The person left the questions open (Ctrl-D)."""
        return self._keyboard.closed

    async def step(self, folds: Sequence[PlanFold]) -> None:
        """Take answers that were typed, and move on to the next question."""
        while True:
            self._find_question(folds)
            if self._current is None or not self._keyboard.lines:
                return
            await self._answer(self._keyboard.lines.popleft())

    def lines(self, folds: Sequence[PlanFold], width: int) -> list[Line]:
        """The question and what is typed so far, for a display that is redrawn."""
        fold = self._fold_of_question(folds)
        if fold is None or self._current is None:
            return []
        lines: list[Line] = [[], *self._text(fold, self._current[1], width, folds)]
        typed = clean(self._keyboard.typed)
        room = max(width - 4, 8)
        return [*lines, [("> ", "ask"), (typed[-room:], ""), ("_", "dim")]]

    def _text(
        self, fold: PlanFold, question: Question, width: int, folds: Sequence[PlanFold]
    ) -> list[Line]:
        several = len(folds) > 1
        open_now = sum(len(other.state.questions) for other in folds)
        lines = question_lines(fold, question, width)
        if several:
            lines[0].append((f" of {clean(fold.plan_id)}", "dim"))
        if is_work(fold, question):
            lines.append([(f"  ({FAILED_PREFIX} and why, if it cannot be done)", "dim")])
        if open_now > 1:
            lines.append([(f"  ({open_now - 1} more after this one)", "dim")])
        if self._error:
            lines.append([(f"  {self._error}", "bad")])
        return lines

    def _find_question(self, folds: Sequence[PlanFold]) -> None:
        if self._keyboard.closed:
            self._current = None
            return
        if self._current is not None:
            if self._fold_of_question(folds) is not None:
                return
            if not self._draws:
                self._paper.prompt("")
                self._paper.lines([[], [("(it was answered elsewhere)", "dim")]])
        self._error = ""
        self._current = next(
            ((fold.plan_id, q) for fold in folds for q in fold.state.questions.values()), None
        )
        if self._current is not None:
            self._keyboard.forget()
            self._print(folds)

    def _print(self, folds: Sequence[PlanFold]) -> None:
        fold = self._fold_of_question(folds)
        if self._draws or fold is None or self._current is None:
            return
        self._paper.lines(self._text(fold, self._current[1], self._paper.width, folds))
        self._paper.prompt("> ")

    def _fold_of_question(self, folds: Sequence[PlanFold]) -> PlanFold | None:
        if self._current is None:
            return None
        plan_id, question = self._current
        for fold in folds:
            if fold.plan_id == plan_id and fold.state.questions.get(question.task_id) == question:
                return fold
        return None

    async def _answer(self, line: str) -> None:
        assert self._current is not None
        if not self._draws:
            self._paper.prompt("")
        plan_id, question = self._current
        text = line.strip()
        failed = text == FAILED_PREFIX or text.startswith(FAILED_PREFIX + " ")
        if failed:
            text = text.removeprefix(FAILED_PREFIX).strip() or "it could not be done"
        elif not text and question.default is not None:
            text = question.default
        if not text:
            self._complain("Please type an answer. Ctrl-D leaves the questions open.")
            return
        try:
            await self._app.answer(plan_id, question.task_id, text, by=person(), failed=failed)
            self._current, self._error = None, ""
            await self._look()
        except (CommandRejected, NotFound) as refusal:
            self._complain(clean(explained(refusal)))

    def _complain(self, text: str) -> None:
        self._error = text
        if not self._draws:
            self._paper.lines([[(f"  {text}", "bad")]])
            self._paper.prompt("> ")
