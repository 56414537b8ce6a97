"""What requests about decisions by hand hold: pauses, tasks done by hand, tags."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from planfold.service.messages import ShortText, Strict, Tag, TaskName


class PauseRequest(Strict, frozen=True):
    """Start nothing more of the plan, or let it pause ``before`` these tasks (ids or labels)."""

    before: tuple[TaskName, ...] = ()
    reason: ShortText = ""


class UnpauseRequest(Strict, frozen=True):
    """Continue a paused plan; where it is not paused, lift the break-points that it has reached.
    With ``before`` lift those of these tasks."""

    before: tuple[TaskName, ...] = ()


class SkipRequest(Strict, frozen=True):
    """Do without a ``task`` (id or label). An attempt that runs is stopped first."""

    task: TaskName
    reason: ShortText = ""


class CompleteRequest(Strict, frozen=True):
    """Say that a ``task`` is done, with its ``result``. An attempt that runs is stopped first."""

    task: TaskName
    result: Any | UnsetType = UNSET
    reason: ShortText = ""


class UndoRequest(Strict, frozen=True):
    """Undo what a plan that has ended did."""


class TagRequest(Strict, frozen=True):
    """Add tags to the plan and remove others."""

    add: tuple[Tag, ...] = ()
    remove: tuple[Tag, ...] = ()
