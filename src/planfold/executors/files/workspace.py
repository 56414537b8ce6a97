"""``Workspace``: files below one directory, reached without ever following a link.

Every path is walked from an open descriptor of the directory, one component at a time, and no
component may be a symbolic link. Nothing is checked first and opened later: the file behind a name
may change at any moment, the file behind a descriptor cannot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from planfold.errors import Permanent

PATH_LIMIT = 4_096  # bytes
OWN_FOLDER = ".planfold"
GIT_FOLDER = ".git"  # a write to its hooks or config would run programs later
SETTINGS_FILE = "planfold.toml"
LAUNCH = ".server.html"  # ends that of the file by which a browser gets its launch code
SERVER = ".server"  # ends the name of the file with the service's address and a token
WORKERS = ".workers"  # ends the name of the folder beside the database where workers hold locks
TEMPORARY = ".planfold-tmp-"  # how a half-written file's name begins

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC if hasattr(os, "O_PATH") else 0
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSING = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC}
_PASSING |= {errno.EDQUOT, errno.EINTR, errno.EBUSY, errno.ESTALE}

Parts = tuple[str, ...]


class NotThere(Permanent):
    """There is no such file or folder."""


class Workspace:
    """The directory ``root`` (which may itself be reached through links) and what is below it.

    ``files_dir`` may be read but not written. ``database``, and what SQLite and workers keep beside
    it, is never opened, under none of its names: a process that closes any descriptor of an SQLite
    file loses its locks on it, and with them acknowledged commits. ``.planfold`` and
    ``planfold.toml`` are planfold's own.
    """

    def __init__(
        self, root: Path, files_dir: Path | None = None, database: Path | None = None
    ) -> None:
        self.root = root
        self._real = Path(os.path.realpath(root))
        self._readable = self._below(files_dir)
        self._databases: set[str] = set()  # as it is named, and where that leads
        if database is not None:
            self._databases = {str(database), os.path.realpath(database)}
        folders = [self._below(Path(f"{path}{WORKERS}")) for path in self._databases]
        self._closed = [parts for parts in folders if parts is not None]

    def parts(self, path: str) -> Parts:
        """The components of a path relative to the workspace; an absolute one must be inside it.

        Raises Permanent for "..", NUL, paths outside, and paths of more than 4,096 bytes.
        """
        try:
            size = len(path.encode())
        except UnicodeEncodeError:
            raise Permanent(f"{path!a} is not valid Unicode") from None
        if "\0" in path:
            raise Permanent(f"{_shown(path)} holds a NUL character")
        if size > PATH_LIMIT:
            raise Permanent(f"the path is {size:,} bytes long; the limit is {PATH_LIMIT:,}")
        if not path.strip():
            raise Permanent('the path is empty; "." is the workspace itself')
        found = tuple(part for part in path.split("/") if part not in ("", "."))
        if ".." in found:
            raise Permanent(f'{_shown(path)} holds ".."; give the path from the workspace')
        return self._relative(path, found) if path.startswith("/") else found

    @contextlib.contextmanager
    def folder(self, parts: Parts, *, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder ``parts``. Raises Permanent, OSError for passing faults."""
        with _explained(parts):
            current = os.open(self.root, _FOLDER)
        try:
            for depth, name in enumerate(parts, 1):
                with _explained(parts[:depth]):
                    step = _enter(current, name, create)
                os.close(current)
                current = step
            yield current
        finally:
            os.close(current)

    @contextlib.contextmanager
    def file(self, parts: Parts) -> Iterator[int]:
        """A descriptor of the regular file ``parts``, for reading. Raises Permanent, OSError."""
        self._must_be_file(parts)
        self.allow_reading(parts)
        with self.folder(parts[:-1]) as folder, _explained(parts):
            # Looked at first: to open a device or a pipe may have effects of its own, and to
            # close the database would. What counts is the look at the open descriptor below.
            self._refuse_odd(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), parts)
            descriptor = self._opened(folder, parts)
        try:
            self._refuse_odd(os.fstat(descriptor), parts)
            yield descriptor
        finally:
            os.close(descriptor)

    def _opened(self, folder: int, parts: Parts) -> int:
        """Check through a descriptor that opens nothing (O_PATH), where the system has it: the
        name may refer to the database since the first check."""
        if not (_PATH and os.path.exists("/proc/self/fd")):
            return os.open(parts[-1], _READ, dir_fd=folder)
        place = os.open(parts[-1], _PATH, dir_fd=folder)
        try:
            self._refuse_odd(os.fstat(place), parts)
            return os.open(f"/proc/self/fd/{place}", _READ & ~os.O_NOFOLLOW)
        finally:
            os.close(place)

    def replace(self, parts: Parts, content: bytes, mode: int | None = None) -> None:
        """Write a file atomically and durably; ``mode`` None: as a new file's.

        Makes the folders above it. Raises Permanent, OSError.
        """
        self._must_be_file(parts)
        self.allow_writing(parts)
        name = parts[-1]
        with self.folder(parts[:-1], create=True) as folder, _explained(parts):
            with contextlib.suppress(FileNotFoundError):
                self._refuse_odd(os.stat(name, dir_fd=folder, follow_symlinks=False), parts)
            temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
            descriptor = os.open(temporary, _NEW, 0o666, dir_fd=folder)
            try:
                try:
                    _write_all(descriptor, content)
                    if mode is not None:
                        os.fchmod(descriptor, mode & 0o777)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            os.fsync(folder)

    def allow_reading(self, parts: Parts) -> None:
        """Raises Permanent for planfold's own files, except the results in ``files_dir``."""
        readable = self._readable
        if readable is not None and parts[: len(readable)] == readable:
            return
        if any(part.casefold() == OWN_FOLDER for part in parts) or self._is_closed(parts):
            raise Permanent(f"{_shown(*parts)} belongs to planfold")

    def allow_writing(self, parts: Parts) -> None:
        """Raises Permanent for planfold's own files and git's."""
        names = [part.casefold() for part in parts]
        if GIT_FOLDER in names:
            raise Permanent(f"{_shown(*parts)} belongs to git; tools cannot write there")
        readable = self._readable
        own = OWN_FOLDER in names or names[-1:] == [SETTINGS_FILE] or self._is_closed(parts)
        if own or (readable is not None and parts[: len(readable)] == readable):
            raise Permanent(f"{_shown(*parts)} belongs to planfold; tools cannot write there")

    def _is_closed(self, parts: Parts) -> bool:
        return any(parts[: len(closed)] == closed for closed in self._closed)

    def _below(self, path: Path | None) -> Parts | None:
        if path is None:
            return None
        real = Path(os.path.realpath(path))
        inside = real != self._real and real.is_relative_to(self._real)
        return real.relative_to(self._real).parts if inside else None

    def _relative(self, path: str, found: Parts) -> Parts:
        for root in (Path(os.path.abspath(self.root)), self._real):
            above = root.parts[1:]
            if found[: len(above)] == above:
                return found[len(above) :]
        raise Permanent(f"{_shown(path)} is outside the workspace; give a path relative to it")

    def _must_be_file(self, parts: Parts) -> None:
        if not parts:
            raise Permanent("the workspace itself is not a file")

    def _refuse_odd(self, found: os.stat_result, parts: Parts) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise Permanent(f"{_shown(*parts)} is {file_kind(found.st_mode)}, not a file")
        if (found.st_dev, found.st_ino) in self._database_files():
            raise Permanent(f"{_shown(*parts)} is planfold's database")

    def _database_files(self) -> Iterator[tuple[int, int]]:
        """What the database's files are now, by device and inode: a hard link is one of them."""
        for path in self._databases:
            for suffix in ("", "-wal", "-shm", "-journal", SERVER, LAUNCH):
                with contextlib.suppress(OSError):
                    found = os.stat(f"{path}{suffix}")
                    yield found.st_dev, found.st_ino
            with contextlib.suppress(OSError), os.scandir(f"{path}{WORKERS}") as entries:
                for entry in entries:
                    found = entry.stat()
                    yield found.st_dev, found.st_ino


def file_kind(mode: int) -> str:
    """What a file's mode says it is, for people."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a pipe, socket or device"


def is_passing(error: OSError) -> bool:
    """Whether another attempt may succeed."""
    return error.errno in _PASSING


def _enter(folder: int, name: str, create: bool) -> int:
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            os.fsync(folder)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            raise OSError(errno.ELOOP if stat.S_ISLNK(mode) else errno.ENOTDIR, "") from None
        raise


@contextlib.contextmanager
def _explained(parts: Parts) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_passing(error):
            raise
        kind = NotThere if error.errno == errno.ENOENT else Permanent
        raise kind(f"{_shown(*parts)}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "there is no such file or folder",
        errno.ELOOP: "a symbolic link; links are not followed",
        errno.ENOTDIR: "not a folder",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.ENAMETOOLONG: "the name is too long",
        errno.EISDIR: "a folder, not a file",
        errno.EROFS: "the file system is read-only",
    }
    return reasons.get(error.errno or 0) or os.strerror(error.errno or 0)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _shown(*parts: str) -> str:
    text = "/".join(parts) or "."
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
