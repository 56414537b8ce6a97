"""``RemoteSchedules``: the schedules of a service, with the methods that the command line uses."""

from __future__ import annotations

from typing import Any

from planfold.runtime.schedule_view import ScheduleView
from planfold.service.client import Client


class RemoteSchedules:
    """As :class:`PlanSchedules`. Who decides is the holder of the token: ``by`` has no effect."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def schedules(self) -> list[ScheduleView]:
        return (await self._client.schedules()).schedules

    async def schedule(self, name: str) -> ScheduleView:
        return await self._client.schedule(name)

    async def edit_schedule(
        self, name: str, *, approved_by: str | None = None, by: str = "", **changes: Any
    ) -> ScheduleView:
        approve = approved_by is not None
        return await self._client.edit_schedule(name, approve=approve, **changes)

    async def pause_schedule(self, name: str, *, reason: str = "", by: str = "") -> bool:
        before = await self._client.schedule(name)
        await self._client.pause_schedule(name, reason=reason)
        return not before.paused

    async def unpause_schedule(self, name: str, *, by: str = "") -> bool:
        before = await self._client.schedule(name)
        await self._client.unpause_schedule(name)
        return before.paused

    async def remove_schedule(self, name: str, *, by: str = "") -> None:
        await self._client.remove_schedule(name)
