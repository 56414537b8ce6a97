"""``--log-json``: what planfold logs, on standard error, one JSON object per line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

G = TypeVar("G", bound="Callable[..., Any]")

_active = False


def log_json_option(function: G) -> G:
    """Adds the option; the command itself does not see it."""
    return click.option(
        "--log-json",
        is_flag=True,
        expose_value=False,
        callback=_begin,
        help="Log to standard error, one JSON object per line.",
    )(function)


def logs_json() -> bool:
    """Whether this command was called with ``--log-json``."""
    return _active


def _begin(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    global _active
    import logging
    import sys

    if not wanted:  # the command prints these facts itself; Python would print its warnings too
        plans, nothing = logging.getLogger("planfold.plans"), logging.NullHandler()
        plans.addHandler(nothing)
        context.call_on_close(lambda: plans.removeHandler(nothing))
        return

    class JsonLines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return _line(record, self)

    logger, handler = logging.getLogger("planfold"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    before, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    _active = True

    def end() -> None:
        global _active
        _active = False
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = propagates

    context.call_on_close(end)


def _line(record: Any, formatter: Any) -> str:
    import json
    from datetime import UTC, datetime

    from planfold.runtime.facts import FIELDS

    found = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    found |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
    if record.exc_info:
        found["exception"] = formatter.formatException(record.exc_info)
    return json.dumps(found)
