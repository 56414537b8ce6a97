"""What a request asks for in its address, as structs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from planfold.service.messages import STATUSES, TAGS, PageSize, Position, Project, Strict, TaskName


class ListQuery(Strict, frozen=True):
    """Which plans: those with one of these statuses (``status``, with commas between), with
    ``title`` in their title, of a ``project``, with all of ``tag`` (commas between), that began at
    ``since`` or later and before ``until`` (seconds since the epoch); at most ``limit``, after the
    page that gave ``before``. With ``id`` instead those whose ids begin so, by id."""

    status: Annotated[str, Meta(pattern=STATUSES)] | None = None
    title: Annotated[str, Meta(max_length=200)] = ""
    since: Annotated[float, Meta(ge=0.0, le=1e12)] | None = None
    until: Annotated[float, Meta(ge=0.0, le=1e12)] | None = None
    project: Project | None = None
    tag: Annotated[str, Meta(pattern=TAGS)] | None = None
    id: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    before: Annotated[str, Meta(max_length=700)] | None = None
    limit: PageSize = 50


class VersionQuery(Strict, frozen=True):
    """As it was at this ``version`` of the plan."""

    version: Annotated[int, Meta(ge=1, le=2**62)] | None = None


class PlanQuery(VersionQuery, frozen=True):
    """``results`` false: without the results of tasks."""

    results: bool = True


class LogQuery(Strict, frozen=True):
    """Events after this position, or after a version of the plan, at most ``limit``."""

    after: Position = 0
    after_version: Position | None = None
    limit: PageSize = 100


class EventsQuery(Strict, frozen=True):
    """Events after this position, or only ``new`` ones. ``Last-Event-ID`` counts more."""

    after: Position = 0
    new: bool = False


class WhyQuery(Strict, frozen=True):
    """Of this task (id or label) instead of the plan. ``history``: read a log of more than 5,000
    events, too."""

    task: TaskName | None = None
    history: bool = False


class DiffQuery(Strict, frozen=True):
    """The ``other`` plan, or the same one, and versions of both; by default the present ones."""

    other: Annotated[str, Meta(min_length=1, max_length=512)]
    at: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    other_at: Annotated[int, Meta(ge=1, le=2**62)] | None = None


class TraceQuery(Strict, frozen=True):
    """The ``form`` of a trace; with ``content`` also titles, arguments, results and answers."""

    form: Literal["otlp", "chrome"] = "otlp"
    content: bool = False


class PageQuery(Strict, frozen=True):
    """A page of at most ``limit`` plans, after the page that gave ``before``."""

    before: Annotated[str, Meta(max_length=200)] | None = None
    limit: PageSize = 50


class StatisticsQuery(Strict, frozen=True):
    """Figures for each of these instead of one for all."""

    by: Literal["kind", "tool", "route", "title"] | None = None
