"""``StreamHead``: a stream in lists. ``HeadChoice``: which of them a list shows."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

import msgspec


class StreamHead(msgspec.Struct, frozen=True):
    """A stream's latest version, with what its handler wants lists to show."""

    stream_id: str
    aggregate_id: str
    version: int
    head: dict[str, Any]
    created_at: float
    updated_at: float
    due_at: float | None = None


class HeadChoice(msgspec.Struct, frozen=True):
    """A filter of streams. The head has one of these ``statuses`` and one of these ``projects``
    (none given: any; a head without a project has "default"), and all of these ``tags`` (which are
    sorted in a head). The stream began at ``since`` or later (seconds since the epoch).

    ``below`` is the key after which a page begins: time and id, as :func:`key_of` gives it. A time
    with the id "" is below all streams that began then.
    """

    statuses: tuple[str, ...] = ()
    since: float = -inf
    below: tuple[float, str] = (inf, "")
    projects: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


ALL_HEADS = HeadChoice()


def key_of(head: StreamHead) -> tuple[float, str]:
    """The place of a stream in lists."""
    return head.created_at, head.aggregate_id


def newest_first(heads: Iterable[StreamHead], limit: int | None) -> list[StreamHead]:
    """The first ``limit`` of them."""
    return sorted(heads, key=key_of, reverse=True)[:limit]
