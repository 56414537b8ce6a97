"""Names that every backend can store: of aggregates, streams, routes, tools, commands, owners."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from planfold.errors import CommandRejected
from planfold.eventstore.port import Append
from planfold.handler import Enqueue

# Most of a log consists of these. Reading on finds them as fast as an index would, and an index of
# them would cost every commit two pages. The migrations name them too.
DENSE_TYPES = frozenset(("TaskDispatched", "TaskStatusUpdated", "StepStarted", "StepRecorded"))
DENSE_KIND = "plan"


def is_storable(name: str) -> bool:
    """Whether there can be a row with this name: PostgreSQL's text holds neither NUL nor what is
    not Unicode."""
    if "\0" in name:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_storable(names: Iterable[tuple[str, str]]) -> None:
    """Raises ValueError for the first of these pairs (description, name) whose name cannot be
    stored."""
    for what, name in names:
        if not is_storable(name):
            fault = "NUL" if "\0" in name else "a lone surrogate"
            raise ValueError(f"the {what} {name!a} holds {fault}")


_is_name = lru_cache(8192)(is_storable)  # the same few names come with every decision


def require_storable_names(append: Append) -> None:
    """Raises ValueError for the first name in a decision that cannot be stored."""
    names = [append.stream_id, append.aggregate_id]
    if append.owner is not None:
        names.append(append.owner)
    if append.commands or not all(map(_is_name, names)):
        require_storable(_names_of(append))
    for change, _ in append.queue:
        if type(change) is Enqueue and not (_is_name(change.route) and _is_name(change.tool)):
            require_storable(_names_of(append))


def _names_of(append: Append) -> Iterator[tuple[str, str]]:
    """All names that a decision would store, with what they name."""
    yield "stream id", append.stream_id
    yield "aggregate id", append.aggregate_id
    if append.owner is not None:
        yield "owner", append.owner
    for record in append.commands:
        yield "command id", record.command_id
        yield "body hash", record.body_hash
    for change, _ in append.queue:
        if isinstance(change, Enqueue):
            yield "route", change.route
            yield "tool", change.tool


def of_another_kind(aggregate_id: str, kind: str, wanted: str) -> CommandRejected:
    """The error for a stream of one kind (``stream_id``) that is used as another kind. It is not a
    Conflict, because deciding again would not help."""
    return CommandRejected(
        f"{aggregate_id!r} is a stream of the kind {kind!r}, not {wanted!r}; an id belongs to one "
        "kind, so choose another id"
    )
