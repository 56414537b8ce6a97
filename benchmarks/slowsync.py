"""An fsync that takes 2 ms longer, as on a cloud disk: a library to preload into a process."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("slowsync.c")


def slow_sync_library(folder: Path) -> Path | None:
    """Compile it into ``folder``; None, and a line that says why, where that cannot be done."""
    if shutil.which("cc") is None:
        print("skipped: 2 ms fsync needs a C compiler (cc)")
        return None
    library = folder / "slowsync.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"], check=True
    )
    return library


def slow_sync(library: Path) -> dict[str, str]:
    """The environment of a process with that fsync."""
    return {"LD_PRELOAD": str(library), "SLOWSYNC_US": "2000"}
