"""``Mailboxes``: those of a dispatcher, as many of them with their state as there is room for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from planfold.eventstore.port import EventStore
from planfold.handler import Handler
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.mailbox import Mailbox

CACHED_STATES = 1_000
CACHED_BYTES = 256 * 1024 * 1024  # of all states, as far as handlers estimate it


class Mailboxes(OrderedDict[tuple[str, str], Mailbox]):
    """The mailboxes by kind and id of their aggregate. When the cached states exceed the memory
    limit, the mailbox that was used the longest ago and has no waiting commands is dropped
    first."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    def make(self, aggregate: Aggregate, aggregate_id: str) -> Mailbox:
        """Make the mailbox of an aggregate that has none."""
        mailbox = Mailbox(aggregate, aggregate_id, self._grew)
        self[aggregate.stream_id, aggregate_id] = mailbox
        self._evict()
        return mailbox

    def seen(
        self, aggregate: Aggregate, aggregate_id: str, at_least: int | None
    ) -> Handler[Any, Any] | None:
        """The cached state where it is at that version or later, durable or not."""
        mailbox = self.get((aggregate.stream_id, aggregate_id))
        if mailbox is None or at_least is None or mailbox.version < at_least:
            return None
        return mailbox.handler

    def drop(self, mailbox: Mailbox) -> None:
        """Drop a mailbox whose stream does not exist."""
        if not mailbox.busy:
            key = (mailbox.aggregate.stream_id, mailbox.aggregate_id)
            if self.get(key) is mailbox:
                self._forget(key, mailbox)

    async def save_snapshots(self, store: EventStore) -> None:
        """Save a snapshot of each state that has grown enough since its last one."""
        saving = [mailbox.save_snapshot(store) for mailbox in self.values()]
        await asyncio.gather(*saving, return_exceptions=True)

    def _grew(self, size: int) -> None:
        self._bytes += size
        if self._bytes > CACHED_BYTES:
            self._evict()

    def _evict(self) -> None:
        while len(self) > CACHED_STATES or (self._bytes > CACHED_BYTES and len(self) > 1):
            key, oldest = next(iter(self.items()))
            if oldest.busy or oldest.waiting:
                return
            self._forget(key, oldest)

    def _forget(self, key: tuple[str, str], mailbox: Mailbox) -> None:
        del self[key]
        self._bytes -= mailbox.size
        mailbox.grew = lambda _: None  # a running load may still end in it
