"""The programs that bring a database up to date and are killed at their n-th statement."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from planfold.backends.postgres import migration
from planfold.backends.postgres.address import parse_address
from planfold.backends.postgres.connection import connect as connect_postgres
from planfold.backends.sqlite.connection import connect, migrate


class Countdown:
    """Counts statements and kills this process at the ``kill_at``-th (0: at none)."""

    def __init__(self, kill_at: int) -> None:
        self.count = 0
        self._kill_at = kill_at

    def __call__(self, *_: Any) -> bool:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


def migrate_sqlite(job: dict[str, Any]) -> dict[str, int]:
    step = Countdown(job["kill_at"])
    connection = connect(job["database"])
    connection.exec_trace = step
    migrate(connection, job["database"])
    return {"statements": step.count}


async def _migrate_postgres(database: str, step: Countdown) -> None:
    address = parse_address(database)
    session = await connect_postgres(address)
    session.connection.add_query_logger(step)  # called after each statement
    await migration.migrate(session, address)
    await session.close()


def migrate_postgres(job: dict[str, Any]) -> dict[str, int]:
    step = Countdown(job["kill_at"])
    asyncio.run(_migrate_postgres(job["database"], step))
    return {"statements": step.count}


PROGRAMS = {"sqlite": migrate_sqlite, "postgres": migrate_postgres}
