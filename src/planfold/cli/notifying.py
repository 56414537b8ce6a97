"""The notifications of ``planfold.toml``, delivered while a worker or the service runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planfold.app import App


@asynccontextmanager
async def notifying(app: App) -> AsyncIterator[None]:
    """Deliver to each ``[notify.NAME]`` with a consumer of its own, ``notify-NAME``. At its first
    start it begins with what happens from then on.

    Raises:
        ConfigurationError: a function cannot be imported.
    """
    settings = app.settings
    async with AsyncExitStack() as stack:
        if settings.notify:
            from planfold.assembly import workspace_of
            from planfold.executors.delivery import deliveries
            from planfold.tools.secrets import Secrets

            workspace = workspace_of(settings)
            found = deliveries(
                settings.notify,
                workspace=workspace,
                secrets=Secrets(settings.secrets),
                env_allow=settings.env_allow,
                allow_private=settings.allow_private,
            )
            end = await app.log.last_position()
            for name, deliver in found.items():
                on = settings.notify[name].on
                consumer = app.log.notify(f"notify-{name}", deliver, on=on, after=end)
                await stack.enter_async_context(consumer)
        yield
