"""``PostgresLog``: how the feed reads PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from planfold.backends.postgres.horizon import FetchRows, TransactionHorizon
from planfold.eventstore.envelope import Envelope, Query
from planfold.subscriptions.feed import PAGE, Horizon


class PostgresLog:
    """See :class:`planfold.subscriptions.feed.Log`. ``envelope`` decodes a row."""

    def __init__(
        self,
        fetch: FetchRows,
        horizon: TransactionHorizon,
        envelope: Callable[[Any], Envelope],
    ) -> None:
        self._fetch = fetch
        self._horizon = horizon
        self._envelope = envelope

    async def horizon(self, after: int) -> Horizon:
        """Without concurrent writers, the next events follow each other without a gap: then one
        statement gives the horizon and the events."""
        if self._horizon.calm:
            rows = await self._rows(Query(), after, None, PAGE)
            last = after + len(rows)
            if len(rows) < PAGE and (not rows or rows[-1]["position"] == last):
                return Horizon(last, self._horizon.settled, last, [*map(self._envelope, rows)])
        return await self._horizon.look(after)

    async def read(self, query: Query, *, after: int, upto: int, limit: int) -> Sequence[Envelope]:
        """See :meth:`planfold.subscriptions.feed.Log.read`."""
        return [*map(self._envelope, await self._rows(query, after, upto, limit))]

    async def _rows(
        self, query: Query, after: int, upto: int | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        filters = (query.stream_id, query.event_type, query.aggregate_id)
        return await self._fetch("feed_page", after, upto, *filters, limit)
