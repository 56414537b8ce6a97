"""Where a plan comes from: a file, standard input, or the words on the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from planfold.errors import ConfigurationError

MOST_BYTES: Final = 64 * 1024 * 1024
_SUFFIXES: Final = (".md", ".json", ".yaml", ".yml", ".txt")


def read_source(source: str) -> tuple[str | bytes, str]:
    """The plan's text, and the name that determines its language ("-" when there is none).

    An existing file wins. What looks like a path must be one; all else is the plan's text.

    Raises:
        ConfigurationError: the file is missing, unreadable or far too big.
    """
    if source == "-":
        return _limited(sys.stdin.buffer.read(MOST_BYTES + 1), "standard input"), "-"
    if not source.strip():
        raise ConfigurationError("the plan is empty; name a file or write a text")
    path = Path(source)
    if _is_there(path):
        return _read(path), source
    if _looks_like_a_path(source):
        raise ConfigurationError(
            f"there is no file {source!r}; write a text of several words to plan from that"
        )
    return source, "-"


def read_plan_file(name: str, source: str) -> tuple[bytes, str] | None:
    """The plan file that a plan names, beside the file that it is in (``-``: in the current
    folder); None where there is none. Raises ConfigurationError: it is unreadable."""
    path = Path(name) if source == "-" else Path(source).parent / name
    return (_read(path), str(path)) if _is_there(path) else None


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ConfigurationError(f"{str(path)!r} is a folder; name a file in it")
    try:
        with path.open("rb") as file:
            return _limited(file.read(MOST_BYTES + 1), str(path))
    except OSError as fault:
        raise ConfigurationError(f"cannot read {str(path)!r}: {fault.strerror}") from None


def _limited(data: bytes, name: str) -> bytes:
    if len(data) > MOST_BYTES:
        raise ConfigurationError(f"{name} is bigger than {MOST_BYTES // 1024 // 1024} MiB")
    return data


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or with a NUL: not a file
        return False


def _looks_like_a_path(source: str) -> bool:
    if "\n" in source or source.lstrip().startswith(("{", "#")):
        return False
    if re.match(r"https?://", source):
        return False
    if "/" in source and not re.search(r"\s", source):
        return True
    return source.lower().endswith(_SUFFIXES) and not re.search(r"\s\S+\s", source)


def is_data(text: str | bytes, name: str) -> bool:
    """Whether the source is a plan in JSON or YAML, and not words."""
    if name.lower().endswith((".json", ".yaml", ".yml")):
        return True
    start = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return name == "-" and start.lstrip("\ufeff \t\r\n").startswith("{")
