"""What has happened to a schedule. Fields are only ever added, with defaults."""

from __future__ import annotations

from typing import Final

import msgspec

from planfold.schedules.commands import CatchUp, Occurrence, Overlap, ScheduledPlan


class ScheduleAdded(msgspec.Struct, frozen=True, omit_defaults=True):
    """See :class:`AddSchedule`."""

    name: str
    cron: str
    tz: str
    plan: ScheduledPlan
    next_at: float
    catch_up: CatchUp = "once"
    overlap: Overlap = "skip"


class ScheduleEdited(msgspec.Struct, frozen=True, omit_defaults=True):
    """See :class:`EditSchedule`. What did not change is None."""

    cron: str | None = None
    tz: str | None = None
    plan: ScheduledPlan | None = None
    catch_up: CatchUp | None = None
    overlap: Overlap | None = None
    next_at: float | None = None
    by: str = ""


class SchedulePaused(msgspec.Struct, frozen=True, omit_defaults=True):
    """See :class:`PauseSchedule`."""

    reason: str = ""
    by: str = ""


class ScheduleUnpaused(msgspec.Struct, frozen=True, omit_defaults=True):
    """See :class:`UnpauseSchedule`."""

    next_at: float | None
    by: str = ""


class ScheduleRemoved(msgspec.Struct, frozen=True, omit_defaults=True):
    """See :class:`RemoveSchedule`."""

    by: str = ""


class OccurrencesDecided(msgspec.Struct, frozen=True, omit_defaults=True):
    """The plans of ``started`` are to be submitted. Those ``queued`` wait, and those ``overlapped``
    were left out, because the plan of the one before had not ended. The occurrences from
    ``missed_since`` on (0.0: none) are not run late. ``by``: the person who ran it by hand."""

    next_at: float | None
    started: tuple[Occurrence, ...] = ()
    queued: tuple[Occurrence, ...] = ()
    overlapped: tuple[Occurrence, ...] = ()
    missed_since: float = 0.0
    by: str | None = None


class OccurrenceSubmitted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The plan of an occurrence exists; with a ``fault`` it cannot."""

    plan_id: str
    fault: str = ""


ScheduleEvent = (
    ScheduleAdded
    | ScheduleEdited
    | SchedulePaused
    | ScheduleUnpaused
    | ScheduleRemoved
    | OccurrencesDecided
    | OccurrenceSubmitted
)
SCHEDULE_EVENTS: Final = (
    ScheduleAdded,
    ScheduleEdited,
    SchedulePaused,
    ScheduleUnpaused,
    ScheduleRemoved,
    OccurrencesDecided,
    OccurrenceSubmitted,
)
