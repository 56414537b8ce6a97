"""Waiting for a plan that a worker of this process runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from msgspec.structs import replace

from planfold.executors.registry import Executors
from planfold.planner.tasks import PlanStatus
from planfold.readmodels.plan_view import PlanView
from planfold.runtime.blockers import LOOK_EVERY_S, waits_for_person, why_at_rest
from planfold.runtime.plan_reader import ENDED, PlanReader

_WAITING = frozenset({PlanStatus.AwaitingApproval, PlanStatus.AwaitingAnswer, PlanStatus.Paused})


async def until_rest(
    reader: PlanReader, executors: Executors, plan_id: str, owner: str
) -> PlanView:
    """Wait until the plan has ended, or until only a person or a worker other than ``owner`` can
    continue it; returns the plan."""
    look_at = time.monotonic() + LOOK_EVERY_S
    while True:
        ticket = reader.store.wakeup.ticket(plan_id)
        status = await reader.status(plan_id)
        if status in ENDED:
            return await reader.view(plan_id)
        reason = None
        if status in _WAITING:
            reason = waits_for_person((await reader.planner(plan_id)).state)
        elif time.monotonic() >= look_at:
            reason = await why_at_rest(reader, executors, plan_id, owner)
            look_at = time.monotonic() + LOOK_EVERY_S
        if reason is not None:
            return replace(await reader.view(plan_id), stopped_because=reason)
        reader.store.watch_other_processes()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await ticket.wait()
