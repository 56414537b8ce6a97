"""What the locks of streams have in common. They spare conflicts, and nothing depends on them."""

from __future__ import annotations

from typing import Final

WAIT_S: Final = 2.0  # for the lock; a process that holds it for longer is suspended
WITHOUT_S: Final = 5.0  # for which no lock is asked for, after one that was not to be had


def not_locked() -> None:
    """Releases the lock of a stream that was not to be had."""
