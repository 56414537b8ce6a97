"""``Fork``: what continues a plan from one of its versions on, and what would happen again."""

from __future__ import annotations

import msgspec

from planfold.planner.tasks import Effect, TaskStatus


class RepeatedEffect(msgspec.Struct, frozen=True):
    """A task of a fork whose effect would happen again: in the plan ``plan_id`` its task has the
    status ``status``. A task of effect ``once`` needs ``repeat``, a ``keyed`` one gets a new key.
    ``happened_as`` are up to 20 other tasks there that have the effect: a later revision replaced
    the task by them, or, where a model plans the fork, the model of that plan drafted them.
    """

    task_id: int
    label: str | None
    description: str
    effect: Effect
    plan_id: str
    status: TaskStatus
    happened_as: tuple[int, ...] = ()


class Fork(msgspec.Struct, frozen=True):
    """A plan that continues ``origin`` from its ``version`` on.

    ``plan_id`` is its own id, empty for a dry run. The tasks ``again`` were changed or descend from
    a change, and run again; those that were ``interrupted`` had begun and not ended. Those
    ``to_come`` had not begun, or ask something while they run. ``effects`` would happen again.
    It ``pauses_before`` tasks whose break-points it has from the origin.
    ``waits_for_approval``: its tasks differ from those that were approved. ``origin_waits``:
    the origin itself waits for approval at that version.

    Example:
        import planfold

        async with planfold.open_app("sqlite:///plans.db") as app:
            plan_id = await app.submit("1. Run `false` {#build}", approved_by="ada")
            await app.run(plan_id)
            fork = await app.fork(plan_id, changes={"build.argv": ["true"]}, approved_by="ada")
            print(fork.again, (await app.run(fork.plan_id)).status)
    """

    plan_id: str
    origin: str
    version: int
    again: tuple[int, ...]
    interrupted: tuple[int, ...]
    to_come: tuple[int, ...]
    effects: tuple[RepeatedEffect, ...]
    revision_hash: str
    waits_for_approval: bool
    origin_waits: bool = False
    pauses_before: tuple[int, ...] = ()
