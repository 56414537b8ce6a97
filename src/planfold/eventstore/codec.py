"""``Codec``: events to JSON and back, from a closed registry; nothing else is ever decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from planfold.errors import ConfigurationError, CorruptLog

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""One pure step from an event's data at one version to its data at the next."""


class EventType(msgspec.Struct, frozen=True):
    """A registered event: its class, its present version, and the steps from version 1 on."""

    event: type
    version: int = 1
    upcasters: tuple[Upcaster, ...] = ()


class Codec:
    """Raises ConfigurationError when two events have one name or an upcaster is missing."""

    def __init__(self, types: Iterable[EventType] = ()) -> None:
        self._types: dict[str, EventType] = {}
        self._decoders: dict[tuple[str, int], Callable[[str], Any]] = {}
        self._encoder = msgspec.json.Encoder()
        for event_type in types:
            self.register(event_type)

    def register(self, event_type: EventType) -> None:
        name = event_type.event.__name__
        known = self._types.setdefault(name, event_type)
        if known.event is not event_type.event:
            raise ConfigurationError(f"two events are called {name!r}; rename one of them")
        if len(event_type.upcasters) != event_type.version - 1:
            raise ConfigurationError(
                f"{name} is at version {event_type.version} and needs "
                f"{event_type.version - 1} upcasters, not {len(event_type.upcasters)}"
            )
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(event_type.event)
        self._decoders[name, event_type.version] = decoder.decode

    def encode(self, event: Any) -> tuple[str, int, str]:
        """The event's type, version and JSON.

        Raises:
            ConfigurationError: its type is not registered.
            ValueError: it holds something that JSON cannot (lone surrogates, too deep nesting).
        """
        name = type(event).__name__
        known = self._types.get(name)
        if known is None or known.event is not type(event):
            raise ConfigurationError(f"{name} is not a registered event type")
        try:
            return name, known.version, self._encoder.encode(event).decode()
        except (UnicodeEncodeError, RecursionError, TypeError) as fault:
            raise ValueError(f"{name} cannot be written as JSON: {fault}") from None

    def decode(self, name: str, version: int, data: str) -> Any:
        """The event, upcast to its present version.

        Raises:
            CorruptLog: unknown type, newer version, or data of another shape.
        """
        try:
            decode = self._decoders.get((name, version))
            if decode is not None:
                return decode(data)
            return self._upcast(name, version, data)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as fault:
            raise CorruptLog(
                f"{name} (version {version}) does not have its shape: {fault}"
            ) from None

    def _upcast(self, name: str, version: int, data: str) -> Any:
        known = self._types.get(name)
        if known is None:
            raise CorruptLog(f"event type {name!r} is unknown; upgrade planfold or register it")
        if not 1 <= version <= known.version:
            raise CorruptLog(
                f"{name} has version {version}, this planfold knows up to {known.version}; upgrade"
            )
        value = msgspec.json.decode(data)
        for step in known.upcasters[version - 1 :]:
            value = step(value)
        return msgspec.convert(value, known.event)


def event_types(
    events: Iterable[type], upcasters: Mapping[type, tuple[Upcaster, ...]] | None = None
) -> tuple[EventType, ...]:
    """Register ``events``; those with upcasters are at the version after the last step."""
    steps = upcasters or {}
    return tuple(EventType(e, len(steps.get(e, ())) + 1, steps.get(e, ())) for e in events)
