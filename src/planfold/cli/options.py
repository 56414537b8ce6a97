"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from planfold.cli.streams import reserved_output

_UNITS: Final = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}
T = TypeVar("T")

if TYPE_CHECKING:
    from datetime import datetime

F = TypeVar("F", bound=Callable[..., Any])

DB_HELP: Final = (
    "Database, sqlite:///path or postgresql://... Default: PLANFOLD_DB, else .planfold/planfold.db."
)


SERVER: Final = "planfold.cli.server"  # in the meta of the context
TOKEN_FILE: Final = "planfold.cli.token_file"


def _kept(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta[key] = value

    return keep


def server_options(function: F) -> F:
    """``--server`` and ``--token-file``, before or after the command."""
    for name, key, metavar, words in (
        ("--token-file", TOKEN_FILE, "FILE", "Where the token for the service is."),
        ("--server", SERVER, "URL", "Ask this service instead of a database."),
    ):
        function = click.option(
            name, metavar=metavar, help=words, expose_value=False, callback=_kept(key)
        )(function)
    return function


def command(name: str, short_help: str | None = None) -> Callable[[F], click.Command]:
    """A command with ``--db``; what its function returns is the exit code."""

    def decorate(function: F) -> click.Command:
        @wraps(function)
        def reserving(*args: Any, **values: Any) -> Any:
            with reserved_output():
                return function(*args, **values)

        decorated = server_options(click.option("--db", metavar="ADDRESS", help=DB_HELP)(reserving))
        declare = click.command(name, short_help=short_help)
        declared: click.Command = declare(decorated)
        return declared

    return decorate


class Age(click.ParamType[float]):
    """A time span in seconds, written with its unit: 12h, 90d, 2w."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        match = re.fullmatch(r"(\d{1,6})([hdw])", str(value))
        if match is None:
            self.fail(
                f"{value!r} is not an age; write 12h (hours), 90d (days) or 2w (weeks)", param, ctx
            )
        return float(int(match[1]) * _UNITS[match[2]])


class WholeNumber(click.ParamType[int]):
    """An integer from ``least`` to ``most`` (None: no bound)."""

    name = "integer"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self._least - 1
        if number < self._least or (self._most is not None and number > self._most):
            to = "" if self._most is None else f" to {self._most}"
            self.fail(f"{str(value)!r} is not a whole number from {self._least}{to}", param, ctx)
        return number


class Assignment(click.ParamType[tuple[str, T]]):
    """NAME=NUMBER, as the name and the number that ``number`` makes of the text."""

    name = "assignment"

    def __init__(self, number: Callable[[str], T]) -> None:
        self._number = number

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, T]:
        name, _, text = str(value).rpartition("=")
        try:
            number = self._number(text)
        except ValueError:
            name = ""
        if not name:
            self.fail(f"{value!r} is not of the form NAME=NUMBER", param, ctx)
        return name, number


def json_option(what: str) -> Callable[[F], F]:
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


tools_option = click.option(
    "--tools",
    multiple=True,
    metavar="MODULE",
    help="Python module with tools or executors; may be repeated.",
)
model_option = click.option(
    "--model",
    metavar="NAME",
    help="Language model, such as openai:gpt-5 or anthropic:...; several with commas between.",
)
repeat_option = click.option(
    "--repeat",
    multiple=True,
    metavar="TASK",
    help="Let a task of effect `once` happen again; may be repeated.",
)


reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; kept in the log.")


def _values(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (sign and name):
            raise click.BadParameter(f"{name!r} is not of the form NAME=VALUE")
        if name in values:
            raise click.BadParameter(f"{name} is given twice")
        values[name] = value
    return values


set_option = click.option(
    "--set",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_values,
    help="The value of a parameter of the plan; may be repeated.",
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
