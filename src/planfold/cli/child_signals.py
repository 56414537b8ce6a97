"""Signals of a child that a tool forks, as a pool of ``multiprocessing`` does.

The child inherits the handlers of the event loop. They do nothing there, so SIGTERM does not end
it; and until Python 3.12 they write to the socket that wakes the loop of the parent, which then
takes the signal for its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_handled: set[int] = set()  # the process whose event loop handles them


@contextmanager
def own_to_children() -> Iterator[None]:
    """Inside the block children that are forked have the usual handlers of a Python process."""
    _register()
    _handled.add(os.getpid())
    try:
        yield
    finally:
        _handled.discard(os.getpid())


@cache
def _register() -> None:
    os.register_at_fork(after_in_child=_reset)


def _reset() -> None:
    if not _handled:
        return
    signal.set_wakeup_fd(-1)
    for number in STOPPING:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    _handled.clear()
