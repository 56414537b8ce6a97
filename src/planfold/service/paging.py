"""Pages of plans: the cursor names the last plan of a page, so new plans move nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

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


def entry_of(plan: StreamHead) -> PlanEntry:
    """A plan in a list."""
    head = plan.head
    return PlanEntry(
        id=plan.aggregate_id,
        title=head.get("title", ""),
        status=PlanStatus(head["status"]),
        version=plan.version,
        total=head.get("total", 0),
        completed=head.get("completed", 0),
        questions=head.get("questions", 0),
        priority=head.get("priority", 0),
        created_at=plan.created_at,
        updated_at=plan.updated_at,
        origins=tuple(head.get("origins", ())),
        project=head.get("project", DEFAULT),
        tags=tuple(head.get("tags", ())),
    )
