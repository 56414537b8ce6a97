"""One decision about all plans that a filter chooses: shown first, and made only with a yes."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from planfold.cli.exits import BAD_INPUT, COMPLETED, FAILED
from planfold.cli.streams import say

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.eventstore.heads import StreamHead
    from planfold.runtime.forking import PlanForking

F = TypeVar("F", bound=Callable[..., Any])
_INDENT = " " * 4
SHOWN = 20  # plans that the preview lists
_DONE = {"Approve": "Approved", "Cancel": "Cancelled", "Retry": "Retried"}

_OPTIONS = (
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="All plans with this tag."),
    click.option(
        "--title", metavar="TEXT", default="", help="All plans with this text in their title."
    ),
    click.option("--project", metavar="NAME", help="All plans of this project."),
    click.option("--yes", "-y", is_flag=True, help="With --tag, --title or --project: do not ask."),
)


class Filter(NamedTuple):
    """Which plans: with all of these tags, with ``title`` in their title, of a ``project``."""

    tags: tuple[str, ...]
    title: str
    project: str | None
    yes: bool

    @property
    def given(self) -> bool:
        """Whether it chooses plans."""
        return bool(self.tags or self.title or self.project)

    def check(self, named: object) -> None:
        """Raises UsageError where plans are both named and chosen, or --yes chooses none."""
        if self.given and named:
            raise click.UsageError("name one plan, or choose plans by --tag, --title or --project")
        if self.yes and not self.given:
            raise click.UsageError("--yes needs --tag, --title or --project")

    async def plans(self, app: PlanForking, without: Collection[str]) -> list[StreamHead]:
        """The chosen plans whose status is not one of these, the newest first."""
        from planfold.planner.tasks import PlanStatus

        return await app.plans(
            limit=None,
            statuses=[status for status in PlanStatus if status.value not in without],
            title=self.title,
            projects=() if self.project is None else [self.project],
            tags=self.tags,
        )

    def agrees(self, verb: str, what: str) -> bool:
        """Whether a person wants it. Without a terminal it needs --yes."""
        return agreed(verb, what, yes=self.yes)


def agreed(verb: str, what: str, *, yes: bool) -> bool:
    """Whether a person agrees now, or agreed with --yes."""
    from planfold.cli.terminal import can_ask

    if yes:
        return True
    if can_ask():
        return click.confirm(f"{verb} {what}?", default=False)
    click.echo(f"planfold: nothing was changed; to {verb.lower()} {what}, add --yes", err=True)
    return False


def filter_options(function: F) -> F:
    """Options that choose plans; the command gets ``chosen``, a :class:`Filter`."""

    @functools.wraps(function)
    def called(
        *args: Any, tags: tuple[str, ...], title: str, project: str | None, yes: bool, **more: Any
    ) -> Any:
        return function(*args, chosen=Filter(tags, title, project, yes), **more)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called  # type: ignore[return-value]


def show_chosen(
    plans: Sequence[StreamHead], about: Callable[[str, int], list[Line]] | None = None
) -> None:
    """Print the plans that a decision is about; ``about`` gives more lines about a plan, at most as
    wide as its argument."""
    from planfold.cli.terminal import Paper, clean, fit

    paper = Paper()
    for plan in plans[:SHOWN]:
        head = plan.head
        status = str(head.get("status", "")).replace("_", " ")
        line = f"  {clean(plan.aggregate_id)}  {status}  {clean(str(head.get('title', '')))}"
        paper.line(fit(line.rstrip(), paper.width))
        if about is not None:
            room = paper.width - len(_INDENT)
            paper.lines([[(_INDENT, ""), *each] for each in about(plan.aggregate_id, room)])
    if len(plans) > SHOWN:
        paper.line(f"  ... and {len(plans) - SHOWN:,} more")
    paper.flush()


async def decide_each(
    app: PlanForking,
    chosen: Filter,
    plans: Sequence[StreamHead],
    verb: str,
    decide: Callable[[str], Awaitable[object]],
    *,
    about: Callable[[str, int], list[Line]] | None = None,
) -> int:
    """Show the plans, with what is ``about`` each, ask, and decide about each; returns the exit
    code. A plan that refuses the decision does not keep the others from it."""
    from planfold.cli.remedies import explained
    from planfold.cli.terminal import clean, counted
    from planfold.errors import PlanfoldError

    if not plans:
        say("No such plans.")
        return COMPLETED
    show_chosen(plans, about)
    what = counted(len(plans), "plan")
    if not chosen.agrees(verb, what):
        return BAD_INPUT
    refused = 0
    for plan in plans:
        try:
            await decide(plan.aggregate_id)
        except PlanfoldError as fault:
            refused += 1
            name = clean(plan.aggregate_id)
            click.echo(f"planfold: {name}: {clean(explained(fault))}", err=True)
    done = f"{_DONE[verb]} {counted(len(plans) - refused, 'plan')}."
    say(done + (f" {counted(refused, 'plan')} refused it." if refused else ""))
    return FAILED if refused else COMPLETED
