"""Points at which a process can be killed, counted: before every statement that writes, after
every commit, around every effect and every acknowledgement."""

from __future__ import annotations

import os
import signal
from typing import Any

import apsw

WRITES = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "PRAGMA user_version=")


class Failpoints:
    """Kills this process, as ``kill -9`` does, at the ``kill_at``-th point (None: never)."""

    def __init__(self, kill_at: int | None) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at

    def reach(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch_database(self) -> None:
        """Every connection that is opened from now on has points."""
        apsw.connection_hooks.append(self._watch)

    def _watch(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self._before
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._after)

    def _before(self, _cursor: Any, sql: str, _bindings: Any) -> bool:
        if sql.lstrip().startswith(WRITES):
            self.reach(f"before {sql.split(maxsplit=1)[0]}")
        return True

    def _after(self, statement: dict[str, Any]) -> None:
        if statement["sql"] == "COMMIT":
            self.reach("after COMMIT")
