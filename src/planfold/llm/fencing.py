"""Text that nobody vouches for, marked so that a model can tell it from instructions."""

from __future__ import annotations

import hashlib


def fenced(text: str) -> str:
    """``text`` between marks. The mark is a digest of the text: it cannot stand within it, so
    that nothing in it can look like its end."""
    mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"<data {mark}>\n{text}\n</data {mark}>"
