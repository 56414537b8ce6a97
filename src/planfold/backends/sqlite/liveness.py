"""Liveness of workers: each holds a lock on a small file of its own beside the database.

The kernel drops the lock when the process dies, however it dies, so that its tasks can be taken
over immediately. While the lock is held they are never taken over, regardless of the clock. Where
locks are not available, leases decide.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import suppress
from pathlib import Path

from planfold.backends.sqlite.connection import MEMORY


def workers_folder(path: str) -> Path | None:
    """Where the workers of the database at ``path`` keep their files; None for one in memory."""
    return None if path == MEMORY else Path(f"{path}.workers")


class Liveness:
    """Knows which owners live. ``folder`` None (a database in memory): every owner is in this
    process."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held: dict[str, int | None] = {}  # the locked descriptor; None without a folder
        _INSTANCES.add(self)

    def enter(self, owner: str) -> None:
        """Mark ``owner`` as alive until :meth:`leave` or the end of this process. Calling it again
        does nothing."""
        if owner in self._held:
            return
        if self._folder is None:
            self._held[owner] = None
            return
        with suppress(OSError):  # without a lock its leases decide
            self._held[owner] = self._locked_file(self._folder, owner)

    @staticmethod
    def _locked_file(folder: Path, owner: str) -> int:
        """Create the file, lock it, and only then give it its name: an unlocked file with this name
        would mean that its owner is dead."""
        unnamed = folder / f".{owner}"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(unnamed, flags, 0o600)
        except FileNotFoundError:  # the last one to leave has just removed the folder
            folder.mkdir(exist_ok=True)
            descriptor = os.open(unnamed, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(folder / owner)
        except OSError:
            unnamed.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return descriptor

    def leave(self, owner: str, *, holds: bool = False) -> None:
        """``owner`` ends. When it still ``holds`` tasks it leaves its file, unlocked, so that
        others see that it is dead and take them over."""
        descriptor = self._held.pop(owner, None)
        if descriptor is not None:
            if not holds:
                self.forget(owner)
            with suppress(OSError):  # a child that was forked may hold the descriptor too
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
            if not self._held:
                self._remove_folder()

    def is_alive(self, owner: str) -> bool | None:
        """Whether the process of ``owner`` lives; None when that is unknown."""
        if owner in self._held:
            return True
        if self._folder is None:
            return None
        try:
            descriptor = os.open(self._folder / owner, os.O_RDWR | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        try:
            # Shared, so that two who look at the same time do not take each other for the owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return False

    def is_dead(self, owner: str) -> bool:
        """Whether the process of ``owner`` has certainly ended."""
        return self.is_alive(owner) is False

    def forget(self, owner: str) -> None:
        """Remove what a dead owner left behind."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / owner).unlink(missing_ok=True)

    def disown(self) -> None:
        """Release the locks in a forked child. A lock lives until the last copy of its descriptor
        is closed, so a child that outlives the worker would otherwise keep its tasks for ever."""
        held, self._held = self._held, {}
        for descriptor in held.values():
            if descriptor is not None:
                os.close(descriptor)

    def _remove_folder(self) -> None:
        assert self._folder is not None
        with suppress(OSError):  # others are in there
            self._folder.rmdir()


_INSTANCES: weakref.WeakSet[Liveness] = weakref.WeakSet()


def _disown_all() -> None:
    for liveness in list(_INSTANCES):
        liveness.disown()


os.register_at_fork(after_in_child=_disown_all)
