"""Files that are written atomically."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from planfold.errors import ConfigurationError, PlanfoldError, Transient


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, under another name until the block has ended without a fault and all
    of it, and its name, is on the disk.

    Raises:
        ConfigurationError: ``path`` cannot be written, or exists and must not be overwritten.
        Transient: the disk is full.
    """
    target = Path(os.path.realpath(path))
    _check(target, path, overwrite)
    working = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with naming(path):
        file = open(working, "xb")  # noqa: SIM115 - closed below, before it gets its name
    try:
        with naming(path):
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _check(target, path, overwrite)
            os.rename(working, target)
            _sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            working.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise what the system says of ``path`` in planfold's words."""
    try:
        yield
    except OSError as fault:
        raise _translated(fault, path) from None
    except ValueError as fault:  # NUL or lone surrogates
        raise ConfigurationError(f"cannot open {str(path)!a}: {fault}") from None


def _translated(fault: OSError, path: Path) -> PlanfoldError:
    if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Transient(f"the disk of {path} is full; nothing was written there, free some space")
    if fault.errno == errno.ENOENT:
        return ConfigurationError(f"there is no file {path}, or no such folder; name another")
    return ConfigurationError(f"cannot use {path}: {fault.strerror}; name another file")


def _check(target: Path, path: Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_file():
        raise ConfigurationError(f"{path} is not a file; name another, or write - for the output")
    if not overwrite:
        raise ConfigurationError(
            f"{path} already exists; name another file, or overwrite it"
        ).about("existing file")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
