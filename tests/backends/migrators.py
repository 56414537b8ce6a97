"""A process that brings a database up to date and is killed at its n-th statement:
``migrators.py DATABASE N``; N 0: it is not killed. Prints how many statements there were."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any


class Countdown:
    def __init__(self, kill_at: int) -> None:
        self.count = 0
        self._kill_at = kill_at

    def __call__(self, *_: Any) -> bool:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


def migrate_sqlite(path: str, step: Countdown) -> None:
    from planfold.backends.sqlite.connection import connect, migrate

    connection = connect(path)
    connection.exec_trace = step
    migrate(connection, path)


async def migrate_postgres(database: str, step: Countdown) -> None:
    from planfold.backends.postgres import migration
    from planfold.backends.postgres.address import parse_address
    from planfold.backends.postgres.connection import connect

    address = parse_address(database)
    session = await connect(address)
    session.connection.add_query_logger(step)  # called after each statement
    await migration.migrate(session, address)
    await session.close()


if __name__ == "__main__":
    database, countdown = sys.argv[1], Countdown(int(sys.argv[2]))
    if "://" in database:
        asyncio.run(migrate_postgres(database, countdown))
    else:
        migrate_sqlite(database, countdown)
    print(countdown.count)  # noqa: T201
