"""Commands that workers send to a plan when they have given another stream what it had for it."""

from __future__ import annotations

import msgspec


class RegisterWait(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An attempt of a wait for a signal is now known where the signals of its name and key are; or
    the sub-plan ``plan_id`` of a task has begun or (``stop``) was cancelled. The worker that did so
    sends this; it changes nothing where the wait has ended."""

    task_id: int
    attempt: int
    plan_id: str | None = None
    stop: bool = False


class ContinueSubPlan(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The task of the parent is at this ``attempt``. A later one than before runs again what did
    not complete, with its followers; workers send this."""

    attempt: int


class ConfirmEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The parent has the end of this sub-plan, or no longer needs it; workers send this."""

    attempt: int
