"""What a vendor that asks to wait says to the attempt that calls it, so that others wait too."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

heed_retry_after: Final[ContextVar[Callable[[float], None] | None]] = ContextVar(
    "heed_retry_after", default=None
)
"""Called with the seconds; None outside of an attempt."""
