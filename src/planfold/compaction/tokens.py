"""A cheap estimate of how many model tokens a value takes."""

from __future__ import annotations

from typing import Any

import msgspec

CHARS_PER_TOKEN = 4  # the usual rule of thumb for English text and code


def text_tokens(text: str) -> int:
    """Tokens of a text: :func:`estimate_tokens` where it runs for every event of a log."""
    return (len(text) + CHARS_PER_TOKEN - 1) // CHARS_PER_TOKEN


def estimate_tokens(value: Any) -> int:
    """Tokens of ``value`` (text, or JSON rendered compactly), rounded up. Deterministic."""
    if value is None:
        return 0
    chars = len(value) if isinstance(value, str) else len(msgspec.json.encode(value))
    return -(-chars // CHARS_PER_TOKEN)
