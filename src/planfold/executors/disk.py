"""The room that planfold's own files leave on a disk, so that the log can always be written."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1024 * 1024


def reserve_of(size: int) -> int:
    """Bytes of a disk of ``size`` bytes that output must not take: 5 %, but at least 64 MiB and at
    most 1 GiB; never more than half of the disk."""
    return min(max(size // 20, 64 * MIB), 1024 * MIB, size // 2)


def free_bytes(place: int | Path) -> tuple[int, int]:
    """Bytes that are free on the disk of a file (a path or a descriptor), and its size."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def spare_bytes(place: int | Path) -> int:
    """Bytes that output may still take there; negative where the disk is nearly full."""
    free, size = free_bytes(place)
    return free - reserve_of(size) if size else 2**63  # file systems that do not say
