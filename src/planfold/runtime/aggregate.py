"""``Aggregate``: a kind of handler with the name of its streams and the events it may record."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold.eventstore.codec import EventType, event_types
from planfold.handler import Handler
from planfold.planner.planner import Planner
from planfold.planner.upcasters import EVENTS, UPCASTERS


class Aggregate(msgspec.Struct, frozen=True):
    """``stream_id`` names all streams of this kind, for example "plan".

    Example:
        import msgspec
        import planfold
        from planfold.log import Aggregate, Handler, event_types

        class Opened(msgspec.Struct, frozen=True):
            name: str

        class Shop(Handler[str, Opened]):
            name = ""

            def process(self, command):
                return [Opened(command)]

            def apply(self, event):
                self.name = event.name

        SHOP = Aggregate("shop", Shop, event_types([Opened]))
        async with planfold.open_app("sqlite:///:memory:", aggregates=[SHOP]) as app:
            await app.send_to(SHOP, "shop-1", "Books")
            print((await app.load(SHOP, "shop-1")).name)
    """

    stream_id: str
    handler: type[Handler[Any, Any]]
    events: tuple[EventType, ...]

    def __repr__(self) -> str:
        return f"Aggregate({self.stream_id!r})"


PLAN = Aggregate("plan", Planner, event_types(EVENTS, UPCASTERS))
