"""``Timelines``: caches the timelines of watched plans, so that they are continued and not folded
again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from planfold.readmodels.timeline import Timeline
from planfold.runtime.origins import base_of

if TYPE_CHECKING:
    from planfold.app import App

MOST: Final = 16  # timelines that are kept; the one that was unused longest is dropped


class Timelines:
    """Reads the timelines of plans. The last ones stay in memory, and are read on from there."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._kept: OrderedDict[str, Timeline] = OrderedDict()
        self._reading: dict[str, asyncio.Lock] = {}

    async def now(self, plan_id: str) -> Timeline:
        """The timeline to the end of the log. Raises NotFound, CorruptLog."""
        async with self._reading.setdefault(plan_id, asyncio.Lock()):
            found = self._kept.pop(plan_id, None) or await self._new(plan_id)
            async for envelope in self._app.history(plan_id, after=found.state.version):
                found.apply(envelope)
            self._kept[plan_id] = found
        while len(self._kept) > MOST:
            dropped, _ = self._kept.popitem(last=False)
            self._reading.pop(dropped, None)
        return found

    async def at(self, plan_id: str, version: int) -> Timeline:
        """The timeline up to a version. Raises NotFound, CorruptLog."""
        await self._app.fold(plan_id, version)  # whether there is such a version
        found = await self._new(plan_id)
        async for envelope in self._app.history(plan_id):
            if envelope.version > version:
                break
            found.apply(envelope)
        return found

    async def _new(self, plan_id: str) -> Timeline:
        return Timeline(plan_id, await base_of(self._app.store, plan_id))
