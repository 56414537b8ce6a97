"""``StreamLock``: processes that decide on one stream take turns, by a lock on the folder of the
workers' files."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from planfold.eventstore.stream_lock import WAIT_S, WITHOUT_S, not_locked

LOOK_S: Final = 0.001


class StreamLock:
    """One lock for all streams of a database, because one process writes to the file at a time
    anyway. ``folder`` None (a database in memory): there is no other process."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._not_before = 0.0  # loop time
        self._held: set[int] = set()  # descriptors
        self._after = 0.0  # loop time at which others that wait have looked

    def close(self) -> None:
        """Release what is held."""
        for descriptor in list(self._held):
            self._unlock(descriptor)

    async def lock(self) -> Callable[[], None]:
        """See :meth:`EventStore.lock_stream`."""
        loop = asyncio.get_running_loop()
        if self._folder is None or loop.time() < self._not_before:
            return not_locked
        await asyncio.sleep(self._after - loop.time())
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no worker is there
            return not_locked
        try:
            if await _locked(descriptor, loop.time() + WAIT_S):
                self._held.add(descriptor)
                return partial(self._unlock, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        self._not_before = loop.time() + WITHOUT_S
        return not_locked

    def _unlock(self, descriptor: int) -> None:
        if descriptor in self._held:
            self._held.remove(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child may hold the descriptor too
            os.close(descriptor)
            self._after = asyncio.get_running_loop().time() + 2 * LOOK_S


async def _locked(descriptor: int, until: float) -> bool:
    loop = asyncio.get_running_loop()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if loop.time() >= until:
                return False
        except OSError:  # this file system has no such locks
            return False
        else:
            return True
        await asyncio.sleep(LOOK_S * random.uniform(0.5, 1.5))
