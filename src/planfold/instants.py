"""Points in time as people write them: ``2026-12-01T09:00[Europe/Zurich]`` (RFC 9557)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from planfold.patterns import pattern

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_FORM: Final = pattern(
    r"(?P<local>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)"
    r"(?P<offset>Z|[+-]\d\d:\d\d)?(?:\[(?P<zone>[A-Za-z0-9_+/-]{1,64})\])?"
)
_EXAMPLE: Final = "2026-12-01T09:00[Europe/Zurich]"


def instant_of(text: str) -> float:
    """The time that ``text`` says, in seconds since the epoch. It has a zone (``[Area/City]``), an
    offset (``+01:00``, ``Z``), or both.

    Where clocks are set forward, a time that they leave out is as much later: 02:30 is 03:30. Where
    they are set back, a time that comes twice is the first one.

    Raises:
        ValueError: it is not such a text, there is no such day or zone, or the two disagree.
    """
    found = _FORM.fullmatch(text.strip().upper() if text.endswith("z") else text.strip())
    if found is None:
        raise ValueError(f"it is not a time such as {_EXAMPLE}")
    local, offset, name = found["local"], found["offset"], found["zone"]
    if offset is None and name is None:
        raise ValueError(f"it has no time zone; write one behind it, as in {_EXAMPLE}, or Z")
    try:
        naive = datetime.fromisoformat(local)
    except ValueError:
        raise ValueError("there is no such day or time") from None
    if not 1970 <= naive.year < 2100:
        raise ValueError("the year must be from 1970 to 2099")
    if name is None:
        return datetime.fromisoformat(f"{local}{offset}").timestamp()
    at = naive.replace(tzinfo=zone_of(name)).timestamp()  # fold=0: as the docstring says
    if offset is None:
        return at
    said = datetime.fromisoformat(f"{local}{offset}").timestamp()
    if naive.replace(tzinfo=zone_of(name), fold=1).timestamp() == said != at:
        return said  # the second of two
    if said != at:
        raise ValueError(f"the offset {offset} is not that of {name} at that time; leave one out")
    return at


def zone_of(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo  # most plans have no times with a zone

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        message = f"there is no time zone {name!r}; use a name such as Europe/Zurich"
        raise ValueError(message) from None


def in_zone(at: float, tz: str) -> str:
    """A time (seconds since the epoch) to the second, as clocks in a time zone show it, with its
    offset from UTC: ``2026-12-01T09:00:00+01:00``. Raises ValueError: there is no such zone."""
    written = datetime.fromtimestamp(int(at), zone_of(tz)).isoformat()
    return f"{written.removesuffix('+00:00')}Z" if written.endswith("+00:00") else written


def in_utc(at: float) -> str:
    """A time (seconds since the epoch) to the second, as ``2026-12-01T08:00:00Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
