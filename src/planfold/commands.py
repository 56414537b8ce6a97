"""Commands of a plan, and the values in them.

``App`` has a method for every decision of a person (``approve``, ``cancel``, ``retry`` ...); it
sends one of these. Send one yourself with :meth:`App.send`, test the planner with them, or make a
plan of checked tasks without a draft. Programs that use the methods of ``App`` need none of these
names.

The executor events are what an executor or a person reports, inside ``HandleExecutorEvent``; those
that end an attempt are in ``planfold.executor``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.compaction.profiles import Profile as Profile
    from planfold.planner.commands import AddBudget as AddBudget
    from planfold.planner.commands import ApprovePlan as ApprovePlan
    from planfold.planner.commands import CancelPlan as CancelPlan
    from planfold.planner.commands import CancelTask as CancelTask
    from planfold.planner.commands import ChangeAnswer as ChangeAnswer
    from planfold.planner.commands import ClarificationProvided as ClarificationProvided
    from planfold.planner.commands import Command as Command
    from planfold.planner.commands import CompactContext as CompactContext
    from planfold.planner.commands import CompleteTask as CompleteTask
    from planfold.planner.commands import ContextSummarised as ContextSummarised
    from planfold.planner.commands import Continue as Continue
    from planfold.planner.commands import ExecutorEvent as ExecutorEvent
    from planfold.planner.commands import ForkPlan as ForkPlan
    from planfold.planner.commands import HandleExecutorEvent as HandleExecutorEvent
    from planfold.planner.commands import Initialize as Initialize
    from planfold.planner.commands import NameCheckpoint as NameCheckpoint
    from planfold.planner.commands import PausePlan as PausePlan
    from planfold.planner.commands import Replan as Replan
    from planfold.planner.commands import RetryTask as RetryTask
    from planfold.planner.commands import RevisePlan as RevisePlan
    from planfold.planner.commands import SkipTask as SkipTask
    from planfold.planner.commands import StepAbandoned as StepAbandoned
    from planfold.planner.commands import StepBegun as StepBegun
    from planfold.planner.commands import StepCompleted as StepCompleted
    from planfold.planner.commands import TagPlan as TagPlan
    from planfold.planner.commands import TaskProgressed as TaskProgressed
    from planfold.planner.commands import TasksProposed as TasksProposed
    from planfold.planner.commands import UnpausePlan as UnpausePlan
    from planfold.planner.tasks import ByHand as ByHand
    from planfold.planner.tasks import FileRef as FileRef
    from planfold.planner.tasks import ForEach as ForEach
    from planfold.planner.tasks import ImageRef as ImageRef
    from planfold.planner.tasks import Link as Link
    from planfold.planner.tasks import ParentTask as ParentTask
    from planfold.planner.tasks import Pause as Pause
    from planfold.planner.tasks import Prompt as Prompt
    from planfold.planner.tasks import TaskSpec as TaskSpec
    from planfold.planner.tasks import ToolCall as ToolCall
    from planfold.planner.tasks import Wait as Wait
    from planfold.planner.worker_commands import ConfirmEnd as ConfirmEnd
    from planfold.planner.worker_commands import ContinueSubPlan as ContinueSubPlan
    from planfold.planner.worker_commands import RegisterWait as RegisterWait

_HOMES = {
    "planfold.compaction.profiles": ("Profile",),
    "planfold.planner.commands": (
        "AddBudget",
        "ApprovePlan",
        "CancelPlan",
        "CancelTask",
        "ChangeAnswer",
        "ClarificationProvided",
        "Command",
        "CompactContext",
        "CompleteTask",
        "ContextSummarised",
        "Continue",
        "ExecutorEvent",
        "ForkPlan",
        "HandleExecutorEvent",
        "Initialize",
        "NameCheckpoint",
        "PausePlan",
        "Replan",
        "RetryTask",
        "RevisePlan",
        "SkipTask",
        "StepAbandoned",
        "StepBegun",
        "StepCompleted",
        "TagPlan",
        "TaskProgressed",
        "TasksProposed",
        "UnpausePlan",
    ),
    "planfold.planner.tasks": (
        "ByHand",
        "FileRef",
        "ForEach",
        "ImageRef",
        "Link",
        "ParentTask",
        "Pause",
        "Prompt",
        "TaskSpec",
        "ToolCall",
        "Wait",
    ),
    "planfold.planner.worker_commands": ("ConfirmEnd", "ContinueSubPlan", "RegisterWait"),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
