"""The notifications of ``planfold.toml``, delivered while a worker, the service or ``run`` runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.runtime.settings import Settings
    from planfold.subscriptions.consumer import Consumer
    from planfold.tools.notifications import Deliver


def targets(settings: Settings) -> dict[str, Deliver]:
    """What delivers to each ``[notify.NAME]``.

    Raises:
        ConfigurationError: a function cannot be imported.
    """
    if not settings.notify:
        return {}
    from planfold.assembly import workspace_of
    from planfold.executors.delivery import deliveries
    from planfold.tools.secrets import Secrets

    return deliveries(
        settings.notify,
        workspace=workspace_of(settings),
        secrets=Secrets(settings.secrets),
        env_allow=settings.env_allow,
        allow_private=settings.allow_private,
    )


@asynccontextmanager
async def notifying(app: App, *, after: int | None = None) -> AsyncIterator[Sequence[Consumer]]:
    """Deliver to each ``[notify.NAME]`` with a consumer of its own, ``notify-NAME``. At its first
    start it begins ``after`` a position, or with what happens from then on.

    Raises:
        ConfigurationError: a function cannot be imported.
    """
    found = targets(app.settings)
    async with AsyncExitStack() as stack:
        consumers: list[Consumer] = []
        if found and after is None:
            after = await app.log.last_position()
        for name, deliver in found.items():
            on = app.settings.notify[name].on
            consumer = app.log.notify(f"notify-{name}", deliver, on=on, after=after or 0)
            consumers.append(await stack.enter_async_context(consumer))
        yield consumers


async def delivered(app: App, consumers: Sequence[Consumer], stopped: asyncio.Event) -> None:
    """Wait until everything was delivered that had happened when this was called, or until
    ``stopped``. What a target did not take is delivered by the next process that notifies."""
    if not consumers:
        return
    end = await app.log.last_position()

    async def all_delivered() -> None:
        for consumer in consumers:
            await consumer.caught_up(end)

    async def stop() -> None:
        await stopped.wait()

    tasks = [asyncio.create_task(all_delivered()), asyncio.create_task(stop())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
