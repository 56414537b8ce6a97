"""Schedules for the command line: where they are, and one of them printed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.runtime.schedule_view import ScheduleView
    from planfold.service.remote_schedules import RemoteSchedules

T = TypeVar("T")


def with_schedules(db: str | None, do: Callable[[App | RemoteSchedules], Awaitable[T]]) -> T:
    """What ``do`` returns, of a database that exists or of a service."""
    from planfold.cli.access import client_of, existing_app, run_async, server_given

    async def with_app() -> T:
        if (server := server_given(db)) is not None:
            from planfold.service.remote_schedules import RemoteSchedules

            async with client_of(server) as client:
                return await do(RemoteSchedules(client))
        async with existing_app(db) as app:
            return await do(app)

    return run_async(with_app())


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
