"""Durable plans for AI agents: a request becomes a graph of tasks that survives any crash.

    import planfold

    async with planfold.open_app("sqlite:///plans.db") as app:
        plan_id = await app.submit("1. Run `make`\\n2. Run `make test`", approved_by="me")
        print((await app.run(plan_id)).status)

The names of ``planfold``:

- plans: ``open_app``, ``App``, ``PlanDraft``, ``TaskDraft``, ``Parameter``, ``template``; what you
  look at: ``PlanView``, ``TaskView``, ``Question``, ``PlanStatus``, ``TaskStatus``
- tools: ``tool``, ``TaskContext``, ``Effect``, ``RetryPolicy``, ``Spend``
- settings: ``Settings``, ``PlannerConfig``, ``Budget``
- other processes: ``Worker``, ``Client``
- errors: ``PlanfoldError``, which is above all others, ``InvalidPlan``, ``CommandRejected``,
  ``NotFound``, ``Conflict``, ``ConfigurationError``, ``CorruptLog``; a tool raises ``Permanent``
  or ``Transient``

Five more modules are public; every other one is internal and may change:

- ``planfold.commands``: the planner, and the commands that it decides.
- ``planfold.executor``: write executors, and choose which of them an app has.
- ``planfold.log``: read the event log; consumers, projections and aggregates of your own.
- ``planfold.testing``: test tools, handlers and plans without a network, a model or waiting.
- ``planfold.types``: types that you meet as attributes and results, and seldom name.

Names are imported on first use, so ``import planfold`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.app import App as App
    from planfold.app import open_app as open_app
    from planfold.drafting.draft import Parameter as Parameter
    from planfold.drafting.draft import PlanDraft as PlanDraft
    from planfold.drafting.draft import TaskDraft as TaskDraft
    from planfold.drafting.templates import template as template
    from planfold.errors import CommandRejected as CommandRejected
    from planfold.errors import ConfigurationError as ConfigurationError
    from planfold.errors import Conflict as Conflict
    from planfold.errors import CorruptLog as CorruptLog
    from planfold.errors import InvalidPlan as InvalidPlan
    from planfold.errors import NotFound as NotFound
    from planfold.errors import Permanent as Permanent
    from planfold.errors import PlanfoldError as PlanfoldError
    from planfold.errors import Transient as Transient
    from planfold.executors.context import TaskContext as TaskContext
    from planfold.executors.python import tool as tool
    from planfold.planner.budget import Budget as Budget
    from planfold.planner.budget import Spend as Spend
    from planfold.planner.config import PlannerConfig as PlannerConfig
    from planfold.planner.questions import Question as Question
    from planfold.planner.tasks import Effect as Effect
    from planfold.planner.tasks import PlanStatus as PlanStatus
    from planfold.planner.tasks import TaskStatus as TaskStatus
    from planfold.readmodels.plan_view import PlanView as PlanView
    from planfold.readmodels.plan_view import TaskView as TaskView
    from planfold.retries import RetryPolicy as RetryPolicy
    from planfold.runtime.settings import Settings as Settings
    from planfold.runtime.worker import Worker as Worker
    from planfold.service.client import Client as Client
    from planfold.shared_limits import SharedLimit as SharedLimit

_HOMES = {
    "planfold.app": ("App", "open_app"),
    "planfold.drafting.draft": ("Parameter", "PlanDraft", "TaskDraft"),
    "planfold.drafting.templates": ("template",),
    "planfold.errors": (
        "CommandRejected",
        "ConfigurationError",
        "Conflict",
        "CorruptLog",
        "InvalidPlan",
        "NotFound",
        "Permanent",
        "PlanfoldError",
        "Transient",
    ),
    "planfold.executors.context": ("TaskContext",),
    "planfold.executors.python": ("tool",),
    "planfold.planner.budget": ("Budget", "Spend"),
    "planfold.planner.config": ("PlannerConfig",),
    "planfold.planner.questions": ("Question",),
    "planfold.planner.tasks": ("Effect", "PlanStatus", "TaskStatus"),
    "planfold.readmodels.plan_view": ("PlanView", "TaskView"),
    "planfold.retries": ("RetryPolicy",),
    "planfold.runtime.settings": ("Settings",),
    "planfold.runtime.worker": ("Worker",),
    "planfold.service.client": ("Client",),
    "planfold.shared_limits": ("SharedLimit",),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
