"""``decide``: commands and a handler in, one decision out. Pure: no clock, no I/O, no event loop.

The dispatcher loads the handler, lets :func:`decide` run and appends the decision; nothing else
happens between a command and its events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from planfold.errors import Conflict, PlanfoldError
from planfold.handler import Handler, Metadata, QueueChange, StreamPhase, event_id

SMALL_COMMAND = 256  # bytes of JSON: larger commands are not recorded beside their events

KnownCommands = Mapping[str, tuple[str, str] | None]
"""Aggregate and body hash of each command id that was recorded before; None: it was not."""

_encode = msgspec.json.Encoder().encode


class Delivery(msgspec.Struct, eq=False):
    """A command with where it comes from.

    A ``body_hash`` makes the command idempotent: under its ``command_id`` it is decided once.
    ``recorded``: the command is written beside its first event, where it is small.
    It is refused unless its stream is at ``expected_version`` (None: at any version).
    """

    command: Any
    command_id: str = ""
    body_hash: str = ""
    origin: Metadata = Metadata()
    recorded: bool = False
    expected_version: int | None = None


def body_hash(aggregate_id: str, command: Any) -> str:
    """Identifies a command among others that are sent under its id: 32 hexadecimal digits."""
    import hashlib  # few processes need it

    body = _encode((aggregate_id, type(command).__name__, command))
    return hashlib.blake2b(body, digest_size=16).hexdigest()


class Stream(msgspec.Struct, frozen=True, gc=False):
    """Whose commands are decided, and the version and correlation id of its stream."""

    aggregate_id: str = ""
    version: int = 0
    correlation_id: str = ""


NEW: Final = Stream()
NONE_KNOWN: Final[KnownCommands] = {}


class Decision(msgspec.Struct, eq=False):  # not gc=False: the traceback of a refusal holds it
    """The result of one round of commands: ``events`` with their metadata, in order; ``queue``
    changes with the version of their event; ``head``, ``due_at``, ``size`` and ``phase`` as in
    :class:`Outlook`; and the answer to each command, in order: its own events, or the error that
    refused it."""

    now: float
    correlation_id: str
    events: list[tuple[Any, Metadata]] = []
    queue: list[tuple[QueueChange, int]] = []
    head: dict[str, Any] = {}
    due_at: float | None = None
    size: int = 0
    phase: StreamPhase = "active"
    answers: list[list[Any] | PlanfoldError] = []


def decide(
    handler: Handler[Any, Any],
    deliveries: Sequence[Delivery],
    now: float,
    stream: Stream = NEW,
    known: KnownCommands = NONE_KNOWN,
) -> Decision:
    """Decide commands one after the other on ``handler``, which is advanced in place, then what
    follows from them (:meth:`Handler.outlook`). ``now``: seconds since the epoch.

    A refused command changes nothing and its error is its answer. Any other exception passes
    through; the caller must then discard the handler, which may be partly updated.
    """
    handler.recorded_at = now
    decision = Decision(now, stream.correlation_id)
    seen: dict[str, tuple[str, str]] = {}
    for delivery in deliveries:
        expected = delivery.expected_version
        try:
            repeated = delivery.body_hash and _is_repeated(delivery, stream, known, seen)
            if expected is not None and not repeated:
                _check_version(expected, stream.version + len(decision.events))
            events = [] if repeated else handler.process(delivery.command)
        except PlanfoldError as refusal:
            decision.answers.append(refusal)
            continue
        decision.answers.append(events)
        if events:
            metadata = _metadata(decision, stream, delivery)
            if delivery.recorded:
                _take(handler, decision, events[:1], _with_command(metadata, delivery))
                events = events[1:]
            if events:
                _take(handler, decision, events, metadata)
    if decision.events:
        _follow(handler, decision, stream)
    return decision


def _is_repeated(
    delivery: Delivery,
    stream: Stream,
    known: KnownCommands,
    seen: dict[str, tuple[str, str]],
) -> bool:
    body = (stream.aggregate_id, delivery.body_hash)
    earlier = seen.get(delivery.command_id) or known.get(delivery.command_id)
    if earlier not in (None, body):
        raise Conflict(f"command id {delivery.command_id!r} was used for another command").about(
            "command id"
        )
    seen[delivery.command_id] = body
    return earlier is not None


def _check_version(expected: int, version: int) -> None:
    if expected != version:
        raise Conflict(
            f"the stream is at version {version}, not {expected}; look at it again"
        ).about("version")


def _metadata(decision: Decision, stream: Stream, delivery: Delivery) -> Metadata:
    origin = delivery.origin
    correlation_id = decision.correlation_id or origin.correlation_id or stream.aggregate_id
    decision.correlation_id = correlation_id
    at = getattr(delivery.command, "now", decision.now)
    return Metadata(
        origin.correlation_id or correlation_id,
        delivery.command_id,
        origin.extra,
        0.0 if at == decision.now else at,
        origin.jitter,
        origin.worker,
        origin.claimed_at,
        origin.began_at,
        origin.command,
    )


def _with_command(metadata: Metadata, delivery: Delivery) -> Metadata:
    try:
        data = _encode(delivery.command)
    except (TypeError, ValueError, OverflowError, RecursionError):  # your own kind of command
        return metadata
    if len(data) > SMALL_COMMAND:
        return metadata
    command = {type(delivery.command).__name__: msgspec.json.decode(data)}
    return msgspec.structs.replace(metadata, command=command)


def _take(
    handler: Handler[Any, Any], decision: Decision, events: Sequence[Any], metadata: Metadata
) -> None:
    for event in events:
        handler.apply(event)
        decision.events.append((event, metadata))


def _follow(handler: Handler[Any, Any], decision: Decision, stream: Stream) -> None:
    """Decide what follows, until nothing does."""
    events: Sequence[Any] = [event for event, _ in decision.events]
    last = stream.version
    while True:
        outlook = handler.outlook(events, decision.now)
        if outlook.queue:
            decision.queue += [(change, last + place + 1) for place, change in outlook.queue]
        last = stream.version + len(decision.events)
        command = outlook.command
        if command is None:
            decision.head, decision.due_at = outlook.head, outlook.due_at
            decision.size, decision.phase = outlook.size, outlook.phase
            return
        events = handler.process(command)
        if not events:
            raise RuntimeError(f"{command!r} was a follow-up command but produced no events")
        cause = f"{event_id(stream.aggregate_id, last)}/{type(command).__name__}"
        _take(handler, decision, events, Metadata(decision.correlation_id, cause))
