"""The plan of a schedule on the command line: it is read, shown and approved before it is kept."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.cli.checked_plan import CheckedPlan
    from planfold.drafting.draft import PlanDraft
    from planfold.runtime.schedule_view import ScheduleView
    from planfold.runtime.settings import Settings
    from planfold.service.client import Client

Asked = Callable[["CheckedPlan"], bool | None]
"""Whether a person approves a plan for all occurrences; None: the person declines."""


def approval(*, yes: bool, as_json: bool) -> Asked:
    """Ask where a person can answer. Elsewhere, without ``yes``, the plan is not approved, as that
    of ``planfold run``: each occurrence waits for approval."""

    def ask(checked: CheckedPlan) -> bool | None:
        if yes or as_json or not _can_answer():
            return yes
        _show(checked)
        return click.confirm("Approve this plan for all occurrences?", default=False) or None

    return ask


def _can_answer() -> bool:
    return sys.stdin.isatty()


def _show(checked: CheckedPlan) -> None:
    from planfold.cli.commands.plan import title_line
    from planfold.cli.preview import parameter_lines, preview_lines
    from planfold.cli.terminal import Paper

    plan, paper = checked.begin, Paper()
    paper.lines([title_line(plan.title, len(plan.tasks)), []])
    paper.lines(parameter_lines(checked.params, paper.width))
    paper.lines(preview_lines(plan.tasks, paper.width, most=None))
    paper.flush()


async def kept_here(
    settings: Settings,
    tools: tuple[str, ...],
    source: str,
    params: Mapping[str, str],
    ask: Asked,
    keep: Callable[[App, PlanDraft, bool], Awaitable[ScheduleView]],
) -> ScheduleView | None:
    """In a database, where ``keep`` keeps the plan. None: the person declined it."""
    from planfold.app import open_app
    from planfold.assembly import assembled
    from planfold.cli.checked_plan import checked_plan

    async with assembled(settings, tools) as executors:
        checked = checked_plan(source, params, executors)
        if (approved := ask(checked)) is None:
            return None
        assert checked.draft is not None
        # Only now: a plan or a time that is refused must not create a database.
        async with open_app(settings, executors=executors, load=False) as app:
            return await keep(app, checked.draft, approved)


async def kept_there(
    server: str,
    source: str,
    params: Mapping[str, str],
    ask: Asked,
    keep: Callable[[Client, PlanDraft | str, bool], Awaitable[ScheduleView]],
) -> ScheduleView | None:
    """At a service, where ``keep`` sends the plan. None: the person declined it."""
    from planfold.cli.access import client_of
    from planfold.cli.remote_run import plan_source, previewed

    checked, _ = await previewed(server, source, dict(params))
    if (approved := ask(checked)) is None:
        return None
    async with client_of(server) as client:
        return await keep(client, plan_source(source), approved)
