"""``Aggregate``: a kind of handler with the name of its streams and the events it may record."""

from __future__ import annotations

from typing import Any

import msgspec

from planfold.eventstore.codec import EventType, event_types
from planfold.handler import Handler
from planfold.planner.planner import Planner
from planfold.planner.upcasters import EVENTS, UPCASTERS


class Aggregate(msgspec.Struct, frozen=True):
    """``stream_id`` names all streams of this kind, for example "plan"."""

    stream_id: str
    handler: type[Handler[Any, Any]]
    events: tuple[EventType, ...]


PLAN = Aggregate("plan", Planner, event_types(EVENTS, UPCASTERS))
