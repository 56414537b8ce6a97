"""Commands by which a person takes a plan in hand."""

from __future__ import annotations

from typing import Any

import msgspec


class PausePlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Start nothing more of the plan, or (``task_ids``) nothing of these tasks: they get
    break-points. Attempts that run, and those that are queued, end."""

    task_ids: tuple[int, ...] = ()
    reason: str = ""
    by: str = ""


class UnpausePlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Continue a paused plan; where it is not paused, lift the break-points that it has reached.
    With ``task_ids`` lift the break-points of these tasks instead."""

    task_ids: tuple[int, ...] = ()
    by: str = ""


class SkipTask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Do without a task. An attempt that runs is stopped first; one of effect ``once`` is not."""

    task_id: int
    reason: str = ""
    by: str = ""


class CompleteTask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A person did what the task is about, with this ``result`` (none: null, which is refused where
    a task that has not started uses it). An attempt that runs is stopped first; one of effect
    ``once`` is not."""

    task_id: int
    result: Any = msgspec.UNSET
    reason: str = ""
    by: str = ""


class UndoPlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Undo what a plan that has ended did: its completed tasks that have an undo, the last one
    first. Those that were undone stay so."""

    by: str = ""
