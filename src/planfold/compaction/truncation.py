"""Cut a text that is too long."""

from __future__ import annotations

GAP = "[...]"  # marks the place where text was left out


def cut(text: str, width: int) -> str:
    """Both ends of what is longer than ``width`` characters."""
    if len(text) <= width:
        return text
    half = (width - len(GAP)) // 2
    return f"{text[:half]}{GAP}{text[len(text) - half :]}" if half > 0 else text[: max(width, 0)]
