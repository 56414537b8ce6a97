"""The task queue as it is written: it must be what the plans say, and within the limits."""

from __future__ import annotations

from typing import NamedTuple

from planfold.planner.tasks import TaskStatus
from tests.simulation.plans import LIMITS
from tests.simulation.records import PlanRecord, Records


class Row(NamedTuple):
    attempt: int
    cancel: bool
    owner: str | None
    epoch: int
    expires: float
    limits: str


Rows = dict[int, Row]


class QueueRecord:
    """The rows of each plan by task, since the last look."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._rows: dict[str, Rows] = {}
        self._expected: dict[str, tuple[int, dict[int, tuple[int, bool]]]] = {}
        records.looked.append(self._look)

    def row(self, plan_id: str, task_id: int) -> Row | None:
        return self._rows.get(plan_id, {}).get(task_id)

    def _look(self) -> None:
        rows: dict[str, Rows] = {}
        found = self._records.database.connection.execute(
            "SELECT aggregate_id, task_id, attempt, cancel, owner, epoch, expires, limits "
            "FROM task_queue"
        )
        for plan_id, task_id, attempt, cancel, owner, epoch, expires, limits in found.fetchall():
            row = Row(attempt, bool(cancel), owner, epoch, expires or 0.0, limits)
            rows.setdefault(plan_id, {})[task_id] = row
        self._rows = rows
        for plan in self._records.plans.values():
            self._compare(plan)
        if self._records.steady:
            self._check_limits()

    def _compare(self, plan: PlanRecord) -> None:
        version, expected = self._expected.get(plan.id, (0, {}))
        if version != len(plan.log):
            expected = {
                task.id: (task.attempt, task.stopping)
                for task in plan.state.tasks.values()
                if task.status is TaskStatus.Running and not task.waits and not task.spec.for_each
            }
            self._expected[plan.id] = len(plan.log), expected
        actual = {task_id: row[:2] for task_id, row in self._rows.get(plan.id, {}).items()}
        if expected != actual:
            self._records.violated(f"{plan.id}: the queue holds {actual}, the plan runs {expected}")

    def _check_limits(self) -> None:
        now = self._records.database.clock()
        for name, limit in LIMITS.items():
            if limit.concurrency is None:
                continue
            held = [
                f"{plan_id}/{task_id}"
                for plan_id, rows in self._rows.items()
                for task_id, row in rows.items()
                if row.owner is not None and row.expires >= now and name in row.limits.split(",")
            ]
            if len(held) > limit.concurrency:
                self._records.violated(f"under {name}: {', '.join(held)} at once")
