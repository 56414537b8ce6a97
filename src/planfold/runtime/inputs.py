"""What callers give: names, texts and commands that cannot be recorded are refused at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from planfold.errors import CommandRejected
from planfold.eventstore.codec import is_too_deep, is_whole, require_finite
from planfold.eventstore.port import EventStore
from planfold.planner.waits import KEY_CHARACTERS, SIGNAL_NAME
from planfold.printable import unicode_fault

C = TypeVar("C")

# Fields in which NUL is refused: it means nothing there, and PostgreSQL's text cannot hold it.
# Elsewhere it is allowed, because the output of programs may hold it.
_NAMES: Final = frozenset(
    ("approved_by", "approve_as", "by", "goal", "key", "label", "model", "name", "profile")
) | {"revision_hash", "route", "route_limits", "title"}
_VALUES: Final = frozenset(("arguments", "partial", "result", "value"))
LONGEST_ID: Final = 512  # bytes of UTF-8: PostgreSQL's indexes take 2,704 for all their columns
_NUL: Final = b"\\u0000"


def check_text(field: str, text: object, *, nul: bool = True) -> None:
    """Raises CommandRejected where ``text`` cannot be recorded; ``nul``: NUL is refused too."""
    if not isinstance(text, str):
        raise CommandRejected(f"{field} must be a text (str), not {type(text).__name__}")
    if fault := unicode_fault(text, nul=nul):
        raise CommandRejected(f"{field} {fault}; remove that character")


def check_id(field: str, text: object) -> None:
    """Raises CommandRejected where ``text`` cannot be an id: it is empty or cannot be recorded."""
    check_text(field, text)
    if not text:
        raise CommandRejected(f"{field} is empty; leave it out to have one made, or give a text")


def check_length(field: str, text: str) -> None:
    """Raises CommandRejected where an id is longer than ``LONGEST_ID``."""
    if len(text) * 4 > LONGEST_ID and (length := len(text.encode(errors="replace"))) > LONGEST_ID:
        raise CommandRejected(
            f"{field} is {length:,} bytes long, and the limit is {LONGEST_ID}; give a shorter one, "
            "such as a hash of it"
        )


def check_signal(name: object, key: object) -> None:
    """Raises CommandRejected where these cannot be the name and the key of a signal."""
    check_text("name", name)
    check_text("key", key)
    if not SIGNAL_NAME.fullmatch(str(name)):
        raise CommandRejected(
            f"name {str(name)[:50]!r} is not the name of a signal; use 1 to 200 letters, digits "
            "and . _ : / -"
        )
    if not 0 < len(str(key)) <= KEY_CHARACTERS:
        raise CommandRejected(f"key must have 1 to {KEY_CHARACTERS:,} characters")


async def check_new_id(field: str, text: str, store: EventStore) -> None:
    """:func:`check_id` and :func:`check_length`; but a stream that exists may have a longer id, as
    older ones in SQLite."""
    check_id(field, text)
    try:
        check_length(field, text)
    except CommandRejected:
        if not await store.version(text):
            raise


def recordable_command(command: C) -> C:
    """A copy of a command as the log would return it. It shares no objects with the caller, so
    that later changes by the caller do not change the plan.

    Raises:
        CommandRejected: it cannot be recorded, with the field: a lone surrogate, NUL in a name, a
            value of another type, NaN, or too deep nesting.
    """
    try:
        data = _json(command)
        if data is None or _NUL in data:
            _check_texts(command)
        return as_recorded(command)
    except (ValueError, TypeError, OverflowError, RecursionError) as fault:
        raise CommandRejected(f"the command cannot be recorded: {fault}") from None


def as_recorded(value: C) -> C:
    """``value`` after conversion to JSON and back. Raises ValueError, TypeError, OverflowError or
    RecursionError where it cannot be recorded."""
    data = msgspec.json.encode(value)
    if is_too_deep(data):
        raise ValueError("it nests too deeply")
    read = msgspec.json.decode(data, type=type(value))
    if b"null" in data:  # msgspec writes NaN and infinity as null
        require_finite("it", value)
    if msgspec.json.encode(read) != data and not is_whole(read, data):
        raise ValueError("reading it back would lose a part")
    return read


def _json(command: Any) -> bytes | None:
    """None where a text in it is not valid Unicode."""
    try:
        return msgspec.json.encode(command)
    except UnicodeEncodeError:
        return None


def _check_texts(command: Any) -> None:
    for path, text in _texts("", msgspec.to_builtins(command, str_keys=True)):
        steps = path.replace("[", ".").split(".")
        is_name = not _NAMES.isdisjoint(steps) and _VALUES.isdisjoint(steps)
        check_text(path.removeprefix("event."), text, nul=is_name)


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in ``value``, with the path of its field; keys count as texts of their object."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield path, key
            yield from _texts(f"{path}.{key}" if path else key, item)
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _texts(f"{path}[{place}]", item)
