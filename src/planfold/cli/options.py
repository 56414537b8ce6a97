"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from planfold.cli.streams import reserved_output

if TYPE_CHECKING:
    from datetime import datetime

F = TypeVar("F", bound=Callable[..., Any])

DB_HELP: Final = (
    "Database, sqlite:///path or postgresql://... Default: PLANFOLD_DB, else .planfold/planfold.db."
)


def command(name: str, short_help: str | None = None) -> Callable[[F], click.Command]:
    """A command with ``--db``; what its function returns is the exit code."""

    def decorate(function: F) -> click.Command:
        @wraps(function)
        def reserving(*args: Any, **values: Any) -> Any:
            with reserved_output():
                return function(*args, **values)

        decorated = click.option("--db", metavar="ADDRESS", help=DB_HELP)(reserving)
        declare = click.command(name, short_help=short_help)
        declared: click.Command = declare(decorated)
        return declared

    return decorate


def json_option(what: str) -> Callable[[F], F]:
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


tools_option = click.option(
    "--tools",
    multiple=True,
    metavar="MODULE",
    help="Python module with tools or executors; may be given several times.",
)
model_option = click.option(
    "--model",
    metavar="NAME",
    help="Language model, such as openai:gpt-5 or anthropic:...; several with commas between.",
)
plan_argument = click.argument("plan_id", metavar="[ID]", required=False)


def moment_option(name: str, into: str, what: str, *, end: bool) -> Callable[[F], F]:
    """An option for a version of a plan, or a time. The time means the whole day, minute or
    second that it names: its end with ``end``, else its beginning."""

    def read(_: click.Context, __: click.Parameter, value: str | None) -> int | datetime | None:
        if value is None or (value.isdecimal() and len(value) <= 18):
            return None if value is None else int(value)
        try:
            return _time(value, end)
        except (ValueError, OverflowError):
            message = f"{value!r} is neither a version (7) nor a time (2026-11-30T12:05)"
            raise click.BadParameter(message) from None

    return click.option(name, into, metavar="VERSION|TIME", callback=read, help=what)


def _time(text: str, end: bool) -> datetime:
    from datetime import datetime, timedelta

    time = datetime.fromisoformat(text)
    clock = text.partition("T" if "T" in text else " ")[2]
    if not end or "." in clock:
        return time
    one = timedelta(seconds=1) if clock.count(":") > 1 else timedelta(minutes=1)
    return time + (one if clock else timedelta(days=1)) - timedelta(microseconds=1)
