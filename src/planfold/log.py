"""Read the event log, and record events of your own in it.

``App.log`` is the log of an open database. A ``Consumer`` handles each event at least once, a
``Projection`` builds a result from each event exactly once, and an ``Aggregate`` is a kind of
stream with your own ``Handler``. The module ``events`` holds the event
classes of plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.eventstore.checkpoint import Checkpoint as Checkpoint
    from planfold.eventstore.envelope import Envelope as Envelope
    from planfold.eventstore.envelope import Query as Query
    from planfold.eventstore.envelope import Undecoded as Undecoded
    from planfold.handler import Handler as Handler
    from planfold.handler import Metadata as Metadata
    from planfold.handler import Outlook as Outlook
    from planfold.planner import events as events
    from planfold.runtime.aggregate import Aggregate as Aggregate
    from planfold.runtime.log import Log as Log
    from planfold.subscriptions.consumer import Consumer as Consumer
    from planfold.subscriptions.projection import Projection as Projection

_HOMES = {
    "planfold.eventstore.checkpoint": ("Checkpoint",),
    "planfold.eventstore.envelope": ("Envelope", "Query", "Undecoded"),
    "planfold.handler": ("Handler", "Metadata", "Outlook"),
    "planfold.planner.events": (),
    "planfold.runtime.aggregate": ("Aggregate",),
    "planfold.runtime.log": ("Log",),
    "planfold.subscriptions.consumer": ("Consumer",),
    "planfold.subscriptions.projection": ("Projection",),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
