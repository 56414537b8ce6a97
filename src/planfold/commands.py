"""The planner of one plan, and the commands that it decides.

``App`` has a method for every decision of a person (``approve``, ``cancel``, ``retry`` ...); it
sends one of these. Send one yourself with :meth:`App.send`, use ``Planner`` without a database, or
begin a plan of checked tasks (``TaskSpec``) without a draft. Programs that use the methods of
``App`` need none of these names.

``HandleExecutorEvent`` brings what an executor or a person reports: those reports that end an
attempt are in ``planfold.executor``, the others in ``planfold.types``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.planner.commands import AddBudget as AddBudget
    from planfold.planner.commands import ApprovePlan as ApprovePlan
    from planfold.planner.commands import CancelPlan as CancelPlan
    from planfold.planner.commands import CancelTask as CancelTask
    from planfold.planner.commands import ChangeAnswer as ChangeAnswer
    from planfold.planner.commands import Command as Command
    from planfold.planner.commands import CompactContext as CompactContext
    from planfold.planner.commands import CompleteTask as CompleteTask
    from planfold.planner.commands import ConfirmEnd as ConfirmEnd
    from planfold.planner.commands import Continue as Continue
    from planfold.planner.commands import ContinueSubPlan as ContinueSubPlan
    from planfold.planner.commands import ForkPlan as ForkPlan
    from planfold.planner.commands import HandleExecutorEvent as HandleExecutorEvent
    from planfold.planner.commands import Initialize as Initialize
    from planfold.planner.commands import NameCheckpoint as NameCheckpoint
    from planfold.planner.commands import PausePlan as PausePlan
    from planfold.planner.commands import RegisterWait as RegisterWait
    from planfold.planner.commands import Replan as Replan
    from planfold.planner.commands import RetryTask as RetryTask
    from planfold.planner.commands import RevisePlan as RevisePlan
    from planfold.planner.commands import SkipTask as SkipTask
    from planfold.planner.commands import TagPlan as TagPlan
    from planfold.planner.commands import UndoPlan as UndoPlan
    from planfold.planner.commands import UnpausePlan as UnpausePlan
    from planfold.planner.planner import Planner as Planner
    from planfold.planner.tasks import TaskSpec as TaskSpec

_HOMES = {
    "planfold.planner.commands": (
        "AddBudget",
        "ApprovePlan",
        "CancelPlan",
        "CancelTask",
        "ChangeAnswer",
        "Command",
        "CompactContext",
        "CompleteTask",
        "ConfirmEnd",
        "Continue",
        "ContinueSubPlan",
        "ForkPlan",
        "HandleExecutorEvent",
        "Initialize",
        "NameCheckpoint",
        "PausePlan",
        "RegisterWait",
        "Replan",
        "RetryTask",
        "RevisePlan",
        "SkipTask",
        "TagPlan",
        "UndoPlan",
        "UnpausePlan",
    ),
    "planfold.planner.planner": ("Planner",),
    "planfold.planner.tasks": ("TaskSpec",),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
