"""``CheckedPlan``: a plan that was read and passed the compiler, before it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from planfold.drafting.draft import PlanDraft
    from planfold.drafting.parameters import ParameterValue
    from planfold.executors.registry import Executors
    from planfold.planner.commands import Initialize


class CheckedPlan(NamedTuple):
    """The first command, what the text says beside the tasks, and the values of parameters;
    ``draft`` is what was compiled, where that was done here."""

    begin: Initialize
    notes: list[str]
    params: tuple[ParameterValue, ...]
    draft: PlanDraft | None = None


def checked_plan(source: str, params: Mapping[str, str], executors: Executors) -> CheckedPlan:
    """Read and check a plan from the command line. Raises InvalidPlan and ConfigurationError."""
    from planfold.cli.preview import question_warnings, tool_warnings
    from planfold.cli.sources import read_plan_file, read_source
    from planfold.drafting.compiler import compile_plan
    from planfold.drafting.files import decoded_plan
    from planfold.drafting.templates import drafted
    from planfold.planner.commands import Initialize
    from planfold.planner.config import PlannerConfig

    text, name = read_source(source)
    toolbox = executors.toolbox
    plan = decoded_plan(text, name)
    templates = executors.templates
    draft, values = drafted(plan, params, toolbox, templates, source=name, read=read_plan_file)
    tasks = compile_plan(draft, toolbox)
    names = [tool.name for tool in toolbox]
    for warning in (*tool_warnings(tasks, names), *question_warnings(tasks)):
        click.echo(f"planfold: {warning}", err=True)
    config = PlannerConfig(undo=draft.undo or "ask")
    begin = Initialize(draft.title, tasks, draft.goal, config, tags=tuple(draft.tags))
    return CheckedPlan(begin, draft.notes, values, draft)
