"""The parts of a plan: tasks as planned (``TaskSpec``) and their present state (``Task``)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

from planfold.retries import RetryPolicy as RetryPolicy


class NodeKind(StrEnum):
    """What kind of work a task is."""

    Clarification = "clarification"  # a person is asked
    ToolCall = "tool_call"  # a tool is called with arguments
    Processing = "processing"  # a model or a person works it out


class TaskStatus(StrEnum):
    """The status of a task. ``planner/transitions.py`` lists every legal change."""

    Planned = "planned"
    Running = "running"
    NeedsClarification = "needs_clarification"
    Completed = "completed"
    Failed = "failed"
    Cancelled = "cancelled"
    Skipped = "skipped"

    __hash__ = str.__hash__  # Enum's own is Python code, and a status is looked up all the time


RunIf = Literal["completed", "failed", "ended"]
SkipReason = Literal["failure", "condition", "by_hand"]


class Effect(StrEnum):
    """What a task does to the world, and so what a crash in the middle of it means."""

    Safe = "safe"  # it only reads, or writes the same again without harm: it runs again
    Keyed = "keyed"  # a service recognises its idempotency key: it runs again with the same key
    Once = "once"  # everything else: it does not run again before a person has said how it ended


class Link(msgspec.Struct, frozen=True, tag="link", omit_defaults=True):
    """A web page that a task is about."""

    url: str
    title: str = ""


class ImageRef(msgspec.Struct, frozen=True, tag="image", omit_defaults=True):
    """An image that a task is about; ``source`` is a URL or a path in the workspace."""

    source: str
    title: str = ""


class FileRef(msgspec.Struct, frozen=True, tag="file", omit_defaults=True):
    """A file that a task is about; ``path`` is relative to the workspace."""

    path: str
    title: str = ""


Attachment = Link | ImageRef | FileRef


def place_of(attachment: Attachment) -> str:
    """Where it is, with its title if it has one: for people and models to read."""
    match attachment:
        case Link(url=place) | ImageRef(source=place) | FileRef(path=place):
            return f"{attachment.title} ({place})" if attachment.title else place


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A tool's name and its JSON arguments; strings in them may hold ``$1.field`` references,
    except in the ``literal`` arguments."""

    name: str
    arguments: dict[str, Any] = {}
    literal: tuple[str, ...] = ()


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a person is asked: choices (empty = free text), and a default after ``deadline`` s."""

    choices: tuple[str, ...] = ()
    default: str | None = None
    deadline: float | None = None


class ForEach(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Makes a task a map: it is done once for each element of a list that is known when it starts.

    ``items`` is a reference to the list (``$3.items``), or the list in JSON. Where it has more
    than ``max_items``, a person is asked first. At most ``concurrency`` items run at once. After an
    item that did not complete, ``on_item_failure`` says whether the others still start. ``label``
    is that of each item (``$item.name``). With ``item_by_item`` the list is the result of a map
    (``$3``), and an item starts when its counterpart, the item of that map at the same place, has
    completed."""

    items: str
    max_items: int = 1_000
    concurrency: int = 100
    on_item_failure: Literal["stop", "continue"] = "stop"
    label: str | None = None
    item_by_item: bool = False


