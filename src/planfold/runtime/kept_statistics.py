"""``KeptStatistics``: statistics that are saved in the store with their checkpoint, so that a start
reads only the events after it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Final

from planfold.errors import PlanfoldError
from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.readmodels.statistics import Statistics
from planfold.runtime.aggregate import PLAN
from planfold.runtime.origins import state_at

NAME: Final = "statistics"
PAGE: Final = 1_000  # events that are read at a time
SAVE_EVERY: Final = 5_000  # events
PER_TITLE: Final = 2  # events more, for each title and group: saving them all takes longer


class KeptStatistics:
    """A projection of the log, see :class:`planfold.subscriptions.projection.Projection`: the
    statistics ``found``, which are saved in ``store``.

    Several processes may save them; each counts the whole log. Other processes can use what was
    saved, unless plans were moved out of the log in the meantime.
    """

    def __init__(self, store: EventStore) -> None:
        self.found = statistics_of(store)
        self._store = store
        self._asked = False
        self._unsaved = 0  # events
        self._times_forgotten = 0  # when counting began

    async def load(self) -> Checkpoint | None:
        """Load what was saved, if it is of this log. It is a cache: anything else is discarded, and
        the log is counted again."""
        if not self._asked:
            self._asked = True
            self._times_forgotten = await self._store.checkpoints.times_forgotten()
            saved = await self._store.checkpoints.read_model(NAME)
            if saved is not None and await self._is_of_this_log(saved[0]):
                mark, data = saved[1][: len(self._mark)], saved[1][len(self._mark) :]
                if mark == self._mark:  # else it was saved while plans were moved
                    self.found.restore(data, saved[0], by=_version())
        return await self.found.load()

    @property
    def _mark(self) -> bytes:
        return b"%d\n" % self._times_forgotten

    async def _is_of_this_log(self, checkpoint: Checkpoint) -> bool:
        store = self._store
        if (checkpoint.store_id, checkpoint.epoch) != (store.store_id, store.epoch):
            return False
        return checkpoint.position <= await store.last_position()

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        """Count events, and save what was counted now and then. Where plans were archived, the
        whole log is counted again: they do not count any more, and may be imported."""
        forgotten = await self._store.checkpoints.times_forgotten()
        if forgotten != self._times_forgotten:
            self._times_forgotten = forgotten  # first, so that no archive is missed
            fresh = statistics_of(self._store)
            await count_all(self._store, fresh, checkpoint.position)
            vars(self.found).update(vars(fresh))  # at once: others look at it
        await self.found.apply(envelopes, checkpoint)
        self._unsaved += len(envelopes)
        known = len(self.found.titles) + len(self.found.groups)
        if self._unsaved >= SAVE_EVERY + PER_TITLE * known:
            await self.save()

    async def catch_up(self) -> Statistics:
        """Count what is in the log now, without saving it: an event may still appear below the last
        one, from a transaction that has not ended."""
        await self.load()
        return await count_all(self._store, self.found)

    async def save(self) -> None:
        """Save them, unless plans were archived since the last events were counted. Where the
        database cannot be written, the next start counts more."""
        if (checkpoint := self.found.checkpoint) is None:
            return
        self._unsaved = 0
        checkpoints = self._store.checkpoints
        with suppress(PlanfoldError):
            if await checkpoints.times_forgotten() == self._times_forgotten:
                data = self._mark + self.found.packed(by=_version())
                await checkpoints.save_read_model(NAME, checkpoint, data)


def statistics_of(store: EventStore, since: float = 0.0) -> Statistics:
    """Empty statistics, for :func:`planfold.subscriptions.projection.project`."""

    async def history(plan_id: str, version: int) -> list[Envelope]:
        return await store.read_versions(plan_id, limit=version)

    return Statistics(history, since, partial(state_at, store))


async def count_all(store: EventStore, found: Statistics, until: int | None = None) -> Statistics:
    """Count what is in the log after the checkpoint of ``found``, up to a position."""
    query = Query(stream_id=PLAN.stream_id)
    after = 0 if found.checkpoint is None else found.checkpoint.position
    while page := await store.read(query, after=after, limit=PAGE):
        after = page[-1].position
        counted = [e for e in page if until is None or e.position <= until]
        if not counted:
            break
        last = counted[-1].position
        await found.apply(counted, Checkpoint(store.store_id, store.epoch, last))
    return found


@cache
def _version() -> str:
    from importlib.metadata import version  # slow to import

    return version("planfold")  # it reads files each time
