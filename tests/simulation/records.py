"""What the simulated world knows for certain: the log as it grows, and what was shown of it. Each
entry is checked against the log when it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from planfold.errors import PlanfoldError
from planfold.eventstore.envelope import Envelope
from planfold.handler import Handler
from planfold.planner.events import PlanForked, PlanningCompleted
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.sub_plans import end_of
from planfold.readmodels.plan_view import PlanView, plan_view
from planfold.runtime.aggregate import PLAN, SCHEDULES, SIGNALS, Aggregate
from tests.simulation.stores import Database, ran

KINDS = {kind.stream_id: kind for kind in (PLAN, SIGNALS, SCHEDULES)}

OF_PEOPLE = "command-"  # ids of their commands begin with it
DOUBT_S = 15.0  # about the clock of the server, which is heard of with delay
LATE_S = 300.0  # from a decision to its commit


class Violation(AssertionError):
    """An invariant does not hold."""


class StreamRecord:
    """One stream's log, folded."""

    def __init__(self, kind: Aggregate, aggregate_id: str) -> None:
        self.kind = kind
        self.id = aggregate_id
        self.log: list[Envelope] = []
        self.handler: Handler[Any, Any] = kind.handler()
        self.data: set[bytes] = set()  # of the events

    def take_in(self, envelope: Envelope) -> None:
        self.handler.recorded_at = envelope.recorded_at
        self.handler.apply(envelope.event)
        self.log.append(envelope)
        self.data.add(msgspec.json.encode(envelope.event))


class PlanRecord(StreamRecord):
    """One plan's log, folded. A fork begins with a state of its origin."""

    handler: Planner

    def __init__(self, plan_id: str) -> None:
        super().__init__(PLAN, plan_id)
        self.inputs: dict[tuple[int, int], Any] = {}  # by task and attempt, as dispatched
        self.consents: dict[int, int] = {}  # of persons, that a task may run again
        self.effects: dict[int, int] = {}
        self.inherited: set[int] = set()  # tasks that acted in the origins of a fork
        self.ends: list[Any] = []  # of a sub-plan, as reported to its parent

    @property
    def state(self) -> PlannerState:
        return self.handler.state

    def take_in(self, envelope: Envelope) -> None:
        super().take_in(envelope)
        if isinstance(envelope.event, PlanningCompleted) and self.state.parent is not None:
            self.ends.append(end_of(self.state))


Watcher = Callable[[PlanRecord | StreamRecord, Envelope], None]
"""Gets each event before it is folded."""


