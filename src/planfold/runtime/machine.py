"""Which machine this is: a process that has ended differs from one that runs elsewhere."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PROCESSES = Path("/proc/self/ns/pid")


@functools.cache
def this_machine() -> str:
    """The host's name, with a mark of this boot and container where that is known. Two processes
    with the same mark can see each other's process ids."""
    name = socket.gethostname()
    try:
        seen = f"{BOOT_ID.read_text()}{os.readlink(PROCESSES)}"
    except OSError:  # not Linux: whether a process is dead cannot be decided
        return name
    return f"{name}#{hashlib.blake2b(seen.encode(), digest_size=6).hexdigest()}"


def has_ended(machine: str, pid: int) -> bool:
    """Whether the process has certainly ended; False when that is unknown on this host."""
    if "#" not in machine or machine != this_machine() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # another user's: it lives, or its id was reused
    return False
