"""The commands of a schedule, and what its plans are."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from planfold.planner.config import PlannerConfig

CatchUp = Literal["skip", "once", "all"]
"""Which of the occurrences that were missed, as during an outage, run late: none, one run
for all of them, or each."""

Overlap = Literal["skip", "queue", "allow"]
"""What an occurrence does while the plan of the one before has not ended: it is left out, it waits
for that end, or it begins."""


class Occurrence(msgspec.Struct, frozen=True, gc=False):
    """One run of a schedule: the time it is for (seconds since the epoch), and its plan."""

    at: float
    plan_id: str


class ScheduledPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What each occurrence submits: the ``draft`` as a plan file in JSON, without parameters, under
    ``config`` and with ``tags``. ``approved_by`` approved the revision ``revision_hash``."""

    draft: dict[str, Any]
    revision_hash: str
    approved_by: str | None = None
    config: PlannerConfig = PlannerConfig()
    tags: tuple[str, ...] = ()


class AddSchedule(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Begin a schedule, whose first occurrence is at ``next_at`` (seconds since the epoch)."""

    name: str
    cron: str
    tz: str
    plan: ScheduledPlan
    next_at: float
    catch_up: CatchUp = "once"
    overlap: Overlap = "skip"


class EditSchedule(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Change what is given, and nothing else. With another ``cron`` or ``tz``, ``next_at`` is the
    first occurrence by them (seconds since the epoch)."""

    cron: str | None = None
    tz: str | None = None
    plan: ScheduledPlan | None = None
    catch_up: CatchUp | None = None
    overlap: Overlap | None = None
    next_at: float | None = None
    by: str = ""


class PauseSchedule(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Begin no plan until it is unpaused."""

    reason: str = ""
    by: str = ""


class UnpauseSchedule(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Continue with the occurrence at ``next_at``; those before it are left out."""

    next_at: float | None
    by: str = ""


class RemoveSchedule(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """End a schedule. Plans that it submitted continue; what waits is dropped."""

    by: str = ""


class RunSchedule(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Begin its plan at the time ``now``, beside its occurrences. ``ended`` is the plan of the
    occurrence before, where that has ended."""

    now: float
    ended: str = ""
    by: str = ""


class DecideOccurrences(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Decide on occurrences that are ``due``, from that at ``next_at`` on: it does nothing where
    another worker has. ``then`` is the next one that is not due. ``missed_since`` is the first one
    that is not run late (0.0: none). ``ended`` as in :class:`RunSchedule`."""

    next_at: float | None
    then: float | None
    due: tuple[Occurrence, ...] = ()
    missed_since: float = 0.0
    ended: str = ""


class ConfirmSubmission(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The plan exists; or why it cannot, as where its id is in use."""

    plan_id: str
    fault: str = ""


ScheduleCommand = (
    AddSchedule
    | EditSchedule
    | PauseSchedule
    | UnpauseSchedule
    | RemoveSchedule
    | RunSchedule
    | DecideOccurrences
    | ConfirmSubmission
)
