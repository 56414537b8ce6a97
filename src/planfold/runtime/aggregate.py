"""``Aggregate``: a kind of handler with the name of its streams and the events it may record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from planfold.access.credential import CREDENTIAL_EVENTS, STREAM, Credential
from planfold.eventstore.codec import EventType, event_types
from planfold.handler import Handler
from planfold.planner.planner import Planner
from planfold.planner.upcasters import EVENTS, UPCASTERS
from planfold.schedules.events import SCHEDULE_EVENTS
from planfold.schedules.schedule import STREAM as SCHEDULE_STREAM
from planfold.schedules.schedule import PlanSchedule
from planfold.signals.inbox import INBOX_EVENTS, SignalInbox
from planfold.signals.inbox import STREAM as SIGNAL_STREAM


class Aggregate(msgspec.Struct, frozen=True):
    """``stream_id`` names all streams of this kind, for example "plan". ``events`` are the classes
    of its events. ``upcasters`` are, for an event that has changed, the steps from each version of
    its data to the next: an event with one step is at version 2.

    Example:
        import msgspec
        import planfold
        from planfold.log import Aggregate, Handler

        class Opened(msgspec.Struct, frozen=True):
            name: str

        class Shop(Handler[str, Opened]):
            name = ""

            def process(self, command):
                return [Opened(command)]

            def apply(self, event):
                self.name = event.name

        SHOP = Aggregate("shop", Shop, (Opened,))
        async with planfold.open_app("sqlite:///:memory:", aggregates=[SHOP]) as app:
            await app.send_to(SHOP, "shop-1", "Books")
            print((await app.load(SHOP, "shop-1")).name)
    """

    stream_id: str
    handler: type[Handler[Any, Any]]
    events: tuple[type, ...]
    upcasters: Mapping[type, tuple[Callable[[dict[str, Any]], dict[str, Any]], ...]] = {}

    def __repr__(self) -> str:
        return f"Aggregate({self.stream_id!r})"

    @property
    def event_types(self) -> tuple[EventType, ...]:
        """The events with their versions, for a codec."""
        return event_types(self.events, self.upcasters)


PLAN = Aggregate("plan", Planner, EVENTS, UPCASTERS)
CREDENTIAL = Aggregate(STREAM, Credential, CREDENTIAL_EVENTS)
SIGNALS = Aggregate(SIGNAL_STREAM, SignalInbox, INBOX_EVENTS)
SCHEDULES = Aggregate(SCHEDULE_STREAM, PlanSchedule, SCHEDULE_EVENTS)