class Records:
    """``violated`` is called with what does not hold. ``steady``: the clock is never set.
    ``one_clock``: all processes have the same; else each hears of that of the server."""

    def __init__(
        self, database: Database, violated: Callable[[str], None], note: Callable[[str], None]
    ) -> None:
        self.database = database
        self.plans: dict[str, PlanRecord] = {}
        self.others: dict[str, StreamRecord] = {}
        self.steady = True
        self.one_clock = True
        self.changed: dict[str, int] = {}  # streams with their versions, since the last message
        self.violated = violated
        self.note = note
        self.seen: Counter[str] = Counter()  # events, by their types
        self.watchers: list[Watcher] = []
        self.looked: list[Callable[[], None]] = []
        self._eye = database.store()
        self._views: dict[tuple[str, int], PlanView] = {}
        database.looked = self.look

    def stream(self, aggregate_id: str) -> StreamRecord | None:
        return self.plans.get(aggregate_id) or self.others.get(aggregate_id)

    # --- the log ------------------------------------------------------------------------------

    def look(self) -> None:
        """Read what was just written, within its transaction."""
        rows = self.database.connection.execute(
            "SELECT aggregate_id, stream_id, version FROM streams"
        )
        for aggregate_id, kind, version in rows.fetchall():
            stream = self.stream(aggregate_id)
            length = len(stream.log) if stream else 0
            if version < length:
                self.violated(f"{aggregate_id} went back from {length} to {version}")
            if version > length:
                self._take_in(aggregate_id, KINDS[kind], length, version)
        for look in self.looked:
            look()

    def _take_in(self, aggregate_id: str, kind: Aggregate, length: int, version: int) -> None:
        self.changed[aggregate_id] = version
        page = ran(self._eye.read_versions(aggregate_id, after=length))
        if [e.version for e in page] != list(range(length + 1, version + 1)):
            self.violated(f"{aggregate_id}: versions {[e.version for e in page]} up to {version}")
        stream = self.stream(aggregate_id) or self._begun(aggregate_id, kind, page[0].event)
        for envelope in page:
            self.note(f"log {aggregate_id}#{envelope.version} {short(envelope.event)}")
            early = stream.log and envelope.recorded_at < stream.log[-1].recorded_at
            if self.steady and self.one_clock and early:
                self.violated(f"{aggregate_id}#{envelope.version} is earlier than the one before")
            ahead = envelope.recorded_at - self.database.clock()
            if self.steady and not -LATE_S < ahead < DOUBT_S:
                self.violated(f"{aggregate_id}#{envelope.version} is recorded {ahead:.0f} s ahead")
            for watcher in self.watchers:
                watcher(stream, envelope)
            stream.take_in(envelope)
            self.seen[type(envelope.event).__name__] += 1

    def _begun(self, aggregate_id: str, kind: Aggregate, first: Any) -> StreamRecord:
        if kind is not PLAN:
            return self.others.setdefault(aggregate_id, StreamRecord(kind, aggregate_id))
        plan = self.plans[aggregate_id] = PlanRecord(aggregate_id)
        if isinstance(first, PlanForked):
            plan.handler.state = self.state_at(first.origin, first.version)
            origin = self.plans[first.origin]
            acted = {*origin.inherited, *origin.effects}
            plan.inherited = {i for i in acted if not _was_undone(origin.state, i)}
        return plan

    def folded(self, stream: StreamRecord, length: int) -> Handler[Any, Any]:
        """The stream at a length of its log, to be read only."""
        if length == len(stream.log):
            return stream.handler
        handler = stream.kind.handler()
        log = stream.log[:length]
        if log and isinstance(first := log[0].event, PlanForked):
            assert isinstance(handler, Planner)
            handler.state = self.state_at(first.origin, first.version)
        handler.take_in([e.event for e in log], [e.recorded_at for e in log])
        return handler

    def state_at(self, plan_id: str, version: int) -> PlannerState:
        """What a fork of this version begins with."""
        plan, planner = self.plans[plan_id], Planner()
        if isinstance(first := plan.log[0].event, PlanForked):
            planner.state = self.state_at(first.origin, first.version)
        log = plan.log[:version]
        planner.take_in([e.event for e in log], [e.recorded_at for e in log])
        planner.state.version = 0
        return planner.state

    # --- what leaves a process ----------------------------------------------------------------

    def shown(self, aggregate_id: str, events: Sequence[Any], where: str) -> None:
        """A caller or an observer has heard that these events happened."""
        stream = self.stream(aggregate_id)
        for event in events:
            if stream is None or msgspec.json.encode(event) not in stream.data:
                self.violated(f"{aggregate_id}: {where} was told of {short(event)}; not in the log")

    def holds(self, plan: PlanRecord, event: Any) -> bool:
        """Whether the plan's log has the event, or that of what a fork continues."""
        first = plan.log[0].event
        if msgspec.json.encode(event) in plan.data:
            return True
        return isinstance(first, PlanForked) and self.holds(self.plans[first.origin], event)

    def length(self, aggregate_id: str) -> int:
        """Of its log: 0 where it has not begun."""
        stream = self.stream(aggregate_id)
        return len(stream.log) if stream else 0

    def refused(
        self, kind: Aggregate, aggregate_id: str, command: Any, since: int, sent: Mapping[str, Any]
    ) -> None:
        """A caller has heard that ``command`` is refused, or changes nothing: the log must have
        been so that this was true, at some time since the command was sent at this length. And
        it must not hold what the command did."""
        stream = self.stream(aggregate_id) or StreamRecord(kind, aggregate_id)
        command_id = sent.get("command_id") or ""
        caused = [e for e in stream.log[since:] if e.metadata.causation_id == command_id]
        if caused and command_id.startswith(OF_PEOPLE) and not sent.get("idempotent"):
            self.violated(f"{aggregate_id}: {command!r} was refused; {caused[0].event_id} is its")
        for length in range(len(stream.log), since - 1, -1):
            try:
                if not self.folded(stream, length).process(command):
                    return
            except PlanfoldError:
                return
        self.violated(f"{aggregate_id}: {command!r} was refused; the log says otherwise")

    def viewed(self, view: PlanView) -> None:
        plan = self.plans.get(view.id)
        if plan is None or view.version > len(plan.log):
            length = len(plan.log) if plan else 0
            self.violated(f"{view.id} was shown at {view.version}; the log is at {length}")
            return
        key = view.id, view.version
        if key not in self._views:
            planner = self.folded(plan, view.version)
            assert isinstance(planner, Planner)
            self._views[key] = plan_view(view.id, planner.state)
        if self._views[key] != view:
            self.violated(f"{view.id} was shown at {view.version} otherwise than the log has it")


def _was_undone(state: PlannerState, task_id: int) -> bool:
    task = state.tasks.get(task_id)
    by = state.tasks.get(task.undo_task) if task is not None else None
    return by is not None and by.status.value == "completed"


def short(event: Any) -> str:
    text = repr(event)
    return text if len(text) <= 150 else f"{text[:147]}..."
