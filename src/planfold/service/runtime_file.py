"""The runtime file: how local programs find the service of a database, and a token for it.

It is beside an SQLite database, else in the user's state folder; only its owner can read it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from planfold.databases import database_path, shown_address
from planfold.errors import ConfigurationError
from planfold.executors.files.workspace import LAUNCH, SERVER

_REMEDY: Final = "set XDG_STATE_HOME to a folder that this user may write"


class RuntimeFile(msgspec.Struct, frozen=True, kw_only=True):
    """``address`` is where the service is reached (empty: it does not run), ``token`` one with all
    scopes."""

    address: str
    token: str
    pid: int


def runtime_path(database: str) -> Path:
    """Where the file for a database is.

    Raises:
        ConfigurationError: this user has no home folder.
    """
    path = database_path(database)
    if path is not None:
        return Path(f"{path}{SERVER}")
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:  # a user id without a name, as a container may have
        raise ConfigurationError(f"this user has no home folder; {_REMEDY}") from None
    name = hashlib.sha256(shown_address(database).encode()).hexdigest()[:16]
    return Path(state) / "planfold" / f"{name}{SERVER}"


def launch_path(database: str) -> Path:
    """Where a browser finds its launch code, for as long as the code counts."""
    path = runtime_path(database)
    return path.with_name(path.name.removesuffix(SERVER) + LAUNCH)


def read_runtime_file(path: Path) -> RuntimeFile | None:
    """What the file says; None where there is none, or it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RuntimeFile)
    except (OSError, msgspec.DecodeError):
        return None


def local_service() -> RuntimeFile | None:
    """The service of the database of the settings, if it runs on this machine."""
    from planfold.runtime.settings import load_settings

    found = read_runtime_file(runtime_path(load_settings().database))
    return found if found is not None and found.address else None


def write_runtime_file(path: Path, contents: RuntimeFile) -> None:
    """Replace the file; at no time can another user read it.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(contents))
        os.replace(new, path)
    except OSError as fault:
        raise ConfigurationError(
            f"{path} cannot be written: {fault.strerror}; let this user write its folder, or, for "
            f"a PostgreSQL database, {_REMEDY}"
        ) from None
