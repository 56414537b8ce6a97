"""``Envelope``: an event as recorded. ``Query``: which events are wanted."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold.handler import Metadata, event_id


class Undecoded(msgspec.Struct, frozen=True):
    """An event that this version cannot read; ``data`` is its JSON as stored.

    Readers see it instead of missing it; folding it raises ``CorruptLog``.
    """

    reason: str
    data: str


class Envelope(msgspec.Struct, frozen=True):
    """An event as recorded.

    ``position`` rises through the whole log and may have gaps; ``version`` counts the events of
    one stream without gaps, from 1. ``recorded_at``: seconds since the epoch.

    Example:
        import planfold

        async with planfold.open_app("sqlite:///:memory:") as app:
            await app.submit("1. Run `true`")
            for envelope in await app.log.read():
                print(envelope.position, envelope.aggregate_id, envelope.event_type)
    """

    position: int
    stream_id: str
    aggregate_id: str
    version: int
    event_type: str
    event_version: int
    event: Any
    metadata: Metadata
    recorded_at: float

    @property
    def event_id(self) -> str:
        """Unique in the store and stable through export and import."""
        return event_id(self.aggregate_id, self.version)

    @property
    def checksum(self) -> str:
        """See :func:`event_checksum`."""
        return event_checksum(
            self.event_id, self.event_type, self.recorded_at, self.metadata.causation_id
        )


def event_checksum(event_id: str, event_type: str, recorded_at: float, causation_id: str) -> str:
    """Distinguishes an event from the one with its id in another history. It covers what identifies
    the event and not its data, which a later version may read in another shape."""
    import hashlib  # few processes need it

    parts = msgspec.json.encode((event_id, event_type, recorded_at, causation_id))
    return hashlib.sha256(parts).hexdigest()[:16]


class History(msgspec.Struct, frozen=True):
    """Events of one stream, oldest first, and when each was recorded (seconds since the epoch).
    ``version`` is that of the stream, also where there are no events to give; 0: there is none."""

    events: list[Any]
    times: list[float]
    version: int


class Query(msgspec.Struct, frozen=True):
    """Events that match everything that is given; an empty query means the whole log.

    Example:
        from planfold.log import Query

        one_plan = Query(aggregate_id="plan-3f9a")
        ends = Query(stream_id="plan", event_type="PlanningCompleted")
    """

    stream_id: str | None = None
    event_type: str | None = None
    aggregate_id: str | None = None


def version_of(event_id: str) -> int:
    """The version in an event's id."""
    return int(event_id.rpartition("#")[2])
