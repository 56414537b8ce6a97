"""``Log``: reading the event log, alone or with durable consumers and projections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import get_args

from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Query
from planfold.eventstore.port import EventStore
from planfold.retries import RetryPolicy
from planfold.subscriptions.consumer import RETRIES, Consumer
from planfold.subscriptions.projection import BATCH, Projection, project
from planfold.tools.notifications import Notification, NotificationKind


class Log:
    """The events of all streams in one database, in order. It is ``App.log``.

    A position rises through the whole log; 0 is before the first event. A ``Query`` selects
    events; without one it is the whole log.

    Example:
        import planfold
        from planfold.log import Query

        async with planfold.open_app("sqlite:///plans.db") as app:
            plan_id = await app.submit("1. Run `true`", approved_by="me")
            await app.run(plan_id)
            ends = await app.log.read(Query(event_type="PlanningCompleted"))
            print(ends[0].aggregate_id, ends[0].event.outcome)
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def read(
        self, query: Query | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        """The recorded events that match, by position: those after a position, at most ``limit``.

        Another writer may still commit an event below the last one that is returned. To follow
        the log without a gap, use :meth:`subscribe`.
        """
        return await self._store.read(query or Query(), after=after, limit=limit)

    def subscribe(
        self, query: Query | None = None, *, after: int | Checkpoint = 0
    ) -> AsyncIterator[Envelope]:
        """The matching events after a position or checkpoint, then new ones as they are committed,
        without end: each once, in order, none left out.

        Raises:
            ConfigurationError: the checkpoint is of another store, or was made before this one
                was restored from a backup; raised on the first step.
        """
        return self._store.subscribe(query, after=after)

    async def last_position(self) -> int:
        """The position of the newest event; 0 in an empty log."""
        return await self._store.last_position()

    def consumer(
        self,
        name: str,
        handle: Callable[[Envelope], Awaitable[object]],
        query: Query | None = None,
        *,
        after: int | Checkpoint = 0,
        partitions: int = 1,
        retries: RetryPolicy = RETRIES,
        batch: int = 100,
    ) -> Consumer:
        """A durable subscription with this name, which calls ``handle`` with every matching event
        at least once, per stream in order: see :class:`Consumer`.

        Raises:
            ValueError: the name is empty or not printable, or a number is below 1.
        """
        return Consumer(
            self._store,
            name,
            handle,
            query,
            after=after,
            partitions=partitions,
            retries=retries,
            batch=batch,
        )

    def export_traces(
        self,
        endpoint: str,
        *,
        name: str = "traces",
        headers: Mapping[str, str] | None = None,
        content: bool = False,
    ) -> Consumer:
        """A consumer that sends every plan that ends as a trace to an OTLP/HTTP ``endpoint``
        (``http://localhost:4318``), from its checkpoint on: at first, all plans that have ended.
        ``headers`` go with each request; with ``content`` also titles, arguments, results, answers
        and errors are sent.

        Raises:
            ConfigurationError: the endpoint is not an address of HTTP.

        Example:
            import planfold

            async with planfold.open_app("sqlite:///plans.db") as app:
                async with app.log.export_traces("http://localhost:4318"), app.worker():
                    await app.result(await app.submit("1. Run `true`", approved_by="ada"))
        """
        from planfold.runtime.trace_export import TraceExporter  # most programs need none

        exporter = TraceExporter(self._store, endpoint, headers=headers, content=content)
        query = Query("plan", "PlanningCompleted")
        return Consumer(self._store, name, exporter.handle, query, handle_all=exporter.handle_all)

    def notify(
        self,
        name: str,
        deliver: Callable[[Notification], Awaitable[object]],
        *,
        on: Collection[NotificationKind] = get_args(NotificationKind),
        after: int | Checkpoint = 0,
    ) -> Consumer:
        """A consumer that calls ``deliver`` when a plan waits for its approval or an answer, and
        when it ends; ``on`` names the kinds. What was answered or approved before it could be
        delivered is left out, and so is an end that is more than 7 days old.

        A name that is new begins ``after`` a position: give ``await app.log.last_position()`` to
        leave out what happened before. When ``deliver`` raises, it is called again for about six
        hours; later notifications of the same plan wait. Then the plan is parked: see
        :class:`Consumer`.

        Raises:
            ValueError: the name is empty or not printable.

        Example: see :class:`Notification`.
        """
        from planfold.runtime.notifications import RETRIES as LONG  # most programs need none
        from planfold.runtime.notifications import Notifier

        notifier = Notifier(self._store, name, deliver, on)
        return self.consumer(name, notifier.handle, Query("plan"), after=after, retries=LONG)

    async def project(
        self,
        *projections: Projection,
        query: Query | None = None,
        batch: int = BATCH,
        until: int | None = None,
    ) -> None:
        """Bring projections up to date and keep them so, from one subscription: each is given the
        matching events after its own checkpoint, in order, in batches of at most ``batch`` events.

        It runs without end, or up to the position ``until`` of an event, for example
        ``await app.log.last_position()``; where that was archived, up to the last one before it.

        Raises:
            ConfigurationError: a checkpoint is of another store or epoch, or beyond the log's end.
            Exception: what ``load`` or ``apply`` raised; the next call continues from there.
        """
        await project(self._store, *projections, query=query, batch=batch, until=until)
