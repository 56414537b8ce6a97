"""``ScheduleCaller``: the methods of a client about schedules."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from planfold.drafting.draft import PlanDraft
from planfold.runtime.schedule_view import ScheduleView
from planfold.schedules.commands import CatchUp, Overlap
from planfold.service import messages as m
from planfold.service import schedule_messages as s
from planfold.service.caller import BY_NAME
from planfold.service.limit_client import LimitCaller
from planfold.service.operations import Operation


class ScheduleCaller(LimitCaller):
    """Adds schedules to a service, and decides about them: see the methods of :class:`App`."""

    def schedules(self) -> Operation[m.SchedulePage]:
        """All schedules."""
        return self._make("schedules", m.SchedulePage)

    def schedule(self, name: str) -> Operation[ScheduleView]:
        """A schedule."""
        return self._schedule("schedule", name)

    def add_schedule(
        self,
        name: str,
        cron: str,
        plan: PlanDraft | str,
        *,
        tz: str = "UTC",
        catch_up: CatchUp = "once",
        overlap: Overlap = "skip",
        params: Mapping[str, Any] | None = None,
        approve: bool = False,
        max_parallel: int | None = None,
        project: str | None = None,
        tags: Iterable[str] = (),
    ) -> Operation[ScheduleView]:
        """Begin a plan at the times of a cron expression: see :meth:`App.add_schedule`."""
        body = s.ScheduleRequest(
            name=name,
            cron=cron,
            tz=tz,
            text=plan if isinstance(plan, str) else None,
            draft=None if isinstance(plan, str) else plan,
            params=dict(params or {}),
            approve=approve,
            catch_up=catch_up,
            overlap=overlap,
            max_parallel=max_parallel,
            project=project,
            tags=tuple(tags),
        )
        headers = {"Idempotency-Key": f"command-{secrets.token_hex(16)}"}
        return self._make("add_schedule", ScheduleView, body=body, headers=headers)

    def edit_schedule(
        self,
        name: str,
        *,
        cron: str | None = None,
        plan: PlanDraft | str | None = None,
        tz: str | None = None,
        catch_up: CatchUp | None = None,
        overlap: Overlap | None = None,
        params: Mapping[str, Any] | None = None,
        approve: bool = False,
        tags: Iterable[str] | None = None,
    ) -> Operation[ScheduleView]:
        """Change what is given of a schedule: see :meth:`App.edit_schedule`."""
        body = s.ScheduleEdit(
            cron=cron,
            tz=tz,
            text=plan if isinstance(plan, str) else None,
            draft=plan if isinstance(plan, PlanDraft) else None,
            params=dict(params or {}),
            approve=approve,
            catch_up=catch_up,
            overlap=overlap,
            tags=None if tags is None else tuple(tags),
        )
        return self._schedule("edit_schedule", name, body)

    def pause_schedule(self, name: str, *, reason: str = "") -> Operation[ScheduleView]:
        """Begin no plan of a schedule until it is unpaused."""
        return self._schedule("pause_schedule", name, s.SchedulePauseRequest(reason=reason))

    def unpause_schedule(self, name: str) -> Operation[ScheduleView]:
        """Continue a paused schedule with its next occurrence."""
        return self._schedule("unpause_schedule", name, s.ScheduleActionRequest())

    def run_schedule(self, name: str) -> Operation[ScheduleView]:
        """Run the plan of a schedule now: it is ``previous`` of the answer, or waits."""
        return self._schedule("run_schedule", name, s.ScheduleActionRequest())

    def remove_schedule(self, name: str) -> Operation[ScheduleView]:
        """End a schedule, which is the answer; plans that it submitted continue."""
        return self._schedule("remove_schedule", name)

    def _schedule(
        self, operation: str, name: str, body: msgspec.Struct | None = None
    ) -> Operation[ScheduleView]:
        route, sent = BY_NAME[operation], dict[str, Any](headers={})
        if body is not None:
            sent["content"] = msgspec.json.encode(body)
            sent["headers"] = {
                "Content-Type": "application/json",
                "Idempotency-Key": f"command-{secrets.token_hex(16)}",
            }
        path = route.path.format(schedule_name=quote(name, safe=""))
        return Operation(self._connection, route.method, path, sent, ScheduleView)
