"""``Forks``: which streams continue which, so that an archive keeps them together. ``ForkPoint``:
where a fork continues its origin."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import msgspec

from planfold.eventstore.envelope import event_checksum
from planfold.eventstore.event_rows import decode_metadata
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import EventRow, StreamRow, origins_in
from planfold.handler import event_id


class ForkPoint(msgspec.Struct, frozen=True, gc=False):
    """What a fork continues, as its first event says: a version of ``origin``, and the checksum of
    the event there ("": not known)."""

    origin: str
    version: int
    checksum: str = ""

    @classmethod
    def of(cls, first: EventRow) -> ForkPoint | None:
        """The fork point of a first event; None if the event begins no fork."""
        if first.event_type != "PlanForked":
            return None
        with suppress(msgspec.MsgspecError, RecursionError):
            return msgspec.json.decode(first.data, type=cls)
        return None

    def fits(self, row: EventRow) -> bool:
        """Whether ``row`` is the event of the origin at that version."""
        return self.checksum in ("", _checksum(self.origin, row))


def _checksum(aggregate_id: str, row: EventRow) -> str:
    cause = decode_metadata(row.metadata, aggregate_id).causation_id
    name = event_id(aggregate_id, row.version)
    return event_checksum(name, row.event_type, row.recorded_at, cause)


PAGE: Final = 1_000
EVER: Final = 1e15  # seconds since the epoch: later than any event


class Forks:
    """The streams in a store that continue another one, directly or not."""

    def __init__(self) -> None:
        self._of: dict[str, set[str]] = {}

    @classmethod
    async def find(cls, store: EventStore, stream_id: str) -> Forks:
        """The forks of streams of one kind; this reads all heads once."""
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
        """Note that a stream has left the store."""
        for origin in origins_in(row.head):
            self._of.get(origin, set()).discard(row.aggregate_id)
