"""``PlanFold``: one plan's log, folded as it grows."""

from __future__ import annotations

from planfold.errors import CorruptLog
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.planner.dispatch import summary_of
from planfold.planner.events import (
    ClarificationReceived,
    MapExpanded,
    PlanApproved,
    PlanSummary,
    TaskDispatched,
    TaskStatusUpdated,
)
from planfold.planner.planner import Planner
from planfold.planner.snapshots import StoredTasks
from planfold.planner.state import PlannerState
from planfold.planner.tasks import TaskSpec
from planfold.planner.undone import without_undo_tasks


class PlanFold:
    """``apply`` each envelope of the plan; read the fields at any time.

    ``attempt_at`` has, by task id, when the latest attempt was dispatched (seconds since the
    epoch). ``began_at`` has when the attempt that a task ended with began to run, if the log says
    it, or when a map expanded. ``by_answer`` are tasks that a person's answer completed; how long
    they ran is unknown. ``approved`` are the tasks as they were last approved.

    ``base`` is a state to begin with: that of a fork's origin, or the first part of a long log, in
    which case anything not in the state stays unknown. The fold takes it over.
    """

    def __init__(self, plan_id: str, base: PlannerState | None = None) -> None:
        self.plan_id = plan_id
        self.position = 0
        self.attempt_at: dict[int, float] = {}
        self.began_at: dict[int, float] = {}
        self.by_answer: set[int] = set()
        self.approved: tuple[TaskSpec, ...] = ()
        self._planner = Planner(base)
        if base is not None and base.approved and not isinstance(base.tasks, StoredTasks):
            self.approved = self._counted()  # stored tasks stay undecoded

    @property
    def state(self) -> PlannerState:
        """The plan's state after the events that were applied."""
        return self._planner.state

    @property
    def summary(self) -> PlanSummary | None:
        """How the plan ended, or None while it has not."""
        return summary_of(self.state) if self.state.outcome else None

    def apply(self, envelope: Envelope) -> None:
        """Advance by one event. Raises CorruptLog when this version cannot read it."""
        event, at = envelope.event, envelope.recorded_at
        if isinstance(event, Undecoded):
            raise CorruptLog(f"{envelope.event_id}: {event.reason}; the plan is read-only")
        self._planner.recorded_at = at
        self._planner.apply(event)
        if isinstance(event, TaskDispatched):
            self.attempt_at[event.task_id] = at
            self.began_at.pop(event.task_id, None)
            self.by_answer.discard(event.task_id)
        elif isinstance(event, TaskStatusUpdated):
            if envelope.metadata.began_at:
                self.began_at[event.task_id] = envelope.metadata.began_at
        elif isinstance(event, ClarificationReceived):
            if event.leads_to == "complete":
                self.by_answer.add(event.task_id)
        elif isinstance(event, MapExpanded):
            self.began_at[event.task_id] = at
        elif isinstance(event, PlanApproved):
            self.approved = self._counted()
        self.position = envelope.position

    def _counted(self) -> tuple[TaskSpec, ...]:
        return tuple(t.spec for t in without_undo_tasks(self.state).values() if not t.superseded)
