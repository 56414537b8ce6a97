"""Text that can be stored, and text that is safe to print: no character in it steers a terminal or
hides itself."""

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


def unicode_fault(text: str, *, nul: bool = True) -> str:
    """Why ``text`` cannot be stored, or "". ``nul``: NUL is not allowed."""
    if nul and "\0" in text:
        return f"holds a NUL character at {text.index(chr(0))}"
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"is not valid Unicode: half a surrogate pair at character {error.start}"
    return ""