class Wait(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Makes a task a wait: it completes when ``seconds`` have passed since it began, at a time
    (``at``, in seconds since the epoch; ``written`` is what the author wrote), when a signal of
    the name ``signal`` comes, or when a plan that it begins has ended. One of the four is set.

    ``plan`` is the draft of that plan, as JSON; the arguments of the task are the values of its
    parameters. Of an item it is empty: the draft is that of its map.

    ``key`` (a text that may hold references) says which signals of that name; None: those whose
    key is the plan's id. The signal's data is the result. When the task's time-out has passed
    without a signal, the result is ``default``; without a default the task fails."""

    seconds: float | None = None
    at: float | None = None
    written: str | None = None
    signal: str | None = None
    key: str | None = None
    default: Any = msgspec.UNSET
    plan: dict[str, Any] | None = None


class Undo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The call that reverts a task once it has completed. Its arguments may refer to what the
    arguments of the task may, and to the task: ``$self`` is its result, ``$arguments`` what its
    tool was called with. ``timeout`` is in seconds, for one attempt. It is under the shared
    ``limits`` of the task and of its own tool."""

    tool: ToolCall
    effect: Effect = Effect.Once
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = None
    limits: tuple[str, ...] = ()


class TaskSpec(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A task as planned and checked: ids are resolved, references point to ``depends_on``. A task
    that ``undoes`` another one joins the plan when that is undone."""

    id: int
    description: str
    kind: NodeKind = NodeKind.Processing
    label: str | None = None
    tool: ToolCall | None = None
    depends_on: tuple[int, ...] = ()
    attachments: tuple[Link | ImageRef | FileRef, ...] = ()
    effect: Effect = Effect.Once
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = None  # seconds for one attempt, or for a wait
    route: str | None = None
    on_failure: Literal["stop", "continue"] = "stop"
    when: str | None = None  # a condition in CEL; where it is false, the task is skipped
    run_if: RunIf = "completed"  # how the tasks of ``depends_on`` must have ended
    for_each: ForEach | None = None
    prompt: Prompt | None = None
    done: bool = False  # was finished before the plan began
    drafts: bool = False  # a model plans: its outcome is tasks, and it needs no approval
    proposed: bool = False  # by a model, or not reviewed: the policy decides what it may do
    tainted: bool = False  # proposed after the model had read untrusted text
    wait: Wait | None = None
    stall_timeout: float | None = None  # seconds without progress after which an attempt ends
    undo: Undo | None = None  # what reverts it
    undoes: int | None = None  # the task or item that it reverts; 0: it asks whether to undo
    limits: tuple[str, ...] = ()  # names of shared limits that its attempts are under

    @property
    def queue_route(self) -> str:
        """The name that workers and concurrency limits go by: route, else tool, else kind."""
        return self.route or (self.tool.name if self.tool else str(self.kind.value))


class ParentTask(msgspec.Struct, frozen=True, gc=False):
    """The task whose ``attempt`` began this plan, its sub-plan, or continued it."""

    plan_id: str
    task_id: int
    attempt: int


class ByHand(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A person's decision on how a task ends, in place of its executor's: ``skipped``, or
    ``completed`` with a ``result``."""

    status: TaskStatus
    by: str = ""
    reason: str = ""
    result: Any = None

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        return f"{self.status.value} by hand{by}" + (f": {self.reason}" if self.reason else "")


class Pause(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Nothing starts until the plan is unpaused, or nothing of one task: since when (seconds since
    the epoch; 0.0: not known), who paused it and why."""

    since: float = 0.0
    by: str = ""
    reason: str = ""


PLANNING = "planning"  # the route of drafting tasks


REPLANNING = "Plan anew: "  # begins the description of a drafting task that replans


def planning_task(task_id: int, description: str) -> TaskSpec:
    """The drafting task: it drafts the plan that contains it."""
    return TaskSpec(
        id=task_id, description=description, route=PLANNING, effect=Effect.Safe, drafts=True
    )


class PlanStatus(StrEnum):
    """The status of a whole plan."""

    AwaitingApproval = "awaiting_approval"
    Running = "running"
    AwaitingAnswer = "awaiting_answer"  # nothing runs and nothing can start without an answer
    Paused = "paused"  # nothing runs, and nothing starts until a person unpauses it
    Cancelling = "cancelling"
    Completed = "completed"
    Failed = "failed"
    Cancelled = "cancelled"


_IN_WORDS = {
    "planned": "is planned",
    "running": "is running",
    "needs_clarification": "waits for an answer",
    "awaiting_answer": "waits for an answer",
    "awaiting_approval": "waits for approval",
    "paused": "is paused",
    "cancelling": "is being cancelled",
    "completed": "is completed",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
}


def in_words(status: TaskStatus | PlanStatus) -> str:
    """What a message says of a task or plan, after its name: "is completed", "has failed". Whether
    a worker has taken a dispatched task is not in the plan's log."""
    return "is queued or running" if status is TaskStatus.Running else _IN_WORDS[status]


class Task(msgspec.Struct, omit_defaults=True, gc=False):
    """The present state of a task.

    ``attempt`` rises with every dispatch and never falls; ``failures`` counts those since the
    task was last reset; ``run`` rises when a changed answer makes the task run again, and is
    part of the idempotency key. Of a map, ``attempt`` counts how often it expanded.
    """

    spec: TaskSpec
    status: TaskStatus = TaskStatus.Planned
    attempt: int = 0
    failures: int = 0
    run: int = 1
    result: Any = None
    error: str | None = None
    arguments: dict[str, Any] | None = None  # with references resolved; None = as planned
    answers: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()  # what ``answers`` answer
    not_before: float | None = None  # a retry waits until then
    waiting_since: float = 0.0  # when its last retry's wait, question or wait began (as started_at)
    cancel_requested: bool = False
    outcome_unknown: bool = False
    note: str | None = None  # what the executor last said of its progress
    superseded: bool = False  # it did not complete, and a revision replaced or dropped it
    outdated: bool = False  # an answer on which it depends was changed: this attempt does not count
    confirmed: bool = False  # its outcome was unknown, and a person said that it was done
    skip_reason: SkipReason | None = None  # None in logs of before: a parent did not complete
    by_hand: ByHand | None = None  # holds once its present attempt, if any, has ended
    elements: list[Any] | None = None  # of a map: its list, since it expanded
    halted: bool = False  # of a map: an item did not complete, so no other one starts
    item_attempts: int = 0  # of a map: the most attempts of its earlier items
    followed_by: tuple[int, ...] = ()  # of a map: those that run item by item behind it
    started_at: float = 0.0  # since it was last reset (seconds since the epoch; 0.0: not known)
    finished_at: float = 0.0
    until: float | None = None  # of a wait: when it ends, or its time-out has passed
    signal_key: str | None = None  # of a wait for a signal: with references resolved
    plan_id: str | None = None  # of its sub-plan, once that has begun
    completion: int = 0  # its place among the completions of tasks with an undo, from 1
    undo_task: int = 0  # the task that undoes it; 0: there was no reason to

    @property
    def waits(self) -> bool:
        """Whether it is a wait that has begun and not ended; of a map of waits its items are."""
        spec = self.spec
        waits = spec.wait is not None and spec.for_each is None
        return waits and self.status is TaskStatus.Running

    @property
    def runs_plan(self) -> bool:
        """Whether it waits for the end of its sub-plan."""
        return self.waits and self.spec.wait is not None and self.spec.wait.plan is not None

    @property
    def id(self) -> int:
        """The task's number in its plan."""
        return self.spec.id

    @property
    def not_needed(self) -> bool:
        """Whether it was skipped, and not because a task before it did not complete."""
        return self.status is TaskStatus.Skipped and self.skip_reason not in (None, "failure")

    @property
    def stopping(self) -> bool:
        """Whether its worker was asked to stop the attempt."""
        return self.cancel_requested or self.outdated

    @property
    def description(self) -> str:
        """What is to be done, as planned."""
        return self.spec.description

    @property
    def kind(self) -> NodeKind:
        """Whether a person is asked, a tool is called, or something is worked out."""
        return self.spec.kind

    @property
    def depends_on(self) -> tuple[int, ...]:
        """The ids of the tasks that must have ended before it starts."""
        return self.spec.depends_on

    @property
    def attachments(self) -> tuple[Link | ImageRef | FileRef, ...]:
        """Web pages, images and files that the task is about."""
        return self.spec.attachments

    @property
    def tool(self) -> ToolCall | None:
        """The call of a tool as planned; None for a task without a tool."""
        return self.spec.tool
