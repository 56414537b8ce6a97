"""Untrusted text, marked so that a model can distinguish it from instructions.

The mark is a keyed digest of 128 bits. It depends on the text, so that it cannot be within it, and
the same text has the same mark in every request of a process (vendors cache what begins alike).
The key is random and never leaves the process, so that no author can compute the mark of a text.
Nothing that is replayed needs it: answers are found by the name of their step, and a brief is
recorded as it was sent. An attempt that another process continues writes other marks.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

_KEY: Final = secrets.token_bytes(32)


def fenced(text: str, *, key: bytes = _KEY) -> str:
    """``text`` between marks; ``key`` has at most 64 bytes."""
    data = text.encode("utf-8", "replace")
    mark = hashlib.blake2b(data, key=key, digest_size=16).hexdigest()
    return f"<data {mark}>\n{text}\n</data {mark}>"
