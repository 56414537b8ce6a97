"""``LimitUse``: the shared limits, and what is used of them over all workers."""

from __future__ import annotations

import msgspec

from planfold.errors import NotFound
from planfold.eventstore.queue import LimitState
from planfold.runtime.schedules import PlanSchedules


class LimitUse(msgspec.Struct, frozen=True):
    """A :class:`SharedLimit` as the worker that started last declared it, and its use.

    At most ``starts`` attempts start in any ``period`` (seconds); ``started`` of them count now.
    None: it has no rate. At most ``concurrency`` run at once (None: any number), and ``held`` do.
    ``opens`` is when time allows the next start (None: one may start, or an attempt has to end
    first); until ``closed_until`` a server has asked to wait (None: none has). Both are in seconds
    since the epoch.

    Example:
        import planfold
        from planfold import SharedLimit

        limits = {"openai": SharedLimit(rate="60/min")}
        async with planfold.open_app("sqlite:///:memory:", limits=limits) as app:
            async with app.worker():  # declares them
                print([(limit.name, limit.started) for limit in await app.limits()])
    """

    name: str
    starts: int | None
    period: float | None
    started: int | None
    concurrency: int | None
    held: int
    opens: float | None
    closed_until: float | None


class LimitedPlans(PlanSchedules):
    """Looks at the shared limits, and opens one that a server has closed."""

    async def limits(self) -> list[LimitUse]:
        """All shared limits that a worker has declared, by name."""
        return [_use(state) for state in await self.store.queue.limits()]

    async def open_limit(self, name: str) -> None:
        """Let tasks under a limit start again, although a server has asked to wait longer
        (``Retry-After``). Does nothing where it is open.

        Raises:
            NotFound: no worker has declared such a limit.
        """
        if name not in {state.name for state in await self.store.queue.limits()}:
            raise NotFound(f"there is no limit {name!r}; a worker declares it")
        await self.store.queue.reopen([name])


def _use(state: LimitState) -> LimitUse:
    rated = state.starts is not None
    return LimitUse(
        name=state.name,
        starts=state.starts,
        period=state.period if rated else None,
        started=state.started if rated else None,
        concurrency=state.concurrency,
        held=state.held,
        opens=state.opens,
        closed_until=state.closed_until or None,
    )
