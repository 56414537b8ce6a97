"""``TaskReader``: the tasks of a model's plan, with anything that the model wraps around it.

An answer that begins with the plan (perhaps behind thinking, or in a code fence) is read while
it is written. In any other answer an early list may be an example, or part of thinking whose
opening tag the server kept: there the plan is looked for once the answer is complete.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from planfold.drafting.model.elements import Elements, Unreadable

LONGEST: Final = 16 * 1024 * 1024  # characters of one answer
_OPENING_CHARS: Final = 400  # within which a plan that is streamed begins
_TAG_CHARS: Final = 40  # no tag is longer
_MOST_TRIES: Final = 20  # lists that are not plans, so that reading stays linear

_COMMENT: Final = r"(?://[^\n]{0,500}+\n|\#[^\n]{0,500}+\n|/\*(?:[^*]|\*(?!/)){0,500}+\*/)"
_GAP: Final = rf"\s*+(?:{_COMMENT}\s*+){{0,20}}+"
_FIELD: Final = r'"(?:label|description|kind|tool|arguments|depends_on|choices|attachments|effect)"'
_TASKS: Final = rf'(?<!\\)"tasks"{_GAP}:{_GAP}\['
_BARE: Final = rf"\[(?={_GAP}\{{{_GAP}{_FIELD}{_GAP}:)"
_NAMES: Final = (
    r"(?i:(?:[a-z]{1,12}:)?(?:think(?:ing)?|thoughts?|reasoning|reflection|analysis|scratchpad))"
)
_OPEN: Final = rf"<{_NAMES}>|\[THINK\]|◁think▷|<\|channel\|>analysis<\|message\|>"
_CLOSE: Final = rf"</{_NAMES}>|\[/THINK\]|◁/think▷|<\|channel\|>final<\|message\|>"

_THINKING: Final = re.compile(rf"[\s\ufeff]*+(?:{_OPEN})")
_BEGUN: Final = re.compile(rf"(?m:^)[ \t]{{0,8}}(?:{_OPEN})")
_ENDS: Final = re.compile(_CLOSE)
_OPENING: Final = re.compile(
    rf"[\s\ufeff]*+(?:(?:```|~~~)[\w+-]*+\s*+)?(?:\{{{_GAP}{_TASKS}(?={_GAP}\{{)|{_BARE})"
)
_MARK: Final = re.compile(
    rf"(?P<open>(?P<line>(?m:^)[ \t]{{0,8}})?(?:{_OPEN}))"
    rf"|(?P<close>{_CLOSE})|(?P<tasks>{_TASKS})|{_BARE}"
)
_NO_LIST: Final = re.compile(rf'(?<!\\)"tasks"{_GAP}:{_GAP}\{{')


class TaskReader:
    """Feed it the text in any pieces, then :meth:`close` it: together they return the tasks.

    Prose, code fences, thinking and other JSON around the plan are ignored. Nothing raises: what
    cannot be read is an :class:`Unreadable`, or the fault of the whole.
    """

    def __init__(self, *, longest: int = LONGEST) -> None:
        self._longest = longest
        self._size = 0
        self._phase: Literal["opening", "thinking", "list", "kept", "over"] = "opening"
        self._elements = Elements()
        self._text = ""  # what is looked through for the opening, or for the end of thinking
        self._kept: list[str] = []  # what is looked through at the end

    def feed(self, piece: str) -> list[Any]:
        """The tasks that ``piece`` completes: JSON values or :class:`Unreadable`."""
        self._size += len(piece)
        if self._size > self._longest:
            self._phase = "over"
        if self._phase == "list":
            return self._read(piece)
        if self._phase == "kept":
            self._kept.append(piece)
        while self._phase in ("opening", "thinking"):
            self._text, piece = self._text + piece, ""
            if self._phase == "opening" and (opening := _OPENING.match(self._text)):
                self._phase, text = "list", self._text
                return self._read(text[opening.end() :])
            if not self._advance():
                break
        return []

    def close(self) -> tuple[list[Any], str]:
        """The tasks that only the end has shown, and what is wrong with the text as a whole, or
        "": all its tasks were returned."""
        if self._size > self._longest:
            return [], f"it has more than {self._longest:,} characters"
        if self._phase == "thinking":
            return [], _THOUGHT
        if self._phase == "opening":
            self._kept = [self._text]
        if self._phase != "list":
            return find_plan("".join(self._kept))
        found = self._elements.found
        others = [] if self._elements.whole else _plans("".join(self._kept))
        others = [plan for plan in others if plan.holds_tasks and plan.found != found]
        if not others:
            return [], self._elements.whole
        if any(isinstance(each, dict) for each in found):
            return [], _SEVERAL
        return find_plan("".join(self._kept))

    def _advance(self) -> bool:
        """Whether there is more to look at: thinking has begun or ended."""
        if self._phase == "opening":
            if thinking := _THINKING.match(self._text):
                self._phase, self._text = "thinking", self._text[thinking.end() :]
                return True
            if len(self._text) > _OPENING_CHARS:
                self._phase, self._kept = "kept", [self._text]
            return False
        if end := _ENDS.search(self._text):
            self._phase, self._text = "opening", self._text[end.end() :]
            return True
        self._text = self._text[-_TAG_CHARS:]
        return False

    def _read(self, piece: str) -> list[Any]:
        before = len(self._elements.found)
        end = self._elements.feed(piece)
        if end < len(piece):
            self._kept.append(piece[end:])
        return self._elements.found[before:]


_SEVERAL: Final = "it holds several plans"
_THOUGHT: Final = "it ends within its thinking"


class _FoundPlan(msgspec.Struct, frozen=True):
    found: list[Any]
    fault: str
    bare: bool

    @property
    def holds_tasks(self) -> bool:
        return not self.fault and any(isinstance(each, dict) for each in self.found)

    @property
    def tries_to(self) -> bool:
        """Whether it is meant as tasks, although it cannot be read to its end."""
        return any(
            isinstance(each, dict) or (isinstance(each, Unreadable) and each.text[:1] == "{")
            for each in self.found
        )


def find_plan(text: str) -> tuple[list[Any], str]:
    """The tasks of the plan in ``text``, and what is wrong with it as a whole, or ""."""
    plans = _plans(text)
    whole = [plan for plan in plans if plan.holds_tasks]
    whole = [plan for plan in whole if not plan.bare] or whole
    if whole:
        several = any(plan.found != whole[0].found for plan in whole)
        return ([], _SEVERAL) if several else (whole[0].found, "")
    if plans:
        best = next((plan for plan in plans if plan.tries_to), plans[0])
        return best.found, best.fault
    if (begun := _BEGUN.search(text)) and not _ENDS.search(text, begun.end()):
        return [], _THOUGHT
    if _NO_LIST.search(text):
        return [], '"tasks" is not a list'
    return [], 'it has no list "tasks"' if "{" in text else "it holds no JSON object"


def _plans(text: str) -> list[_FoundPlan]:
    """All lists of tasks in ``text``, except those in thinking, which a closing tag ends even
    where the opening one is missing."""
    plans: list[_FoundPlan] = []
    last_end = max((end.start() for end in _ENDS.finditer(text)), default=-1)
    place, tries = 0, 0
    while tries < _MOST_TRIES and (mark := _MARK.search(text, place)):
        place = mark.end()
        if mark["close"]:
            plans.clear()
        elif mark["open"]:
            end = _ENDS.search(text, place) if place <= last_end else None
            if end is None and mark["line"] is not None:
                break  # else the tag is only mentioned
            place = end.end() if end else place
        else:
            elements = Elements()
            end_of_list = elements.feed(text, place)
            plan = _FoundPlan(elements.found, elements.whole, mark["tasks"] is None)
            plans.append(plan)
            if plan.holds_tasks or not (plan.found or plan.fault):
                place = end_of_list
            else:
                tries += 1
    return plans
