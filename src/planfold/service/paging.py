"""Pages of plans: the cursor names the last plan of a page, so new plans move nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

import msgspec

from planfold.eventstore.heads import StreamHead
from planfold.planner.tasks import PlanStatus
from planfold.projects import DEFAULT
from planfold.service.messages import PlanEntry
from planfold.service.problems import refusal


def cursor_of(heads: Sequence[StreamHead], limit: int) -> str | None:
    """The cursor of the page after these; None where they do not fill a page."""
    if len(heads) < limit:
        return None
    return f"{heads[-1].created_at!r}~{heads[-1].aggregate_id}"


def read_cursor(text: str | None) -> tuple[float, str]:
    """The time and id in a cursor, below which a page begins. Raises Refused."""
    if text is None:
        return inf, ""
    time, mark, aggregate_id = text.partition("~")
    try:
        created_at = float(time)
    except ValueError:
        created_at = float("nan")
    if not (mark and isfinite(created_at) and aggregate_id.isprintable()):
        raise refusal(400, "before", "before must be the `next` of an earlier page")
    return created_at, aggregate_id


class _ListedHead(msgspec.Struct, frozen=True):
    """What the head of a plan holds for lists."""

    title: str = ""
    status: PlanStatus | None = None
    total: int = 0
    completed: int = 0
    questions: int = 0
    priority: int = 0
    origins: tuple[str, ...] = ()
    project: str = DEFAULT
    tags: tuple[str, ...] = ()


def entry_of(plan: StreamHead) -> PlanEntry:
    """A plan in a list. Where its head was damaged there is only what the store itself knows."""
    try:
        line = msgspec.convert(plan.head, _ListedHead)
    except msgspec.ValidationError:
        line = _ListedHead()
    return PlanEntry(
        id=plan.aggregate_id,
        title=line.title,
        status=line.status,
        version=plan.version,
        total=line.total,
        completed=line.completed,
        questions=line.questions,
        priority=line.priority,
        created_at=plan.created_at,
        updated_at=plan.updated_at,
        origins=line.origins,
        project=line.project,
        tags=line.tags,
    )
