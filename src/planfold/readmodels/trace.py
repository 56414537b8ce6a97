"""``Trace``: a finished plan as spans, from its log alone.

The plan is the root; below it are the attempts of tasks and the questions to people, and below an
attempt its calls of models and tools. Ids are hashes of the plan's id and of the event that a span
began with: each export yields the same ones, in every process and after a move to another store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from planfold.errors import CommandRejected
from planfold.eventstore.envelope import Envelope
from planfold.handler import event_id
from planfold.planner import events as e
from planfold.planner.maps import items_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import NodeKind, TaskSpec, TaskStatus, in_words
from planfold.readmodels import trace_names as names
from planfold.readmodels.timeline import Phase, PhaseSpan, Timeline

_TOOL_STEP: Final = re.compile(r"(?:^|/)tool/[^/]*$")
_MODEL_STEP: Final = re.compile(r"(?:^|/)(?:model/\d+|summary|summary/\d+)$")
_INTERRUPTED: Final = "interrupted"
_RAN: Final = (Phase.Running, Phase.Stopping)
_ASKED: Final = (Phase.Answer, Phase.Budget)
_WAITS: Final = frozenset(Phase) - {Phase.Running, Phase.Stopping, Phase.Parents, Phase.Ended}


class TraceSpan(msgspec.Struct, kw_only=True):
    """One operation from ``start`` to ``end`` (seconds since the epoch). ``error`` is the kind of
    its failure. ``links`` are the spans of the tasks that it depended on, ``marks`` are moments
    with a name. ``task_id``: 0 for the plan."""

    name: str
    span_id: str
    parent_id: str
    task_id: int
    start: float
    end: float
    attributes: dict[str, str | int | float]
    error: str | None = None
    links: tuple[str, ...] = ()
    marks: list[tuple[float, str]] = []


class Trace(msgspec.Struct):
    """Spans of one plan, the root first, and the ``waits`` of its tasks."""

    trace_id: str
    spans: list[TraceSpan]
    waits: list[PhaseSpan]


def trace_of(
    plan_id: str,
    log: Iterable[Envelope],
    *,
    content: bool = False,
    base: PlannerState | None = None,
) -> Trace:
    """The trace of a plan that has ended; that of a fork begins with the fork, from the state
    ``base``. With ``content`` also titles, descriptions, arguments,
    results, questions, answers and errors; else only names, numbers and times.

    Raises:
        CommandRejected: the plan has not ended.
        CorruptLog: this version cannot read it.
    """
    tracer = _Tracer(plan_id, content, base)
    for envelope in log:
        tracer.apply(envelope)
    return tracer.finish()


def trace_id_of(plan_id: str) -> str:
    """32 hexadecimal digits."""
    return hashlib.sha256(f"trace of {plan_id}".encode()).hexdigest()[:32]


def span_id_of(event: str) -> str:
    """16 hexadecimal digits, of the span that an event (its id) begins."""
    return hashlib.sha256(f"span of {event}".encode()).hexdigest()[:16]


class _Tracer:
    def __init__(self, plan_id: str, content: bool, base: PlannerState | None) -> None:
        self._plan_id, self._content = plan_id, content
        self._timeline = Timeline(plan_id, base)
        self._root = span_id_of(event_id(plan_id, 1))
        self._specs: dict[int, TaskSpec] = {}  # also of tasks that a revision dropped
        self._spans: list[TraceSpan] = []
        self._waits: list[PhaseSpan] = []
        self._began: dict[tuple[int, int], str] = {}  # (task, attempt) -> span
        self._asked: dict[int, tuple[str, str]] = {}  # task -> span, question
        self._last: dict[int, str] = {}  # the last span of each task
        self._steps: dict[tuple[int, str], TraceSpan] = {}  # those that last
        self._first_step: dict[str, float] = {}  # when the first step of an attempt began
        self._marks: list[tuple[float, str]] = []
        self._arguments: dict[int, dict[str, Any]] = {}

    def apply(self, envelope: Envelope) -> None:
        event, at = envelope.event, envelope.recorded_at
        closed = self._timeline.apply(envelope)
        by_task: dict[int, list[PhaseSpan]] = {}
        for span in closed:
            by_task.setdefault(span.task_id, []).append(span)
        for task_id, spans in by_task.items():
            self._waits += [s for s in spans if s.phase in _WAITS and s.end != s.start]
            spec = self._specs.get(task_id)
            if spec is not None:
                self._close(spec, spans, envelope)
        match event:
            case e.TasksPlanned() | e.PlanRevised():
                self._specs |= {spec.id: spec for spec in event.tasks}
            case e.PlanForked() | e.UndoPlanned():
                self._specs = {i: t.spec for i, t in self._timeline.state.tasks.items()}
            case e.MapExpanded(task_id):
                state = self._timeline.state
                items = items_of(state, state.tasks[task_id])
                self._specs |= {item.spec.id: item.spec for item in items}
            case e.TaskDispatched():
                span_id = span_id_of(envelope.event_id)
                self._began[event.task_id, event.attempt] = span_id
                if event.arguments is not None:
                    self._arguments[event.task_id] = event.arguments
            case e.ClarificationRequested():
                span_id = span_id_of(envelope.event_id)
                self._asked[event.task_id] = span_id, event.question
            case e.StepStarted():
                self._begin_step(event, envelope)
            case e.StepRecorded():
                self._end_step(event.task_id, event.key, at, value=event.value, spent=event.spent)
            case e.StepFailed():
                self._end_step(event.task_id, event.key, at, error="failed", text=event.error)
        if isinstance(event, e.PlanApproved | e.PlanRevised | e.PlanCancelled | e.BudgetAdded):
            self._marks.append((at, type(event).__name__))

    def finish(self) -> Trace:
        state = self._timeline.state
        if state.outcome is None:
            raise CommandRejected(
                f"plan {self._plan_id} has not ended (it {in_words(state.status)}); "
                "a trace is made of a plan that has"
            )
        attributes: dict[str, str | int | float] = {
            names.OPERATION: names.INVOKE_WORKFLOW,
            names.AGENT_NAME: "planfold",
            names.PLAN_ID: self._plan_id,
            names.STATUS: state.status.value,
        }
        if state.spent.cost:
            attributes[names.COST] = state.spent.cost
        if self._content:
            attributes[names.PLAN_TITLE] = state.title
        root = TraceSpan(
            name=f"{names.INVOKE_WORKFLOW} planfold",
            span_id=self._root,
            parent_id="",
            task_id=0,
            start=state.created_at,
            end=self._timeline.now,
            attributes=attributes,
            error=None if state.outcome == "completed" else state.outcome,
            marks=self._marks,
        )
        ordered = sorted(self._spans, key=lambda span: (span.start, span.task_id, -span.end))
        return Trace(trace_id_of(self._plan_id), [root, *ordered], self._waits)

    # --- attempts and questions -----------------------------------------------------------------

    def _close(self, spec: TaskSpec, closed: list[PhaseSpan], envelope: Envelope) -> None:
        ran = [span for span in closed if span.phase in _RAN]
        if ran:
            self._end_attempt(spec, ran, closed, envelope)
        asked = [span for span in closed if span.phase in _ASKED]
        if asked and spec.id in self._asked:
            self._end_question(spec, asked, envelope)

    def _end_attempt(
        self, spec: TaskSpec, ran: list[PhaseSpan], closed: list[PhaseSpan], envelope: Envelope
    ) -> None:
        attempt = ran[0].attempt
        span_id = self._began.get((spec.id, attempt))
        if span_id is None:
            return
        operation, name = _operation(spec)
        attributes = self._about(spec, operation)
        attributes |= {names.ATTEMPT: attempt, names.ROUTE: spec.queue_route}
        attributes[names.QUEUED] = round(
            sum(s.seconds(0.0) for s in closed if s.phase is Phase.Worker and s.attempt), 4
        )
        if envelope.metadata.worker:
            attributes[names.WORKER] = envelope.metadata.worker
        error = self._outcome(spec, envelope.event, attributes)
        end = ran[-1].end or envelope.recorded_at
        links = tuple(self._last[i] for i in spec.depends_on if i in self._last)
        for key in [key for key in self._steps if key[0] == spec.id]:
            self._end_step(*key, end, error=_INTERRUPTED)
        # The worker that ended it may not be the one that began it.
        start = min(ran[0].start, self._first_step.get(span_id, end))
        self._add(spec.id, span_id, name, (start, end), attributes, error, links)

    def _outcome(
        self, spec: TaskSpec, event: Any, attributes: dict[str, str | int | float]
    ) -> str | None:
        """The kind of the failure; with content also its text."""
        error: str | None = _INTERRUPTED
        text: str | None = None
        match event:
            case e.TaskStatusUpdated():
                completed = event.status is TaskStatus.Completed
                error = None if completed else event.status.value
                text = event.error
                if self._content and completed and spec.tool is not None:
                    attributes[names.TOOL_RESULT] = _json(event.result)
            case e.RetryScheduled():
                error, text = "failed", event.error
            case e.ClarificationRequested():
                error = _INTERRUPTED if event.then == "outcome" else None
        if self._content:
            if text:
                attributes[names.ERROR] = text
            if spec.tool is not None:
                arguments = self._arguments.get(spec.id, spec.tool.arguments)
                attributes[names.TOOL_ARGUMENTS] = _json(arguments)
        return error

    def _end_question(self, spec: TaskSpec, asked: list[PhaseSpan], envelope: Envelope) -> None:
        span_id, question = self._asked.pop(spec.id)
        attributes = self._about(spec, names.ASK)
        if self._content:
            attributes[names.QUESTION] = question
            if isinstance(envelope.event, e.ClarificationReceived):
                attributes[names.ANSWER] = envelope.event.answer
        answered = isinstance(envelope.event, e.ClarificationReceived)
        end = asked[-1].end or envelope.recorded_at
        error = None if answered else "cancelled"
        self._add(spec.id, span_id, names.ASK, (asked[0].start, end), attributes, error)

    def _about(self, spec: TaskSpec, operation: str) -> dict[str, str | int | float]:
        attributes: dict[str, str | int | float] = {
            names.PLAN_ID: self._plan_id,
            names.TASK_ID: spec.id,
        }
        if operation in names.OPERATIONS:
            attributes[names.OPERATION] = operation
        if operation == names.EXECUTE_TOOL and spec.tool is not None:
            attributes[names.TOOL_NAME] = spec.tool.name
        elif operation in (names.INVOKE_AGENT, names.PLAN):
            attributes[names.AGENT_NAME] = spec.queue_route
        if self._content:
            attributes[names.TASK_TEXT] = spec.description
        return attributes

    def _add(
        self,
        task_id: int,
        span_id: str,
        name: str,
        times: tuple[float, float],
        attributes: dict[str, str | int | float],
        error: str | None,
        links: tuple[str, ...] = (),
    ) -> None:
        self._last[task_id] = span_id
        self._spans.append(
            TraceSpan(
                name=name,
                span_id=span_id,
                parent_id=self._root,
                task_id=task_id,
                start=times[0],
                end=max(times),
                attributes=attributes,
                error=error,
                links=links,
            )
        )

    # --- calls of models and tools --------------------------------------------------------------

    def _begin_step(self, event: e.StepStarted, envelope: Envelope) -> None:
        key = (event.task_id, event.key)
        if key in self._steps:
            self._end_step(*key, envelope.recorded_at, error=_INTERRUPTED)
        task = self._timeline.state.tasks[event.task_id]
        operation = names.STEP
        attributes: dict[str, str | int | float] = {
            names.PLAN_ID: self._plan_id,
            names.TASK_ID: event.task_id,
        }
        if _TOOL_STEP.search(event.key):
            operation, attributes[names.TOOL_NAME] = names.EXECUTE_TOOL, event.about
        elif _MODEL_STEP.search(event.key):
            operation, attributes[names.REQUEST_MODEL] = names.CHAT, event.about
            vendor, colon, _ = event.about.partition(":")
            if colon:
                attributes[names.PROVIDER] = vendor
        if operation in names.OPERATIONS:
            attributes[names.OPERATION] = operation
        parent = self._began.get((event.task_id, task.attempt), self._root)
        self._first_step.setdefault(parent, envelope.recorded_at)
        self._steps[key] = TraceSpan(
            name=f"{operation} {event.about}".rstrip(),
            span_id=span_id_of(envelope.event_id),
            parent_id=parent,
            task_id=event.task_id,
            start=envelope.recorded_at,
            end=envelope.recorded_at,
            attributes=attributes,
        )

    def _end_step(
        self,
        task_id: int,
        key: str,
        at: float,
        *,
        value: Any = None,
        spent: Any = None,
        error: str | None = None,
        text: str = "",
    ) -> None:
        span = self._steps.pop((task_id, key), None)
        if span is None:  # it cost nothing: a moment, not a span
            return
        span.end, span.error = max(at, span.start), error
        if spent is not None and spent.cost:
            span.attributes[names.COST] = spent.cost
        if span.attributes.get(names.OPERATION) == names.CHAT:
            span.attributes |= _usage(value)
        if self._content and text:
            span.attributes[names.ERROR] = text
        self._spans.append(span)


def _operation(spec: TaskSpec) -> tuple[str, str]:
    """The operation of a task's attempts, and the name of their spans."""
    if spec.drafts:
        return names.PLAN, names.PLAN
    if spec.kind is NodeKind.ToolCall and spec.tool is not None:
        return names.EXECUTE_TOOL, f"{names.EXECUTE_TOOL} {spec.tool.name}"
    return names.INVOKE_AGENT, f"{names.INVOKE_AGENT} {spec.queue_route}"


def _usage(value: Any) -> dict[str, str | int | float]:
    """The tokens that an answer of a model reports, and the model."""
    answer = value.get("answer", value) if isinstance(value, dict) else {}
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(usage, dict):
        return {}
    found: dict[str, str | int | float] = {}
    for name, key in ((names.INPUT_TOKENS, "input_tokens"), (names.OUTPUT_TOKENS, "output_tokens")):
        if isinstance(usage.get(key), int):
            found[name] = usage[key]
    if isinstance(answer.get("model"), str) and answer["model"]:
        found[names.RESPONSE_MODEL] = answer["model"].rpartition(":")[2]
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
