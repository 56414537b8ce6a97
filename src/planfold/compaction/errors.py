"""Shorten an error's text so that what matters survives."""

from __future__ import annotations

_WORTH_IT = 60  # characters: below that, several shortened lines say less than one


def compact_error_message(error: str, limit: int) -> str:
    """At most ``limit`` characters of ``error``: the types, messages and places of what went
    wrong, then what followed from it, then the first and the last line, then the rest from the
    end, all in their order. Lines are cut before a cause is left out. Takes linear time.

    Example:
        from planfold.executor import compact_error_message

        log = "compiling\\n" * 1_000 + "app.c:7:3: error: expected ';'"
        print(compact_error_message(log, 200))
    """
    text = error.strip()
    if len(text) <= limit:
        return text
    if limit < _WORTH_IT:
        return text[: max(limit, 0)]
    from planfold.compaction.selection import select  # compiling its patterns takes a moment

    return select(text, limit)
