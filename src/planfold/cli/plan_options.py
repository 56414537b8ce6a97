"""``PlanOptions``: the options of ``planfold run`` that become part of the plan's first command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from planfold.cli.options import WholeNumber

if TYPE_CHECKING:
    from planfold.planner.commands import Initialize

parallel_option = click.option(
    "--max-parallel",
    type=WholeNumber(1),
    metavar="N",
    help="At most N tasks of this plan run at once.",
)
priority_option = click.option(
    "--priority",
    type=WholeNumber(-1_000, 1_000),
    default=0,
    metavar="N",
    help="Workers take tasks of plans with a higher priority first (0 unless set).",
)
project_option = click.option(
    "--project",
    metavar="NAME",
    help='The plan\'s project; tokens may be limited to some (default: "default").',
)
pause_option = click.option(
    "--pause-before",
    multiple=True,
    metavar="TASK",
    help="Pause when the plan reaches this task; may be repeated.",
)


tag_option = click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="A tag to find the plan by; may be repeated.",
)


class PlanOptions(NamedTuple):
    """What the options say of a plan, beside its tasks."""

    priority: int
    project: str | None
    pause_before: tuple[str, ...]
    tags: tuple[str, ...]

    def applied_to(self, begin: Initialize) -> Initialize:
        """The first command with these options. Raises as ``ids_of``."""
        from msgspec.structs import replace

        from planfold.drafting.first_command import ids_of

        given: dict[str, Any] = {"priority": self.priority}
        given |= {"project": self.project} if self.project else {}
        before = ids_of(begin.tasks, self.pause_before)
        return replace(
            begin,
            config=replace(begin.config, **given),
            pause_before=before,
            tags=(*begin.tags, *self.tags),
        )
