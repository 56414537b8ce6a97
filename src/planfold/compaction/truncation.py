"""Cut a text that is too long."""

from __future__ import annotations

GAP = "[...]"  # marks the place where text was left out


def truncate_middle(text: str, width: int) -> str:
    """Both ends of what is longer than ``width`` characters."""
    if len(text) <= width:
        return text
    half = (width - len(GAP)) // 2
    return f"{text[:half]}{GAP}{text[len(text) - half :]}" if half > 0 else text[: max(width, 0)]


def truncate_counted(text: str, limit: int) -> str:
    """At most about ``limit`` characters: the beginning and the end, and how much is missing."""
    if len(text) <= limit:
        return text
    head = limit // 2
    tail = limit - head
    gap = f"\n[... {len(text) - limit:,} characters left out ...]\n"
    return text[:head] + gap + text[len(text) - tail :]
