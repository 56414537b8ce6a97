"""``ScheduleView``: a schedule as it is now."""

from __future__ import annotations

from typing import Final

import msgspec

from planfold.planner.tasks import PlanStatus
from planfold.schedules.commands import CatchUp, Overlap
from planfold.schedules.schedule import ScheduleState

_WAITS_FOR_A_PERSON: Final = (
    *(PlanStatus.AwaitingApproval.value, PlanStatus.AwaitingAnswer.value),
    PlanStatus.Paused.value,
)


class ScheduleView(msgspec.Struct, frozen=True):
    """A schedule as it is now. Times are seconds since the epoch, 0.0 where there is none.

    ``next_at`` is its next occurrence (None: there is none, or it is ``paused``). ``previous`` is
    the id of the last plan that began, for the time ``previous_at``, and ``previous_status`` its
    status (empty: there is none, or it was archived). ``waiting`` occurrences wait for its end; the
    plans ``starting`` are to be submitted by a worker. It has ``submitted`` so many plans, and left
    out ``overlapped`` occurrences because the plan before had not ended. The occurrences from
    ``missed_since`` on were missed and not run late. ``fault`` is why the last plan that could not
    be submitted was not. ``approved_by`` approved the tasks of ``revision_hash``, in which its
    plans begin; where it is None, each waits for approval.

    Example:
        import planfold

        async with planfold.open_app("sqlite:///plans.db") as app:
            await app.add_schedule("nightly", "0 2 * * *", "1. Run `make`", approved_by="ada")
            print((await app.schedule("nightly")).next_at)
    """

    name: str
    cron: str
    tz: str
    catch_up: CatchUp
    overlap: Overlap
    title: str
    revision_hash: str
    approved_by: str | None
    project: str
    tags: tuple[str, ...]
    paused: bool
    next_at: float | None
    previous: str
    previous_at: float
    waiting: int
    starting: tuple[str, ...]
    submitted: int
    overlapped: int
    missed_since: float
    fault: str
    previous_status: str = ""

    @property
    def held_up_by(self) -> str:
        """The id of a plan that waits for a person while it holds up the next occurrences; empty
        where there is none."""
        waits = self.previous_status in _WAITS_FOR_A_PERSON
        return self.previous if waits and self.overlap != "allow" else ""


def view_of(state: ScheduleState, previous_status: str = "") -> ScheduleView | None:
    """None: there is no schedule any longer."""
    added = state.added
    if added is None:
        return None
    plan = added.plan
    return ScheduleView(
        name=added.name,
        cron=added.cron,
        tz=added.tz,
        catch_up=added.catch_up,
        overlap=added.overlap,
        title=str(plan.draft.get("title", "")),
        revision_hash=plan.revision_hash,
        approved_by=plan.approved_by,
        project=plan.config.project,
        tags=plan.tags,
        paused=state.paused,
        next_at=None if state.paused else state.next_at,
        previous=state.previous,
        previous_at=state.previous_at,
        waiting=len(state.waiting),
        starting=tuple(each.plan_id for each in state.owed),
        submitted=state.submitted,
        overlapped=state.overlapped,
        missed_since=state.missed_since,
        fault=state.fault,
        previous_status=previous_status,
    )
