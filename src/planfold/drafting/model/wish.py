"""A wish: a request in plain words that a language model is to make a plan of."""

from __future__ import annotations

import msgspec

from planfold.drafting.text.drafter import parse_text
from planfold.planner.commands import Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import planning_task


def begin_with_wish(
    text: str, config: PlannerConfig, *, title: str = "", approved_by: str | None = None
) -> Initialize:
    """The command that begins a plan with one task: to plan what ``text`` asks for.

    ``config.model`` names the model. With ``approved_by`` all that it plans is approved
    in advance, and a task starts while the model still writes the next.
    """
    title = title or parse_text(text).title
    first = planning_task(1, f"Plan: {title}" if title else "Plan what was asked for")
    config = msgspec.structs.replace(config, approve_as=approved_by)
    return Initialize(title, (first,), text.replace("\0", "\ufffd"), config, approved_by)
