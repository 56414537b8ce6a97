"""``Forks``: which streams continue which, so that an archive keeps them together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import StreamRow, origins_in

PAGE: Final = 1_000
EVER: Final = 1e15  # seconds since the epoch: later than any event


class Forks:
    """The streams in a store that continue another one, directly or not."""

    def __init__(self) -> None:
        self._of: dict[str, set[str]] = {}

    @classmethod
    async def find(cls, store: EventStore, stream_id: str) -> Forks:
        """Those of one kind: all heads are read once."""
        found, after_id = cls(), ""
        while True:
            page = await store.transfer.unchanged_since(
                stream_id, EVER, after_id=after_id, limit=PAGE
            )
            for row in page:
                for origin in origins_in(row.head) if "origins" in row.head else ():
                    found._of.setdefault(origin, set()).add(row.aggregate_id)
            if len(page) < PAGE:
                return found
            after_id = page[-1].aggregate_id

    def hindrance(self, aggregate_id: str, leaving: Iterable[str] = ()) -> str:
        """Why a stream must stay while those of ``leaving`` leave the store; "" when it need
        not."""
        staying = self._of.get(aggregate_id, set()).difference(leaving)
        if not staying:
            return ""
        if len(staying) == 1:
            return f"its fork {min(staying)} stays"
        return f"its fork {min(staying)} and {len(staying) - 1:,} more stay"

    def leave(self, row: StreamRow) -> None:
        """A stream has left the store."""
        for origin in origins_in(row.head):
            self._of.get(origin, set()).discard(row.aggregate_id)
