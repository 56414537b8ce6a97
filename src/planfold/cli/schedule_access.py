"""Schedules for the command line: where they are, and one of them printed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from planfold.errors import NotFound

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.runtime.schedule_view import ScheduleView
    from planfold.service.remote_schedules import RemoteSchedules

T = TypeVar("T")


def with_schedules(
    db: str | None, do: Callable[[App | RemoteSchedules], Awaitable[T]], *, name: str = ""
) -> T:
    """What ``do`` returns, of a database that exists or of a service. ``name``: the schedule that
    it is about."""
    from planfold.cli.access import client_of, existing_app, run_async, server_given

    async def with_app() -> T:
        if (server := server_given(db)) is not None:
            from planfold.service.remote_schedules import RemoteSchedules

            async with client_of(server) as client:
                remote = RemoteSchedules(client)
                async with near_schedule(remote, name):
                    return await do(remote)
        async with existing_app(db) as app, near_schedule(app, name):
            return await do(app)

    return run_async(with_app())


@asynccontextmanager
async def near_schedule(app: App | RemoteSchedules, name: str) -> AsyncIterator[None]:
    """Where there is no schedule of this name, the fault names the nearest one."""
    from difflib import get_close_matches

    try:
        yield
    except NotFound as fault:
        near = get_close_matches(name, [view.name for view in await app.schedules()], n=1)
        if not near:
            raise
        raise NotFound(f"{fault}; did you mean {near[0]!r}?") from fault


def print_schedule(
    view: ScheduleView, db: str | None, *, as_json: bool, more: Sequence[str] = ()
) -> None:
    from planfold.cli.schedule_text import schedule_json, schedule_lines
    from planfold.cli.terminal import Paper, print_json

    if as_json:
        print_json(schedule_json(view))
        return
    paper = Paper()
    paper.lines([*schedule_lines(view, db), *([(line, "dim")] for line in more)])
    paper.flush()
