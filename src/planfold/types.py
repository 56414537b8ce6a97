"""Types that you meet as attributes, fields and results, and seldom name.

Import one to annotate what you keep, or to make a part:

- parts of ``Settings``: ``ModelEndpoint``, ``McpServer``, ``PolicySettings``, ``Rule``,
  ``SecretSource``, ``NotifyTarget``
- parts of a task (``TaskSpec``): ``ToolCall``, ``Prompt``, ``Wait``, ``ForEach``, ``Undo``,
  ``Link``, ``ImageRef``, ``FileRef``
- what methods of ``App`` return: ``Explanation``, ``Forecast``, ``Simulation``, ``Statistics``,
  ``Ledger``, ``PlanDifference``, ``Replay``, ``Fork`` ..., and what is in them
- the state of a plan: ``PlannerState``, ``Task``, ``NodeKind``
- of the service: ``messages``, ``Operation``, ``EventFeed``, ``Scope``
- reports of executors and people that do not end an attempt: ``TaskProgressed``,
  ``ClarificationProvided`` ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.access.credential import Scope as Scope
    from planfold.compaction.profiles import Profile as Profile
    from planfold.drafting.draft import Fault as Fault
    from planfold.drafting.draft import UndoDraft as UndoDraft
    from planfold.drafting.parameters import ParameterValue as ParameterValue
    from planfold.drafting.templates import Template as Template
    from planfold.errors import ContextCannotFit as ContextCannotFit
    from planfold.eventstore.heads import StreamHead as StreamHead
    from planfold.executors.cancellation import Cancellation as Cancellation
    from planfold.executors.executor import ToolExecutor as ToolExecutor
    from planfold.executors.journal import BudgetUsedUp as BudgetUsedUp
    from planfold.executors.python import PythonTool as PythonTool
    from planfold.llm.endpoint import ModelEndpoint as ModelEndpoint
    from planfold.llm.model import Request as Request
    from planfold.llm.model import ToolSchema as ToolSchema
    from planfold.planner.commands import ClarificationProvided as ClarificationProvided
    from planfold.planner.commands import ContextSummarised as ContextSummarised
    from planfold.planner.commands import ExecutorEvent as ExecutorEvent
    from planfold.planner.commands import StepAbandoned as StepAbandoned
    from planfold.planner.commands import StepBegun as StepBegun
    from planfold.planner.commands import StepCompleted as StepCompleted
    from planfold.planner.commands import TaskProgressed as TaskProgressed
    from planfold.planner.commands import TasksProposed as TasksProposed
    from planfold.planner.events import PlanSummary as PlanSummary
    from planfold.planner.state import PlannerState as PlannerState
    from planfold.planner.tasks import ByHand as ByHand
    from planfold.planner.tasks import FileRef as FileRef
    from planfold.planner.tasks import ForEach as ForEach
    from planfold.planner.tasks import ImageRef as ImageRef
    from planfold.planner.tasks import Link as Link
    from planfold.planner.tasks import NodeKind as NodeKind
    from planfold.planner.tasks import ParentTask as ParentTask
    from planfold.planner.tasks import Pause as Pause
    from planfold.planner.tasks import Prompt as Prompt
    from planfold.planner.tasks import Task as Task
    from planfold.planner.tasks import ToolCall as ToolCall
    from planfold.planner.tasks import Undo as Undo
    from planfold.planner.tasks import Wait as Wait
    from planfold.readmodels.explanation import Explanation as Explanation
    from planfold.readmodels.forecast import Forecast as Forecast
    from planfold.readmodels.histogram import Histogram as Histogram
    from planfold.readmodels.ledger import Ledger as Ledger
    from planfold.readmodels.plan_difference import Divergence as Divergence
    from planfold.readmodels.plan_difference import PlanDifference as PlanDifference
    from planfold.readmodels.plan_difference import TaskDifference as TaskDifference
    from planfold.readmodels.reason import Reason as Reason
    from planfold.readmodels.reason import ReasonKind as ReasonKind
    from planfold.readmodels.reason import WorkerFit as WorkerFit
    from planfold.readmodels.replay import Replay as Replay
    from planfold.readmodels.replay import ReplayDifference as ReplayDifference
    from planfold.readmodels.simulation import Simulation as Simulation
    from planfold.readmodels.statistics import Figures as Figures
    from planfold.readmodels.statistics import Statistics as Statistics
    from planfold.readmodels.timeline import Phase as Phase
    from planfold.readmodels.timeline import PhaseSpan as PhaseSpan
    from planfold.readmodels.workers import Unclaimed as Unclaimed
    from planfold.runtime.fork import Fork as Fork
    from planfold.runtime.fork import RepeatedEffect as RepeatedEffect
    from planfold.runtime.limits import LimitUse as LimitUse
    from planfold.runtime.reporter import Observer as Observer
    from planfold.runtime.schedule_view import ScheduleView as ScheduleView
    from planfold.service import messages as messages
    from planfold.service.operations import EventFeed as EventFeed
    from planfold.service.operations import Operation as Operation
    from planfold.testing.executors import ToolRun as ToolRun
    from planfold.testing.scenario import Scenario as Scenario
    from planfold.tools.mcp_servers import McpServer as McpServer
    from planfold.tools.notifications import Notification as Notification
    from planfold.tools.notifications import NotifyTarget as NotifyTarget
    from planfold.tools.policy.rules import PolicySettings as PolicySettings
    from planfold.tools.policy.rules import Rule as Rule
    from planfold.tools.secrets import SecretSource as SecretSource
    from planfold.tools.tool import Toolbox as Toolbox
    from planfold.transfer.archive import Archived as Archived

_HOMES = {
    "planfold.access.credential": ("Scope",),
    "planfold.compaction.profiles": ("Profile",),
    "planfold.drafting.draft": ("Fault", "UndoDraft"),
    "planfold.drafting.parameters": ("ParameterValue",),
    "planfold.drafting.templates": ("Template",),
    "planfold.errors": ("ContextCannotFit",),
    "planfold.eventstore.heads": ("StreamHead",),
    "planfold.executors.cancellation": ("Cancellation",),
    "planfold.executors.executor": ("ToolExecutor",),
    "planfold.executors.journal": ("BudgetUsedUp",),
    "planfold.executors.python": ("PythonTool",),
    "planfold.llm.endpoint": ("ModelEndpoint",),
    "planfold.llm.model": ("Request", "ToolSchema"),
    "planfold.planner.commands": (
        "ClarificationProvided",
        "ContextSummarised",
        "ExecutorEvent",
        "StepAbandoned",
        "StepBegun",
        "StepCompleted",
        "TaskProgressed",
        "TasksProposed",
    ),
    "planfold.planner.events": ("PlanSummary",),
    "planfold.planner.state": ("PlannerState",),
    "planfold.planner.tasks": (
        "ByHand",
        "FileRef",
        "ForEach",
        "ImageRef",
        "Link",
        "NodeKind",
        "ParentTask",
        "Pause",
        "Prompt",
        "Task",
        "ToolCall",
        "Undo",
        "Wait",
    ),
    "planfold.readmodels.explanation": ("Explanation",),
    "planfold.readmodels.forecast": ("Forecast",),
    "planfold.readmodels.histogram": ("Histogram",),
    "planfold.readmodels.ledger": ("Ledger",),
    "planfold.readmodels.plan_difference": ("Divergence", "PlanDifference", "TaskDifference"),
    "planfold.readmodels.reason": ("Reason", "ReasonKind", "WorkerFit"),
    "planfold.readmodels.replay": ("Replay", "ReplayDifference"),
    "planfold.readmodels.simulation": ("Simulation",),
    "planfold.readmodels.statistics": ("Figures", "Statistics"),
    "planfold.readmodels.timeline": ("Phase", "PhaseSpan"),
    "planfold.readmodels.workers": ("Unclaimed",),
    "planfold.runtime.fork": ("Fork", "RepeatedEffect"),
    "planfold.runtime.limits": ("LimitUse",),
    "planfold.runtime.reporter": ("Observer",),
    "planfold.runtime.schedule_view": ("ScheduleView",),
    "planfold.service.messages": (),
    "planfold.service.operations": ("EventFeed", "Operation"),
    "planfold.testing.executors": ("ToolRun",),
    "planfold.testing.scenario": ("Scenario",),
    "planfold.tools.mcp_servers": ("McpServer",),
    "planfold.tools.notifications": ("Notification", "NotifyTarget"),
    "planfold.tools.policy.rules": ("PolicySettings", "Rule"),
    "planfold.tools.secrets": ("SecretSource",),
    "planfold.tools.tool": ("Toolbox",),
    "planfold.transfer.archive": ("Archived",),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
