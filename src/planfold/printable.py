"""Text that is safe to print: no character in it steers a terminal or hides itself."""

from __future__ import annotations

from collections.abc import Callable


def _python_escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def printable(text: str, keep: str = "", escape: Callable[[str], str] = _python_escape) -> str:
    """``text`` with every control, format, direction and unassigned character escaped, except
    those in ``keep``. ``escape`` spells out one character; the default does it as Python does."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else escape(c) for c in text)
