"""``PlanList``: the plans of a store as lists. ``plans_of``: their heads, page by page."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from msgspec.structs import replace

from planfold.errors import NotFound
from planfold.eventstore.heads import HeadChoice, key_of
from planfold.eventstore.port import EventStore, StreamHead
from planfold.eventstore.transfer import where_archived
from planfold.planner.tasks import PlanStatus
from planfold.runtime.aggregate import PLAN

TITLES: Final = 1_000  # heads that are read at a time to look for a title


class PlanList:
    """Lists the plans of a store."""

    store: EventStore

    async def plans(
        self,
        *,
        limit: int | None = 100,
        after: str | None = None,
        statuses: Iterable[PlanStatus] = (),
        title: str = "",
        since: float | None = None,
        before: float | None = None,
        projects: Iterable[str] = (),
        tags: Iterable[str] = (),
    ) -> list[StreamHead]:
        """Plans, the newest first, with title, status and counts in ``head``: at most ``limit``
        (None: all), those that come ``after`` the plan with this id, for the next page.

        ``statuses`` and ``projects``: plans with one of these; ``tags``: with all of these.
        ``title``: those that have this text in their title, in capitals or not. ``since`` and
        ``before``: those that began then or later, and earlier (seconds since the epoch). A page
        costs what is on it; a title is looked for in the heads, one after the other. Raises
        NotFound where there is no plan ``after``.
        """
        below = (inf, "") if before is None else (before, "")
        if after is not None:
            head = await self.store.head(after)
            if head is None or head.stream_id != PLAN.stream_id:
                raise await self._missing(after)
            below = min(below, key_of(head))
        wanted = tuple(sorted({PlanStatus(status).value for status in statuses}))
        start, of = -inf if since is None else since, tuple(projects)
        choice = HeadChoice(wanted, start, below, of, tuple(tags))
        return await plans_of(self.store, choice, title=title, limit=limit)

    async def find_plans(self, beginning: str, *, limit: int = 10) -> list[StreamHead]:
        """Plans whose ids begin so, by id, at most ``limit``."""
        return await self.store.find_heads(PLAN.stream_id, beginning, limit=limit)

    async def _missing(self, plan_id: str) -> NotFound:
        archived = await self.store.transfer.tombstones([plan_id])
        if archived:
            return NotFound(where_archived(archived[0])).about("archived")
        return NotFound(f"there is no plan {plan_id!r}").about("plan")


async def plans_of(
    store: EventStore, choice: HeadChoice, *, title: str = "", limit: int | None = None
) -> list[StreamHead]:
    """Plans that match a choice and have this text in their title, the newest first."""
    words, found = title.casefold(), list[StreamHead]()
    while limit is None or len(found) < limit:
        most = limit if limit is None or not words else max(limit, TITLES)
        page = await store.heads(PLAN.stream_id, choice, limit=most)
        found += [h for h in page if words in str(h.head.get("title", "")).casefold()]
        if most is None or len(page) < most:
            break
        choice = replace(choice, below=key_of(page[-1]))
    return found[:limit]
