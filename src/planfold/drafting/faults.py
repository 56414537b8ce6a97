"""``Faults`` collects what is wrong with a draft, so that its author sees all of it at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from planfold.drafting.draft import Fault
from planfold.errors import InvalidPlan
from planfold.printable import printable

_MOST: Final = 10_000  # more than a person reads; prevents a hostile draft from filling the memory
_COMPARISONS: Final = 50_000  # difflib is slow: so many names are compared for one draft


class Faults:
    def __init__(self) -> None:
        self.found: list[Fault] = []
        self._left_out = 0
        self._comparisons = _COMPARISONS

    @property
    def count(self) -> int:
        return len(self.found) + self._left_out

    def add(
        self, message: str, *, task: str | None = None, field: str | None = None, fix: str = ""
    ) -> None:
        if len(self.found) < _MOST:
            self.found.append(Fault(message, task, field, fix))
        else:
            self._left_out += 1

    def closest(self, word: str, known: Collection[str], alike: float = 0.6) -> str:
        """The name that ``word`` was probably meant to be, or "". How much ``alike`` they are at
        least is between 0 and 1."""
        self._comparisons -= len(known)
        if self._comparisons < 0:
            return ""
        from difflib import get_close_matches

        return next(iter(get_close_matches(word[:100], known, 1, alike)), "")

    def nearest(self, word: str, known: Collection[str], alike: float = 0.6) -> str:
        """The same as "did you mean 'x'?", or ""."""
        close = self.closest(word, known, alike)
        return f"did you mean {close!r}?" if close else ""

    def raise_any(self) -> None:
        """Raises InvalidPlan when there is a fault."""
        if self._left_out:
            self.found.append(Fault(f"{self._left_out:,} more faults are not listed"))
            self._left_out = 0
        if self.found:
            raise InvalidPlan(self.found)


def quoted(value: object, most: int = 60) -> str:
    """``value`` as Python writes it, cut to about ``most`` characters: safe to print anywhere."""
    if isinstance(value, str):
        return repr(value if len(value) <= most else value[:most] + "...")
    if isinstance(value, (int, float)):
        huge = isinstance(value, int) and value.bit_length() > 200
        return "a huge number" if huge else repr(value)
    return "null" if value is None else f"a value of type {type(value).__name__}"


def excerpt(text: str, most: int = 60) -> str:
    """The first ``most`` characters of ``text``, safe to print."""
    return printable(text if len(text) <= most else text[:most] + "...")


def listed(names: Collection[str], most: int = 12) -> str:
    """The first names, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(excerpt(name) for name in ordered[:most]) + more
