"""Sections that say again what the text has asked for already: a summary, a checklist at the end.

What is done twice may do harm, so such a section is a note. The test is repetition, and no list of
headings: nearly each of its items has most of its words from one earlier task, and these tasks are
those of several sections. A section that repeats one other section is another case or another
part (the packages of a release, staging and production) and stays.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

from planfold.drafting.text.parts import Entry

_WORD: Final = re.compile(r"[^\W\d_]{4,30}|(?<![^\W_])PR(?![^\W_])")
_MOST_WORDS: Final = 400  # of one task; what has more repeats nothing
_MOST_TASKS: Final = 40  # that share a word; a more frequent word is not distinctive
_FEWEST: Final = 4  # items of a summary
_SECTIONS: Final = 3  # that it sums up, at least
_SHARED: Final = 0.6  # of the words of an item
_REPEATED: Final = 0.75  # of the items of a section


class Repeats:
    """What the tasks of a text say so far, by section."""

    def __init__(self) -> None:
        self._tasks: dict[str, deque[int]] = {}  # word: the last tasks that have it
        self._sections: list[int] = []  # of each task
        self._known: set[Entry] = set()
        self._count = 0

    def __len__(self) -> int:
        return len(self._sections)

    def add(self, found: list[Entry]) -> None:
        """Keep the tasks of one more section, without those of its subsections."""
        self._count += 1
        for entry in found:
            if entry in self._known:
                continue
            self._known.add(entry)
            for word in _words(entry):
                self._tasks.setdefault(word, deque(maxlen=_MOST_TASKS)).append(len(self._sections))
            self._sections.append(self._count)

    def are(self, found: list[Entry], before: int) -> bool:
        """Whether the tasks of a section only repeat those of several others, which are among
        the first ``before`` tasks."""
        if len(found) < _FEWEST or not before:
            return False
        told = [place for e in found if (place := self._repeated(e, before)) is not None]
        sections = {self._sections[place] for place in told}
        return len(sections) >= _SECTIONS and len(told) >= _REPEATED * len(found)

    def _repeated(self, entry: Entry, before: int) -> int | None:
        """The earlier task that says the same."""
        words = set(_words(entry))
        tasks = (task for word in words for task in self._tasks.get(word, ()))
        shared = Counter(task for task in tasks if task < before)
        best, count = max(shared.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return best if count > 1 and count >= _SHARED * len(words) else None


def _words(entry: Entry) -> Iterator[str]:
    text = entry.reading.description[:8000]
    found = (match[0].lower() for match in _WORD.finditer(text))
    yield from list(dict.fromkeys(_stem(word) for word in found))[:_MOST_WORDS]


def _stem(word: str) -> str:
    return word[:5] if len(word) > 5 else word.removesuffix("s")
