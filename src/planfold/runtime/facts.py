"""Facts in the process's log: a line for each event that this process recorded.

They go to the logger ``planfold.plans`` of the standard library, with the fields of :data:`FIELDS`.
Results, answers, titles and notes are left out. Errors are included, because people read a log to
find them.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from planfold.planner.events import (
    ContextCompacted,
    RetryScheduled,
    StepFailed,
    StepRecorded,
    StepStarted,
    TaskStatusUpdated,
)
from planfold.planner.items import id_text
from planfold.planner.tasks import TaskStatus
from planfold.printable import printable
from planfold.runtime.aggregate import PLAN
from planfold.runtime.commit import Commit

FIELDS: Final = (
    "plan_id", "task_id", "correlation_id", "event", "attempt", "status", "outcome", "error",
)  # fmt: skip
_FAILURES: Final = (TaskStatusUpdated, RetryScheduled)
_QUIET: Final = (ContextCompacted, StepFailed, StepRecorded, StepStarted)
_log = logging.getLogger("planfold.plans")


def log_facts(commit: Commit) -> None:
    """Log the events of a commit if they are of a plan: failures as warnings, steps and notes at
    level DEBUG, all others at INFO."""
    if commit.stream_id != PLAN.stream_id or not _log.isEnabledFor(logging.WARNING):
        return
    lowest = _log.getEffectiveLevel()
    only_failures = lowest > logging.INFO
    for decided in commit.rounds:
        for event, _ in decided.decision.events:
            if only_failures and not isinstance(event, _FAILURES):
                continue
            level = _level(event)
            if level >= lowest and _log.isEnabledFor(level):
                plan_id = commit.aggregate_id
                _log.log(level, *_message(plan_id, event), extra=_fields(plan_id, event))


def _level(event: Any) -> int:
    if isinstance(event, _QUIET):
        return logging.DEBUG
    if isinstance(event, TaskStatusUpdated):
        if event.status is TaskStatus.Running:
            return logging.DEBUG
        return logging.WARNING if event.status is TaskStatus.Failed else logging.INFO
    return logging.WARNING if isinstance(event, RetryScheduled) else logging.INFO


def _message(plan_id: str, event: Any) -> tuple[Any, ...]:
    name, task_id = type(event).__name__, getattr(event, "task_id", None)
    status = getattr(event, "status", None) or getattr(event, "outcome", None)
    what = f"{name} {status}" if status else name
    if isinstance(event, _FAILURES) and event.error:
        what += ": " + printable(event.error.partition("\n")[0])
    if task_id is None:
        return "%s: %s", plan_id, what
    return "%s task %s: %s", plan_id, id_text(task_id), what


def _fields(plan_id: str, event: Any) -> dict[str, Any]:
    """The correlation id of a plan is its id."""
    found: dict[str, Any] = {
        "plan_id": plan_id,
        "correlation_id": plan_id,
        "event": type(event).__name__,
    }
    for name in ("task_id", "attempt", "status", "outcome", "error"):
        value = getattr(event, name, None)
        if value is not None:
            found[name] = value if isinstance(value, int) else str(value)
    return found
