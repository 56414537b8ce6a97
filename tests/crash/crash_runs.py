"""``Zygote``: the tests' end of zygote.py."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KILLED = -signal.SIGKILL


class Zygote:
    def __init__(self, programs: str = "driver") -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py"), programs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        program: str,
        folder: Path,
        *,
        meanwhile: Callable[[int], None] | None = None,
        **job: Any,
    ) -> dict[str, Any] | None:
        """What the program returned, or None when it was killed; ``meanwhile`` gets its pid."""
        self._say(json.dumps({"program": program, "folder": str(folder), **job}) + "\n")
        pid = self._read("pid")
        if meanwhile is not None:
            meanwhile(pid)
        self._say("reap\n")  # not earlier: until then the pid is certainly the child's
        status = self._read("status")
        if status == KILLED:
            return None
        error = folder / "error"
        assert status == 0, error.read_text() if error.exists() else status
        result: dict[str, Any] = json.loads((folder / "result").read_text())
        return result

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _read(self, key: str) -> int:
        assert self._process.stdout is not None
        return int(json.loads(self._process.stdout.readline())[key])

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
