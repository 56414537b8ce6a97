"""What may be recorded: JSON and nothing else, the same on every attempt and after every replay."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from planfold.errors import Permanent

RESULT_LIMIT = 1024 * 1024  # bytes of JSON


def recordable(value: Any, what: str, limit: int = RESULT_LIMIT) -> Any:
    """``value`` as it will be read back from the log: plain dicts, lists, str, numbers, None.

    Dataclasses, msgspec Structs, dates, UUIDs, sets and similar types are converted by msgspec.
    ``limit`` is in bytes of JSON; ``what`` names the value in an error. Raises Permanent
    when it is not JSON: unknown types, NaN and infinity, lone surrogates, cycles, too large.
    """
    if value is None or value is True or value is False:
        return value
    try:
        encoded = msgspec.json.encode(value)
        if len(encoded) > limit:
            raise Permanent(f"{what} is too large: {len(encoded):,} bytes of JSON, limit {limit:,}")
        if b"null" in encoded and _holds_no_number(value):  # msgspec writes null for those
            raise Permanent(f"{what} is not JSON: NaN or infinity")
        return msgspec.json.decode(encoded)
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise Permanent(f"{what} is not JSON: text with a lone surrogate (U+{code:04X})") from None
    except RecursionError:
        raise Permanent(f"{what} is not JSON: it is nested too deeply or contains itself") from None
    except (ValueError, TypeError) as error:
        raise Permanent(f"{what} is not JSON: {error}") from None


def _holds_no_number(value: Any) -> bool:
    """Whether a float that JSON has no number for is anywhere in ``value``."""
    stack = [msgspec.to_builtins(value, str_keys=True)]
    while stack:
        item = stack.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return True
        if isinstance(item, dict):
            stack += item.values()
        elif isinstance(item, (list, tuple)):
            stack += item
    return False


def as_text(text: object) -> str:
    """``str(text)`` that can be recorded: lone surrogates are escaped, a failing str() is named."""
    try:
        return str(text).encode("utf-8", "backslashreplace").decode()
    except Exception:
        return f"<{type(text).__name__} that cannot be printed>"
