"""What requests and answers about schedules hold."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from planfold.drafting.draft import PlanDraft
from planfold.schedules.commands import CatchUp, Overlap
from planfold.service.messages import PlanText, Project, ShortText, Strict, Tag

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$"


class ScheduleRequest(Strict, frozen=True):
    """A schedule to add: exactly one of ``text`` and ``draft`` is its plan, with the values
    ``params`` of its parameters. ``cron`` has five fields, in the time zone ``tz``. With
    ``approve`` its plans run without approval; the token then needs the scope ``approve``."""

    name: Annotated[str, Meta(pattern=NAME)]
    cron: Annotated[str, Meta(max_length=200)]
    tz: Annotated[str, Meta(max_length=64)] = "UTC"
    text: PlanText | None = None
    draft: PlanDraft | None = None
    params: dict[str, Any] = {}
    approve: bool = False
    catch_up: CatchUp = "once"
    overlap: Overlap = "skip"
    max_parallel: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    project: Project | None = None
    tags: tuple[Tag, ...] = ()


class ScheduleEdit(Strict, frozen=True):
    """What changes of a schedule; null: it stays. ``text`` or ``draft`` is another plan, with the
    values ``params`` of its parameters. ``approve`` approves it, or the plan that is there."""

    cron: Annotated[str, Meta(max_length=200)] | None = None
    tz: Annotated[str, Meta(max_length=64)] | None = None
    text: PlanText | None = None
    draft: PlanDraft | None = None
    params: dict[str, Any] = {}
    approve: bool = False
    catch_up: CatchUp | None = None
    overlap: Overlap | None = None
    tags: tuple[Tag, ...] | None = None


class SchedulePauseRequest(Strict, frozen=True):
    """Begin no plan of the schedule until it is unpaused."""

    reason: ShortText = ""


class ScheduleActionRequest(Strict, frozen=True):
    """Nothing more has to be said."""
