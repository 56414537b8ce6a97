"""Every error planfold raises, in one tree; the branch says who must react.

PlanfoldError
├── CommandRejected      the caller: not legal in the state the plan is in
├── InvalidPlan          the plan's author: faults that the compiler found, all at once
├── NotFound             the caller: no such plan, task or question
├── Conflict             the caller: another writer was first, or an id was used twice
├── LeaseLost            the worker: another one holds this task now, drop the result
├── Transient            the caller, later: the same call may succeed then
├── Permanent            the task's author: the same call will fail again
├── CorruptLog           the operator: the log cannot be read by this version
└── ConfigurationError   the operator: settings, addresses, missing extras
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from planfold.drafting.draft import Fault


class PlanfoldError(Exception):
    """Root of every error that planfold raises on purpose.

    ``topic`` names what a few of them are about, for callers that add a remedy of their own.
    """

    topic = ""

    def about(self, topic: str) -> Self:
        """This error, with its topic."""
        self.topic = topic
        return self


class CommandRejected(PlanfoldError):
    """The command is not legal in the present state. Nothing was changed."""


class InvalidPlan(PlanfoldError):
    """A plan has faults. ``faults`` lists all of them, each with its place and a fix.

    Example:
        import planfold
        from planfold import PlanDraft, TaskDraft

        draft = PlanDraft(tasks=[TaskDraft(description="Test", depends_on=["build"])])
        async with planfold.open_app("sqlite:///:memory:") as app:
            try:
                await app.submit(draft)
            except planfold.InvalidPlan as refused:
                print(refused.faults[0])
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class NotFound(PlanfoldError):
    """The plan, task or question that was named does not exist."""


class Conflict(PlanfoldError):
    """Another writer was first, or an id was used again with different content."""


class LeaseLost(PlanfoldError):
    """The lease on a task has passed to another worker; its late result is dropped."""

    def __init__(self, message: str, task_id: int | None = None) -> None:
        self.task_id = task_id
        super().__init__(message)


class Transient(PlanfoldError):
    """A passing fault (disk full, database locked, network): the same call may succeed later.

    Example:
        import planfold
        from planfold.testing import run_tool

        @planfold.tool(effect="safe", retry=3)
        def fetch(url: str) -> str:
            raise planfold.Transient("503 Service Unavailable")  # up to 3 attempts

        print((await run_tool(fetch, {"url": "https://example.org"})).error)
    """


class Permanent(PlanfoldError):
    """A fault that a retry cannot fix. A tool raises it to prevent further attempts.

    Example:
        import planfold
        from planfold.testing import run_tool

        @planfold.tool(effect="keyed", retry=3)
        def charge(card: str) -> str:
            raise planfold.Permanent("the card has expired")  # one attempt

        print((await run_tool(charge, {"card": "1234"})).error)
    """


class CorruptLog(PlanfoldError):
    """The log holds an event that this version cannot read or that breaks the rules; read-only."""


class ConfigurationError(PlanfoldError):
    """A setting, an address or an extra is missing or wrong."""


def extra_missing(what: str, extra: str, fault: ImportError) -> ConfigurationError:
    """``what`` needs an extra of planfold that is not installed."""
    return ConfigurationError(
        f"{what} needs the extra {extra}; install it, in a clone with pip install '.[{extra}]' "
        f"({fault})"
    )


class ContextCannotFit(Permanent):
    """The required part of a model's context exceeds its limit. ``limit`` is in tokens;
    ``parts`` are the texts that cannot be shortened, the largest first, each with its tokens."""

    def __init__(self, limit: int, parts: Sequence[tuple[str, int]]) -> None:
        self.limit = limit
        self.parts = tuple(sorted(parts, key=lambda part: -part[1]))
        named = ", ".join(f"{name} ({tokens:,} tokens)" for name, tokens in self.parts[:5])
        more = f" and {len(self.parts) - 5} more" if len(self.parts) > 5 else ""
        super().__init__(
            f"the context must fit {limit:,} tokens, and the parts that cannot be shortened need "
            f"{sum(tokens for _, tokens in self.parts):,}: {named}{more}; shorten that, or raise "
            "token_budget"
        )
