"""Durable plans for AI agents: a request becomes a graph of tasks that survives any crash.

    import planfold

    async with planfold.open_app("sqlite:///plans.db") as app:
        plan_id = await app.submit("1. Run `make`\\n2. Run `make test`", approved_by="me")
        print((await app.run(plan_id)).status)

The public interface is five modules; every other module is internal and may change:

- ``planfold``: open an app, submit plans, decide, look at plans; ``@tool``, settings and errors.
- ``planfold.commands``: the commands that a plan takes, and the values in them.
- ``planfold.executor``: write executors, and choose which of them an app has.
- ``planfold.log``: read the event log; consumers, projections and aggregates of your own.
- ``planfold.testing``: test tools, handlers and plans without a network, a model or waiting.

Most programs need these names of ``planfold``; others are what methods return, and parts of it:

- plans: ``open_app``, ``App``, ``PlanDraft``, ``TaskDraft``, ``template``, ``PlanStatus``,
  ``TaskStatus``
- tools: ``tool``, ``TaskContext``, ``Effect``, ``RetryPolicy``, ``Permanent``
- settings: ``Settings``, ``PlannerConfig``, ``Budget``, ``SharedLimit``
- errors: ``PlanfoldError``, which is above all others, ``InvalidPlan``, ``CommandRejected``
- programs in another process than the workers: ``Client``

Names are imported on first use, so ``import planfold`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.access.credential import Scope as Scope
    from planfold.app import App as App
    from planfold.app import open_app as open_app
    from planfold.drafting.draft import Fault as Fault
    from planfold.drafting.draft import Parameter as Parameter
    from planfold.drafting.draft import PlanDraft as PlanDraft
    from planfold.drafting.draft import TaskDraft as TaskDraft
    from planfold.drafting.parameters import ParameterValue as ParameterValue
    from planfold.drafting.templates import Template as Template
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
    from planfold.llm.endpoint import ModelEndpoint as ModelEndpoint
    from planfold.planner.budget import Budget as Budget
    from planfold.planner.budget import Spend as Spend
    from planfold.planner.commands import PlannerConfig as PlannerConfig
    from planfold.planner.events import PlanSummary as PlanSummary
    from planfold.planner.planner import Planner as Planner
    from planfold.planner.questions import Question as Question
    from planfold.planner.state import PlannerState as PlannerState
    from planfold.planner.tasks import Effect as Effect
    from planfold.planner.tasks import NodeKind as NodeKind
    from planfold.planner.tasks import PlanStatus as PlanStatus
    from planfold.planner.tasks import Task as Task
    from planfold.planner.tasks import TaskStatus as TaskStatus
    from planfold.readmodels.explanation import Explanation as Explanation
    from planfold.readmodels.forecast import Forecast as Forecast
    from planfold.readmodels.histogram import Histogram as Histogram
    from planfold.readmodels.ledger import Ledger as Ledger
    from planfold.readmodels.plan_view import PlanView as PlanView
    from planfold.readmodels.plan_view import TaskView as TaskView
    from planfold.readmodels.reasons import Reason as Reason
    from planfold.readmodels.reasons import ReasonKind as ReasonKind
    from planfold.readmodels.reasons import WorkerFit as WorkerFit
    from planfold.readmodels.simulation import Simulation as Simulation
    from planfold.readmodels.statistics import Figures as Figures
    from planfold.readmodels.statistics import Statistics as Statistics
    from planfold.readmodels.timeline import Phase as Phase
    from planfold.readmodels.timeline import PhaseSpan as PhaseSpan
    from planfold.readmodels.workers import Unclaimed as Unclaimed
    from planfold.retries import RetryPolicy as RetryPolicy
    from planfold.runtime.forking import Fork as Fork
    from planfold.runtime.forking import RepeatedEffect as RepeatedEffect
    from planfold.runtime.reporter import Observer as Observer
    from planfold.runtime.settings import Settings as Settings
    from planfold.runtime.worker import Worker as Worker
    from planfold.service import messages as messages
    from planfold.service.client import Client as Client
    from planfold.service.operations import EventFeed as EventFeed
    from planfold.service.operations import Operation as Operation
    from planfold.shared_limits import SharedLimit as SharedLimit
    from planfold.tools.mcp_servers import McpServer as McpServer
    from planfold.tools.notifications import NotifyTarget as NotifyTarget
    from planfold.tools.policy.rules import PolicySettings as PolicySettings
    from planfold.tools.policy.rules import Rule as Rule
    from planfold.tools.secrets import SecretSource as SecretSource
    from planfold.transfer.archive import Archived as Archived

_HOMES = {
    "planfold.access.credential": ("Scope",),
    "planfold.app": ("App", "open_app"),
    "planfold.drafting.draft": ("Fault", "Parameter", "PlanDraft", "TaskDraft"),
    "planfold.drafting.parameters": ("ParameterValue",),
    "planfold.drafting.templates": ("Template", "template"),
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
    "planfold.llm.endpoint": ("ModelEndpoint",),
    "planfold.planner.budget": ("Budget", "Spend"),
    "planfold.planner.commands": ("PlannerConfig",),
    "planfold.planner.events": ("PlanSummary",),
    "planfold.planner.planner": ("Planner",),
    "planfold.planner.questions": ("Question",),
    "planfold.planner.state": ("PlannerState",),
    "planfold.planner.tasks": ("Effect", "NodeKind", "PlanStatus", "Task", "TaskStatus"),
    "planfold.readmodels.plan_view": ("PlanView", "TaskView"),
    "planfold.readmodels.explanation": ("Explanation",),
    "planfold.readmodels.forecast": ("Forecast",),
    "planfold.readmodels.histogram": ("Histogram",),
    "planfold.readmodels.ledger": ("Ledger",),
    "planfold.readmodels.reasons": ("Reason", "ReasonKind", "WorkerFit"),
    "planfold.readmodels.simulation": ("Simulation",),
    "planfold.readmodels.statistics": ("Figures", "Statistics"),
    "planfold.readmodels.timeline": ("Phase", "PhaseSpan"),
    "planfold.readmodels.workers": ("Unclaimed",),
    "planfold.retries": ("RetryPolicy",),
    "planfold.runtime.forking": ("Fork", "RepeatedEffect"),
    "planfold.runtime.reporter": ("Observer",),
    "planfold.runtime.settings": ("Settings",),
    "planfold.runtime.worker": ("Worker",),
    "planfold.service.messages": (),
    "planfold.service.client": ("Client",),
    "planfold.service.operations": ("EventFeed", "Operation"),
    "planfold.shared_limits": ("SharedLimit",),
    "planfold.tools.mcp_servers": ("McpServer",),
    "planfold.tools.notifications": ("NotifyTarget",),
    "planfold.tools.policy.rules": ("PolicySettings", "Rule"),
    "planfold.tools.secrets": ("SecretSource",),
    "planfold.transfer.archive": ("Archived",),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
