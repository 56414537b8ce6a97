"""Durable plans for AI agents: a request becomes a graph of tasks that survives any crash.

    import planfold

    async with planfold.open_app("sqlite:///plans.db") as app:
        plan_id = await app.submit("1. Run `make`\\n2. Run `make test`", approved_by="me")
        print((await app.run(plan_id)).status)

What is exported here is the public interface; it is imported on first use, so that
``import planfold`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planfold.app import App, open_app
    from planfold.drafting.draft import PlanDraft, TaskDraft
    from planfold.errors import (
        CommandRejected,
        Conflict,
        InvalidPlan,
        NotFound,
        Permanent,
        PlanfoldError,
        Transient,
    )
    from planfold.eventstore.envelope import Envelope, Query
    from planfold.executors.context import TaskContext
    from planfold.executors.python import tool
    from planfold.handler import Handler, Metadata, Outlook
    from planfold.planner.planner import Planner
    from planfold.planner.state import PlannerState
    from planfold.planner.tasks import NodeKind, PlanStatus, Task, TaskStatus
    from planfold.readmodels.plan_view import PlanView
    from planfold.runtime.aggregate import Aggregate
    from planfold.runtime.settings import Settings

_HOME = {
    "Aggregate": "planfold.runtime.aggregate",
    "App": "planfold.app",
    "CommandRejected": "planfold.errors",
    "Conflict": "planfold.errors",
    "Envelope": "planfold.eventstore.envelope",
    "Handler": "planfold.handler",
    "InvalidPlan": "planfold.errors",
    "Metadata": "planfold.handler",
    "NodeKind": "planfold.planner.tasks",
    "NotFound": "planfold.errors",
    "Outlook": "planfold.handler",
    "Permanent": "planfold.errors",
    "PlanDraft": "planfold.drafting.draft",
    "PlanStatus": "planfold.planner.tasks",
    "PlanView": "planfold.readmodels.plan_view",
    "PlanfoldError": "planfold.errors",
    "Planner": "planfold.planner.planner",
    "PlannerState": "planfold.planner.state",
    "Query": "planfold.eventstore.envelope",
    "Settings": "planfold.runtime.settings",
    "Task": "planfold.planner.tasks",
    "TaskContext": "planfold.executors.context",
    "TaskDraft": "planfold.drafting.draft",
    "TaskStatus": "planfold.planner.tasks",
    "Transient": "planfold.errors",
    "open_app": "planfold.app",
    "tool": "planfold.executors.python",
}

__all__ = [
    "Aggregate",
    "App",
    "CommandRejected",
    "Conflict",
    "Envelope",
    "Handler",
    "InvalidPlan",
    "Metadata",
    "NodeKind",
    "NotFound",
    "Outlook",
    "Permanent",
    "PlanDraft",
    "PlanStatus",
    "PlanView",
    "PlanfoldError",
    "Planner",
    "PlannerState",
    "Query",
    "Settings",
    "Task",
    "TaskContext",
    "TaskDraft",
    "TaskStatus",
    "Transient",
    "open_app",
    "tool",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'planfold' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
