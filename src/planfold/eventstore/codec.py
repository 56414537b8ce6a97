"""``Codec``: events to JSON and back, from a closed registry; nothing else is ever decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from planfold.errors import ConfigurationError, CorruptLog

MAX_DEPTH = 200  # what nests deeper may be readable or not, depending on who calls the decoder

_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))

UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeError)
"""What decoding data of another shape raises."""

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
        self._decoders = _EventDecoders(self._types)
        self._names: dict[type, tuple[str, int]] = {}
        self._encode_json = msgspec.json.Encoder().encode
        for event_type in types:
            self.register(event_type)

    def register(self, event_type: EventType) -> None:
        """Add an event type; see the class for the errors."""
        name = event_type.event.__name__
        known = self._types.setdefault(name, event_type)
        if known.event is not event_type.event:
            raise ConfigurationError(f"two events are called {name!r}; rename one of them")
        if len(event_type.upcasters) != event_type.version - 1:
            raise ConfigurationError(
                f"{name} is at version {event_type.version} and needs "
                f"{event_type.version - 1} upcasters, not {len(event_type.upcasters)}"
            )
        self._names[event_type.event] = (name, event_type.version)

    def encode(self, event: Any) -> tuple[str, int, str]:
        """The event's type, version and JSON; see :meth:`encode_bytes`."""
        name, version, data = self.encode_bytes(event)
        return name, version, data.decode()

    def encode_bytes(self, event: Any) -> tuple[str, int, bytes]:
        """The event's type, version and JSON, which :meth:`decode` can read: that is tried.

        Raises:
            ConfigurationError: its type is not registered.
            ValueError: it holds something that JSON cannot (lone surrogates, NaN, too deep
                nesting), or a value that is not of its field's type.
        """
        known = self._names.get(type(event))
        if known is None:
            raise ConfigurationError(f"{type(event).__name__} is not a registered event type")
        name, version = known
        try:
            data = self._encode_json(event)
        except (UnicodeEncodeError, RecursionError, TypeError, OverflowError) as fault:
            raise ValueError(f"{name} cannot be written as JSON: {fault}") from None
        if len(data) > 2 * MAX_DEPTH and is_too_deep(data):
            raise ValueError(f"{name} cannot be written: it nests deeper than {MAX_DEPTH} levels")
        try:
            decoded = self._decoders[known](data)
        except UNREADABLE as fault:
            raise ValueError(
                f"{name} cannot be recorded, because it could not be read back: {fault}; give "
                "that field a value of its type"
            ) from None
        if decoded == event:  # nearly always
            return name, version, data
        if self._encode_json(decoded) != data and not is_whole(decoded, data):
            raise ValueError(
                f"{name} cannot be recorded, because reading it back would lose a part; give its "
                "fields values of their types, and no mapping with other keys"
            )
        if b"null" in data:  # msgspec writes NaN and infinity as null
            require_finite(name, event)
        return name, version, data

    def decode(self, name: str, version: int, data: str | bytes) -> Any:
        """The event, upcast to its present version.

        Raises:
            CorruptLog: unknown type, newer version, or data of another shape.
        """
        try:
            return self.decoder(name, version)(data)
        except UNREADABLE as fault:
            raise CorruptLog(
                f"{name} (version {version}) does not have its shape: {fault}"
            ) from None

    def decoder(self, name: str, version: int) -> Callable[[str | bytes], Any]:
        """What :meth:`decode` decodes events of this type and version with; it raises
        ``UNREADABLE`` for data of another shape."""
        known = self._types.get(name)
        if known is not None and known.version == version:
            return self._decoders[name, version]
        return partial(self._upcast, name, version)

    def _upcast(self, name: str, version: int, data: str | bytes) -> Any:
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


class _EventDecoders(dict[tuple[str, int], Callable[[str | bytes], Any]]):
    """Those of the present versions. Each is made when it is first needed: making all of them takes
    longer than most commands of the terminal need."""

    def __init__(self, types: Mapping[str, EventType]) -> None:
        self._types = types

    def __missing__(self, key: tuple[str, int]) -> Callable[[str | bytes], Any]:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._types[key[0]].event)
        self[key] = decoder.decode
        return decoder.decode


def own(value: Any) -> Any:
    """A copy of a value that was read from JSON, which the caller may change."""
    if isinstance(value, dict | list):
        return msgspec.json.decode(msgspec.json.encode(value))
    return value


def is_whole(read: Any, data: bytes) -> bool:
    """Whether ``read`` holds all that ``data`` says, if perhaps in other words: an integer for a
    float, the members of a set in another order, a default that is written out."""
    said = msgspec.json.decode(data)
    return msgspec.json.encode(said) == data and _holds(read, said)  # no key comes twice


def _holds(read: Any, said: Any) -> bool:
    if isinstance(said, dict):
        return _holds_fields(read, said)
    if isinstance(said, list):
        if isinstance(read, set | frozenset):
            return len(read) == len(said)
        items = read if isinstance(read, list | tuple) else None
        return items is None or (len(items) == len(said) and all(map(_holds, items, said)))
    if isinstance(said, int | float) and isinstance(read, int | float):
        return read == said
    return True


def _holds_fields(read: Any, said: dict[str, Any]) -> bool:
    import dataclasses  # seldom needed

    if isinstance(read, dict):
        return len(read) == len(said) and all(map(_holds, read.values(), said.values()))
    fields: dict[str, str] = {}
    if isinstance(read, msgspec.Struct):
        fields = dict(zip(read.__struct_encode_fields__, read.__struct_fields__, strict=True))
    elif dataclasses.is_dataclass(read):
        fields = {field.name: field.name for field in dataclasses.fields(read)}
    else:
        return True
    config = getattr(read, "__struct_config__", None)
    tag = config.tag_field if config is not None else None
    return all(
        key == tag or (key in fields and _holds(getattr(read, fields[key]), item))
        for key, item in said.items()
    )


def require_finite(what: str, value: Any) -> None:
    """Raises ValueError where ``value`` holds a number that JSON has not."""
    import json  # seldom needed

    try:
        json.dumps(msgspec.to_builtins(value, str_keys=True), allow_nan=False)
    except ValueError:
        raise ValueError(
            f"{what} cannot be recorded: it holds NaN or infinity, which JSON has no number for; "
            "give it a finite number or a text"
        ) from None


def is_too_deep(data: bytes) -> bool:
    """Whether valid JSON nests deeper than ``MAX_DEPTH`` levels."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    outside_strings = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside_strings).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):  # each round takes the innermost level away
        brackets = brackets.replace(b"()", b"")
        if not brackets:
            return False
    return True


def event_types(
    events: Iterable[type], upcasters: Mapping[type, tuple[Upcaster, ...]] | None = None
) -> tuple[EventType, ...]:
    """Register ``events``; those with upcasters are at the version after the last step."""
    steps = upcasters or {}
    return tuple(EventType(e, len(steps.get(e, ())) + 1, steps.get(e, ())) for e in events)
