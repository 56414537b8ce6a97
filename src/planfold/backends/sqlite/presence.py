"""Who is alive: every worker holds a lock on a small file of its own beside the database.

The kernel drops the lock when the process dies, however it dies, so that its tasks can be taken
over at once instead of when their leases run out. Where locks cannot be had, leases still do.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from planfold.backends.sqlite.connection import MEMORY


def workers_folder(path: str) -> Path | None:
    """Where the workers of the database at ``path`` keep their files; None for one in memory."""
    return None if path == MEMORY else Path(f"{path}.workers")


class Presence:
    """``folder`` None (a database in memory): nobody else can be there."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def enter(self, owner: str) -> None:
        """Say that ``owner`` is alive until :meth:`leave` or the end of this process."""
        if self._folder is None:
            return
        try:
            descriptor = self._create(self._folder, owner)
        except OSError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.forget(owner)
            os.close(descriptor)
        else:
            self._held[owner] = descriptor

    @staticmethod
    def _create(folder: Path, owner: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        folder.mkdir(exist_ok=True)
        try:
            return os.open(folder / owner, flags, 0o600)
        except FileNotFoundError:  # the last one to leave has just removed the folder
            folder.mkdir(exist_ok=True)
            return os.open(folder / owner, flags, 0o600)

    def leave(self, owner: str, *, holds: bool = False) -> None:
        """``owner`` ends. When it still ``holds`` tasks it leaves its file, unlocked, so that
        others see that it is dead and take them over."""
        descriptor = self._held.pop(owner, None)
        if descriptor is not None and self._folder is not None:
            if not holds:
                self.forget(owner)
            os.close(descriptor)
            if not self._held:
                self._remove_folder()

    def is_dead(self, owner: str) -> bool:
        """Whether the process of ``owner`` has certainly ended; False when nobody can tell."""
        if self._folder is None or owner in self._held:
            return False
        try:
            descriptor = os.open(self._folder / owner, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def forget(self, owner: str) -> None:
        """Remove what a dead owner left behind."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / owner).unlink(missing_ok=True)

    def _remove_folder(self) -> None:
        assert self._folder is not None
        with suppress(OSError):  # others are in there
            self._folder.rmdir()
