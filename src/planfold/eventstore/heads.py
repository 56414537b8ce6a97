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
    """Streams with one of these ``statuses`` in their head (none given: with any) and one of these
    ``projects`` (likewise; a head without one has "default"), with all of these ``tags`` (which a
    head has sorted), which began at ``since`` or later (seconds since the epoch), below a key: time
    and id, as :func:`key_of` gives it. A time with the id "" is below all streams that began
    then."""

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
