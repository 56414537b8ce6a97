"""``plans_of``: the heads of plans, page by page."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from planfold.eventstore.heads import HeadChoice, key_of
from planfold.eventstore.port import EventStore, StreamHead
from planfold.runtime.aggregate import PLAN

TITLES: Final = 1_000  # heads that are read at a time to look for a title


async def plans_of(
    store: EventStore, choice: HeadChoice, *, title: str = "", limit: int | None = None
) -> list[StreamHead]:
    """Plans that match a choice and have this text in their title, the newest first."""
    words, found = title.casefold(), list[StreamHead]()
    while limit is None or len(found) < limit:
        most = limit if limit is None or not words else max(limit, TITLES)
        page = await store.heads(PLAN.stream_id, choice, limit=most)
        found += [h for h in page if words in str(h.head.get("title", "")).casefold()]
        if most is None or len(page) < most:
            break
        choice = replace(choice, below=key_of(page[-1]))
    return found[:limit]
