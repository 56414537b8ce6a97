"""How far the log in PostgreSQL is final: below which position nothing can appear any more.

Positions come from a sequence when an event is inserted, but events become visible when their
transaction commits, and that is another order. A reader that remembers only the last position it
saw loses what is committed late. An example, with three writers:

    A inserts and gets 5; B inserts and gets 6; B commits.     A reader sees 6 and not 5.
    Was 5 rolled back, or will it appear later?                It must not deliver 6 yet.

Two rules answer that.

1. Positions without a gap are final. If everything up to 4 is final and the reader sees 5, 6 and
   7, then nothing can appear between them later. Most of the time this is all that is needed.

2. At a gap, look at who could still fill it. An INSERT locks the table (RowExclusiveLock on
   planfold.events) before it takes a position, and PostgreSQL releases the lock only after the
   transaction has become visible or was rolled back. So one statement reads, in this order: its
   snapshot, with the highest position h in it, and then the *holders*, the transactions that hold
   this lock now (pg_locks). The sequence assigns positions in rising order (CACHE 1). So
   a transaction that takes the lock after such a look gets positions above its h; and one that
   ended before it is visible to every statement that begins later, or was rolled back.

   Hence each holder has a *floor*: its positions are above the h of the last look that did not
   find it among the holders (0 if there was none). And the log is final up to the lowest floor of
   the present holders, or up to h if there is no holder. A reader that begins a new statement
   now sees everything up to there; what it does not see there was rolled back.

   look 1:  h = 4, no holder                    final up to 4
            A takes 5, B takes 6, B commits, C takes 7
   look 2:  h = 6, A and C with floor 4         final up to 4
            A commits
   look 3:  h = 6, C (4)                        5 and 6 are there: final up to 6 by rule 1
            D takes 8 and rolls back, C commits, E takes 9 and commits
   look 4:  h = 9, no holder                    final up to 9: 8 was rolled back

The assumptions, and the cases that are covered:

- A transaction that inserts twice keeps the lock in between, so its floor applies to all of its
  positions. A rollback to a savepoint may release the lock, but takes the positions with it;
  those that the transaction takes later are higher than any seen before.
- A prepared transaction survives the end of its session and a restart of the server, and may
  come back under another id. So a prepared one that was not known inherits the lowest floor of
  those that have vanished. An id that is used again after a restart only makes the feed wait.
- Positions that the sequence skips (rollbacks, up to 32 in a crash) are gaps like any other. As
  long as no event is visible above a gap there is nothing to wait for.
- Locks taken by the fast path are in pg_locks too. While it is read a lock may move from there to
  the main table, which is read second: it is then seen twice, never missed.
- Every statement has a snapshot of its own (no transaction around them), so they may run on any
  connection of a pool. Looks must not overlap: an older one would bring back what a later one has
  seen vanish. Here they take turns.
- At the start nothing is known about the holders: their floors are 0. Until they are gone, rule 1
  continues from the position that the reader asks about.
- Events that an archive deletes below the horizon are of no concern. The deletion holds the same
  lock, though, and counts as a holder while it runs: delete in small transactions.
- Positions must only ever be taken by inserting into planfold.events, never by calling nextval()
  first; and the reader must be connected to the primary: a standby does not show these locks.

The idea of waiting for the transactions that hold a lock is PostgreSQL's own (CREATE INDEX
CONCURRENTLY waits for them in the same way, src/backend/catalog/index.c).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from planfold.errors import ConfigurationError
from planfold.subscriptions.feed import Horizon

FetchRows = Callable[..., Awaitable[Sequence[Mapping[str, Any]]]]
"""Runs a named statement on its own, in no transaction, perhaps twice; raises Transient while the
database cannot be reached."""


class _Holder(NamedTuple):
    """A transaction that holds the lock: its positions are above ``floor``."""

    floor: int
    process_id: str  # of the server's process; "" when the transaction is prepared


class TransactionHorizon:
    """The horizon of one process. Everything up to ``settled`` is final; ``calm``: the last look
    found no gap."""

    def __init__(self, fetch: FetchRows) -> None:
        self._fetch = fetch
        self._turn = asyncio.Lock()
        self._holders: dict[str, _Holder] = {}  # by virtual transaction id
        self._seen = 0  # the highest position at the last look at the locks
        self.settled = 0
        self.calm = False
        self._begun = False

    async def look(self, after: int) -> Horizon:
        """How far the log is final now, above ``after`` and as a whole.

        Raises:
            Transient: the database cannot be reached.
            ConfigurationError: positions do not rise, or this is a standby.
        """
        async with self._turn:
            if not self._begun:
                await self._check()
            (row,) = await self._fetch("look_at_log", after, not self._begun)
            highest = row["highest"]
            if row["holders"] is not None:
                self._settle(highest, row["holders"])
            self._begun = True
            self.calm = row["upto"] == highest
            upto = max(row["upto"], self.settled)
            awaited = self._awaited() if upto < highest else ""
            return Horizon(upto, self.settled, highest, awaited=awaited)

    async def _check(self) -> None:
        (row,) = await self._fetch("conditions_of_log")
        if row["standby"]:
            raise ConfigurationError(
                "this server is a standby; connect to the primary to subscribe"
            )
        if not row["rising"]:
            raise ConfigurationError(
                "the sequence of planfold.events must give rising positions: set CACHE 1, NO CYCLE"
            )

    def _settle(self, highest: int, found: Iterable[str]) -> None:
        before, floor = self._holders, self._seen
        present = dict(holder.split(":") for holder in found)
        lowest = min([floor, *(h.floor for id_, h in before.items() if id_ not in present)])
        self._holders = {}
        for id_, process_id in present.items():
            known = before.get(id_)
            new = floor if process_id else lowest  # a prepared one may have had another id
            self._holders[id_] = _Holder(known.floor if known else new, process_id)
        self._seen = max(floor, highest)
        settled = min((h.floor for h in self._holders.values()), default=self._seen)
        self.settled = max(self.settled, settled)

    def _awaited(self) -> str:
        """Whose end is awaited first: those with the lowest floor."""
        lowest = min((h.floor for h in self._holders.values()), default=0)
        return ", ".join(
            f"process {h.process_id}" if h.process_id else f"prepared transaction {id_}"
            for id_, h in sorted(self._holders.items())
            if h.floor == lowest
        )
