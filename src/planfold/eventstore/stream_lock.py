"""What the stream locks of both backends share. They only avoid conflicts; correctness does not
depend on them."""

from __future__ import annotations

from typing import Final

WAIT_S: Final = 2.0  # for the lock; a process that holds it for longer is suspended
WITHOUT_S: Final = 5.0  # for which no lock is asked for, after one that was not to be had


def not_locked() -> None:
    """Release nothing: the lock of the stream could not be had."""
