"""``Mailboxes``: those of a dispatcher, as many of them with their state as there is room for."""

from __future__ import annotations

from collections import OrderedDict

from planfold.runtime.aggregate import Aggregate
from planfold.runtime.mailbox import Mailbox

CACHED_STATES = 1_000
CACHED_BYTES = 256 * 1024 * 1024  # of all states, as far as handlers estimate it


class Mailboxes:
    """The one that was used the longest ago is dropped first, when nothing waits in it."""

    def __init__(self) -> None:
        self._all: OrderedDict[tuple[str, str], Mailbox] = OrderedDict()
        self._bytes = 0

    def find(self, aggregate: Aggregate, aggregate_id: str) -> Mailbox | None:
        return self._all.get((aggregate.stream_id, aggregate_id))

    def open(self, aggregate: Aggregate, aggregate_id: str) -> Mailbox:
        """The mailbox of an aggregate, which is made when there is none."""
        key = (aggregate.stream_id, aggregate_id)
        mailbox = self._all.get(key)
        if mailbox is None:
            mailbox = self._all[key] = Mailbox(aggregate, aggregate_id, self._grew)
            self._evict()
        else:
            self._all.move_to_end(key)
        return mailbox

    def drop(self, mailbox: Mailbox) -> None:
        """There is no such stream."""
        if not mailbox.busy:
            key = (mailbox.aggregate.stream_id, mailbox.aggregate_id)
            if self._all.get(key) is mailbox:
                self._forget(key, mailbox)

    def _grew(self, size: int) -> None:
        self._bytes += size
        if self._bytes > CACHED_BYTES:
            self._evict()

    def _evict(self) -> None:
        while len(self._all) > CACHED_STATES or (self._bytes > CACHED_BYTES and len(self._all) > 1):
            key, oldest = next(iter(self._all.items()))
            if oldest.busy or oldest.waiting:
                return
            self._forget(key, oldest)

    def _forget(self, key: tuple[str, str], mailbox: Mailbox) -> None:
        del self._all[key]
        self._bytes -= mailbox.size
        mailbox.grew = lambda _: None  # a load under way may still end in it
