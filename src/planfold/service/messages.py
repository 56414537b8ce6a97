"""What requests and answers hold, as structs."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from planfold.access.credential import Scope
from planfold.drafting.draft import Fault, PlanDraft
from planfold.drafting.parameters import ParameterValue
from planfold.planner.budget import Budget
from planfold.planner.questions import Question
from planfold.planner.tasks import PlanStatus, TaskSpec
from planfold.projects import DEFAULT
from planfold.projects import PATTERN as PROJECT
from planfold.readmodels.forecast import Forecast
from planfold.runtime.limits import LimitUse
from planfold.runtime.schedule_view import ScheduleView
from planfold.tags import PATTERN as TAG

PLAN_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"  # in the words of JSON schema
LONGEST_PAGE: Final = 500
_STATUS: Final = "|".join(status.value for status in PlanStatus)
_TAG: Final = TAG[1:-1]
TAGS: Final = rf"^{_TAG}(,{_TAG})*$"
STATUSES: Final = rf"^({_STATUS})(,({_STATUS}))*$"

Name = Annotated[str, Meta(min_length=1, max_length=100)]
ShortText = Annotated[str, Meta(max_length=20_000)]
PlanText = Annotated[str, Meta(max_length=1_000_000)]
PlanId = Annotated[str, Meta(pattern=PLAN_ID)]
Project = Annotated[str, Meta(pattern=PROJECT)]
Tag = Annotated[str, Meta(pattern=TAG)]
TaskName = Annotated[str, Meta(min_length=1, max_length=200)]
PageSize = Annotated[int, Meta(ge=1, le=LONGEST_PAGE)]
Position = Annotated[int, Meta(ge=0, le=2**62)]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of requests: an unknown field is a fault."""


class Submission(Strict, frozen=True):
    """A plan to begin: exactly one of ``text`` (Markdown, prose, JSON), ``draft`` and ``wish`` (a
    request that the configured model makes a plan of).

    Without ``approve`` the plan waits for approval; with it the token needs the scope ``approve``.
    ``plan_id`` is chosen by the server unless it is given; ``project`` is "default", or the only
    one of the token. ``params`` are the values of the plan's parameters; a ``text`` may be the
    name of a template. The plan pauses when it reaches one of the tasks ``pause_before``; ``tags``
    join those of the draft.
    """

    text: PlanText | None = None
    draft: PlanDraft | None = None
    wish: PlanText | None = None
    plan_id: PlanId | None = None
    approve: bool = False
    max_parallel: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    priority: Annotated[int, Meta(ge=-1_000, le=1_000)] | None = None
    project: Project | None = None
    params: dict[str, Any] = {}
    pause_before: tuple[TaskName, ...] = ()
    tags: tuple[Tag, ...] = ()


class PlanSource(Strict, frozen=True):
    """A plan as ``text`` (Markdown, prose, JSON, the name of a template) or as a ``draft``: exactly
    one. ``params`` are the values of its parameters."""

    text: PlanText | None = None
    draft: PlanDraft | None = None
    params: dict[str, Any] = {}


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that was checked and not recorded. ``waves`` are tasks that could run at the same
    time, ``critical_path`` the longest chain, ``notes`` what the text says beside the tasks.
    ``undo`` says whether the plan undoes what it did when it fails or is cancelled."""

    title: str
    goal: str
    tasks: tuple[TaskSpec, ...]
    waves: list[list[int]]
    critical_path: list[int]
    tools: list[str]
    notes: list[str] = []
    params: tuple[ParameterValue, ...] = ()
    undo: Literal["ask", "always", "never"] = "ask"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The plan after a command. ``version`` is also in the header ``ETag``."""

    plan_id: str
    version: int
    status: PlanStatus
    revision_hash: str


class PlanEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A plan in a list. ``total`` and ``completed`` count tasks and items, without those that a
    revision superseded and those that undo others; times are seconds since the epoch. A fork has
    its ``origins``. Where the entry of the plan was damaged, ``status`` is null; the plan itself
    can be read from its log."""

    id: str
    title: str
    status: PlanStatus | None
    version: int
    total: int
    completed: int
    questions: int
    priority: int
    created_at: float
    updated_at: float
    origins: tuple[str, ...] = ()
    project: str = DEFAULT
    tags: tuple[str, ...] = ()


class PlanPage(msgspec.Struct, frozen=True, kw_only=True):
    """Plans, newest first. ``next`` is the ``before`` of the next page; null: this was the
    last."""

    plans: list[PlanEntry]
    next: str | None = None


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An event as recorded. ``position`` rises through the whole log, ``version`` counts the
    plan's events from 1. ``recorded_at``: seconds since the epoch."""

    position: int
    stream_id: str
    aggregate_id: str
    version: int
    event_id: str
    event_type: str
    event_version: int
    data: Any
    metadata: dict[str, Any]
    recorded_at: float


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a plan, oldest first. ``next`` is the ``after`` of the next page; null: this was
    the last."""

    events: list[EventRecord]
    next: int | None = None


class Approval(Strict, frozen=True):
    """Approve exactly this revision: what was looked at is what runs."""

    revision_hash: Name


class Rejection(Strict, frozen=True):
    """Refuse a plan that waits for approval."""

    reason: ShortText = ""


class AnswerGiven(Strict, frozen=True):
    """Answer the question of a ``task`` (id or label). ``failed``: what was asked for could not be
    done. ``result`` is the task's result where the answer says that an interrupted attempt was
    done."""

    task: TaskName
    answer: ShortText
    failed: bool = False
    result: Any | UnsetType = UNSET


class AnswerChanged(Strict, frozen=True):
    """Give another answer to a question that was answered: what depends on it runs again. Tasks of
    effect ``once`` that have run must be in ``repeat``."""

    task: TaskName
    answer: ShortText
    repeat: tuple[TaskName, ...] = ()


class CancelRequest(Strict, frozen=True):
    """Cancel the plan, or one ``task``, with ``subtree`` also all tasks that depend on it."""

    task: TaskName | None = None
    subtree: bool = False
    reason: ShortText = ""


class RetryRequest(Strict, frozen=True):
    """Run a ``task`` again that failed, was cancelled or was skipped."""

    task: TaskName


class ReplanRequest(Strict, frozen=True):
    """Let the plan's model plan again what has not started."""

    reason: ShortText = ""


class Revision(Strict, frozen=True):
    """Replace the tasks that have not started: exactly one of ``text`` and ``draft``, with the
    values ``params`` of its parameters. With ``approve`` the token needs the scope ``approve``."""

    text: PlanText | None = None
    draft: PlanDraft | None = None
    params: dict[str, Any] = {}
    approve: bool = False


class BudgetRaise(Strict, frozen=True):
    """Raise the plan's budget by these amounts."""

    budget: Budget


class SignalGiven(Strict, frozen=True):
    """A signal, which counts once by its ``id`` (by default the idempotency key). The answer holds
    its ``id``, and whether it is ``new``."""

    name: TaskName
    key: ShortText
    data: Any = None
    id: TaskName | None = None


class CheckpointName(Strict, frozen=True):
    """Give the plan's present version this name."""

    name: Name


class ForkSource(Strict, frozen=True):
    """How to continue a plan from one of its versions on: from the version ``at`` (a number, or a
    task: the version before it began) or from a ``checkpoint``; by default from the latest.

    ``changes`` maps TASK.FIELD to a value, ``answers`` maps tasks to answers, also to questions to
    come; with ``keep_answers`` later questions get the answers that they got. Tasks in ``repeat``
    may happen again although their effect is ``once``.
    """

    at: Annotated[int, Meta(ge=1, le=2**62)] | TaskName | None = None
    checkpoint: Name | None = None
    changes: dict[TaskName, Any] = {}
    answers: dict[TaskName, ShortText] = {}
    keep_answers: bool = False
    repeat: tuple[TaskName, ...] = ()


class ForkRequest(ForkSource, frozen=True):
    """A plan to begin that continues another one. With changes it waits for approval unless
    ``approve``. That needs the scope ``approve``, as do answers, ``keep_answers``, ``repeat``, and
    any effect that would happen again without an approval."""

    plan_id: PlanId | None = None
    approve: bool = False


class WhatIf(Strict, frozen=True):
    """Other limits than the plan had, and ``answers``: after how many seconds, by task."""

    max_parallel: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    route_limits: dict[Name, int] = {}
    answers: dict[TaskName, float] = {}


class ForecastAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How long a plan may take, by earlier runs; null: there was none like it."""

    forecast: Forecast | None


class OpenQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A question with its plan. ``task`` is the label, or the id as text."""

    plan_id: str
    title: str
    task: str
    question: Question


class QuestionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Open questions of the plans of one page, newest plans first. ``next`` is the ``before`` of
    the next page; null: this was the last."""

    questions: list[OpenQuestion]
    next: str | None = None


class StatisticsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of all plans, as ``planfold stats --json`` prints them, or by what was asked for.
    ``position`` is how far the log was counted."""

    figures: dict[str, Any]
    unreadable: list[str]
    position: int


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Whose request this is, and what it may do. It sees the plans of its ``projects`` (none given:
    of all)."""

    name: str
    kind: Literal["token", "session", "launch_code"]
    scopes: tuple[Scope, ...]
    expires_at: float
    projects: tuple[str, ...] = ()


class Readiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the service can work; ``reasons`` (only with a token) say why it cannot."""

    ready: bool
    reasons: list[str] = []


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused (RFC 9457). ``faults`` are those of a plan. ``field`` names the
    field of the request that would allow it."""

    type: str
    title: str
    status: int
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    field: str = ""


class LimitPage(Strict, frozen=True):
    """All shared limits, by name."""

    limits: list[LimitUse]


class SchedulePage(msgspec.Struct, frozen=True):
    """All schedules, by name."""

    schedules: list[ScheduleView]
