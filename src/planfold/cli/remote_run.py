"""``RemoteRun``: a plan for a service, whose workers run it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from planfold.cli.access import client_of
from planfold.cli.checked_plan import CheckedPlan
from planfold.cli.commands.decisions import tell
from planfold.cli.exits import COMPLETED, WAITS, exit_code_of
from planfold.cli.log_printer import LogPrinter
from planfold.cli.plan_json import show_json
from planfold.cli.preview import note_lines, parameter_lines, preview_lines, undo_notes
from planfold.cli.report import header_line
from planfold.cli.situation import situation_of
from planfold.cli.sources import is_data, read_source
from planfold.cli.terminal import Paper, clean, counted, print_json
from planfold.drafting.draft import PlanDraft
from planfold.drafting.files import decoded_plan, load_plan
from planfold.planner.commands import Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import PlanStatus
from planfold.service.remote_plans import RemotePlans

if TYPE_CHECKING:
    from planfold.cli.plan_options import PlanOptions
    from planfold.readmodels.forecast import Forecast
    from planfold.service.messages import Preview


class RemoteRun(NamedTuple):
    """Where a plan goes, and its options."""

    server: str
    plan_id: str | None
    max_parallel: int | None
    options: PlanOptions
    params: dict[str, str]

    async def run(self, source: str, *, yes: bool, detach: bool, as_json: bool) -> int:
        """Show the plan, ask, submit it, and follow it unless ``detach``; returns the exit code."""
        plan = plan_source(source)
        async with client_of(self.server) as client:
            approve = yes
            if not as_json:
                _show(await client.preview(plan, params=self.params), self.options.pause_before)
                if sys.stdin.isatty() and not yes:
                    approve = click.confirm("Approve and run this plan?", default=False)
                    if not approve:
                        return COMPLETED
            receipt = await client.submit(
                plan,
                params=self.params,
                plan_id=self.plan_id,
                approve=approve,
                max_parallel=self.max_parallel,
                **self.options._asdict(),
            )
            plans, plan_id = RemotePlans(client), receipt.plan_id
            return await followed(plans, plan_id, detach=detach, as_json=as_json)


async def followed(plans: RemotePlans, plan_id: str, *, detach: bool, as_json: bool) -> int:
    """Follow a plan that was submitted, unless ``detach``; returns the exit code."""
    waits = await plans.status(plan_id) is PlanStatus.AwaitingApproval
    if detach or waits:
        await tell(plans, plan_id, "Submitted", as_json=as_json, db=None)
        return WAITS if waits else COMPLETED
    return await _follow(plans, plan_id, as_json=as_json)


async def _follow(plans: RemotePlans, plan_id: str, *, as_json: bool) -> int:
    """Print events until the plan has ended."""
    printer = LogPrinter(False, False, None, None)
    async for envelope in plans.watch(plan_id):
        if not as_json:
            printer.print(envelope)
            printer.flush()
    situation = await situation_of(plans, plan_id)
    if as_json:
        print_json(show_json(situation))
    else:
        Paper().lines([[(clean(plan_id), "bold"), (": ", ""), *header_line(situation.fold)]])
    return exit_code_of([situation.fold.state.status.value])


async def previewed(
    server: str, source: str, params: dict[str, str]
) -> tuple[CheckedPlan, Forecast | None]:
    """What the service says of a plan, and the forecast."""
    plan = plan_source(source)
    async with client_of(server) as client:
        found = await client.preview(plan, params=params)
        forecast = (await client.forecast(plan, params=params)).forecast
    begin = Initialize(found.title, found.tasks, found.goal, PlannerConfig(undo=found.undo))
    return CheckedPlan(begin, found.notes, found.params), forecast


def plan_source(source: str) -> PlanDraft | str:
    """A plan in JSON or YAML as a draft; the service reads texts itself, with its tools."""
    text, name = read_source(source)
    return load_plan(text, source=name) if is_data(text, name) else decoded_plan(text, name)


def _show(found: Preview, before: Sequence[str]) -> None:
    paper = Paper()
    title = (clean(found.title) or "Plan", "bold")
    paper.lines([[title, (f" ({counted(len(found.tasks), 'task')})", "dim")], []])
    paper.lines(parameter_lines(found.params, paper.width))
    paper.lines(preview_lines(found.tasks, paper.width, most=None))
    paper.lines(undo_notes(found.tasks, found.undo, paper.width))
    if found.notes:
        paper.lines([[], *note_lines(found.notes, paper.width)])
    if before:
        paper.line(f"pauses before {', '.join(map(clean, before))}")
    paper.flush()
