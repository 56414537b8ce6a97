"""What ``typed_usage`` shows works, not only for type checkers (``make check`` runs mypy on it)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import typed_usage

SHOWN = [
    value
    for value in vars(typed_usage).values()
    if inspect.iscoroutinefunction(value) and value.__module__ == typed_usage.__name__
]


@pytest.mark.parametrize("show", SHOWN, ids=lambda show: show.__name__)
async def test_it_works(show: Callable[..., Awaitable[Any]], tmp_path: Path) -> None:
    takes_folder = bool(inspect.signature(show).parameters)
    await (show(tmp_path) if takes_folder else show())
