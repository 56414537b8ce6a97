"""Read-only inspection of a database, for ``planfold doctor``."""

from __future__ import annotations

from typing import Final

import msgspec

from planfold.backends.findings import Findings
from planfold.backends.postgres.address import parse_address
from planfold.backends.postgres.connection import ServerConnection, connect
from planfold.backends.postgres.faults import translate
from planfold.backends.postgres.migration import migrations
from planfold.backends.postgres.queries import SQL
from planfold.errors import ConfigurationError

EVENTS_AT_ONCE: Final = 500


class ServerReport(msgspec.Struct, frozen=True):
    """What is in a database on a server. ``integrity`` is "ok" or says what is wrong; ``owners``
    are the workers that hold tasks, ``dead_owners`` those of them whose leases have run out.
    ``unsafe`` are settings of the server with which an acknowledged write may be lost."""

    address: str
    server: str
    schema: int
    newest_schema: int
    integrity: str
    bytes: int
    events_bytes: int
    connections: int
    max_connections: int
    pooled: bool
    unsafe: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    dead_owners: tuple[str, ...] = ()


async def inspect(database: str) -> ServerReport:
    """Look at the database at an address; it is neither created nor migrated.

    Raises:
        ConfigurationError: it cannot be opened, or is not a database of planfold.
        Transient: the server cannot be reached.
    """
    address = parse_address(database)
    session = await connect(address)
    try:
        (_, ours, _), *_ = await session.rows("schema")
        if not ours:
            raise ConfigurationError(f"no database at {address.shown}").about("no database")
        facts, *_ = await session.rows("facts")
        owners = tuple(row[0] for row in await session.rows("owners"))
        dead = tuple(sorted(row[0] for row in await session.rows("dead", list(owners), None)))
        return ServerReport(
            address=address.shown,
            server=facts["server"],
            schema=facts["schema"],
            newest_schema=len(migrations()),
            integrity=await _integrity(session, current=facts["schema"] == len(migrations())),
            bytes=facts["bytes"],
            events_bytes=facts["events_bytes"],
            connections=facts["connections"],
            max_connections=facts["max_connections"],
            pooled=address.pooled,
            unsafe=tuple(f"{row[0]} = {row[1]}" for row in await session.rows("unsafe_settings")),
            owners=owners,
            dead_owners=dead,
        )
    except Exception as fault:
        raise translate(fault, address) from fault
    finally:
        await session.close()


async def schemas(database: str) -> tuple[int, int]:
    """The schema of the database at an address, and the newest one. Raises as :func:`inspect`."""
    address = parse_address(database)
    session = await connect(address)
    try:
        (_, ours, _), *_ = await session.rows("schema")
        if not ours:
            raise ConfigurationError(f"no database at {address.shown}").about("no database")
        return await session.value("schema_version"), len(migrations())
    except Exception as fault:
        raise translate(fault, address) from fault
    finally:
        await session.close()


async def check_writing(database: str) -> None:
    """Write 64 KiB and roll them back.

    Raises:
        ConfigurationError: this user may not write, or the server is read-only.
        Transient: the server cannot be reached, or its disk is full.
    """
    address = parse_address(database)
    session = await connect(address)
    writing = session.connection.transaction()
    try:
        await writing.start()
        await session.rows("write_check")
        await writing.rollback()
    except Exception as fault:
        raise translate(fault, address) from fault
    finally:
        await session.close()


async def _integrity(session: ServerConnection, *, current: bool) -> str:
    """Of every event and stream; a log of an older schema has no checksums."""
    if not current:
        return "ok"
    findings = Findings()
    connection = session.connection
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await findings.events_of(connection.cursor(SQL["all_events"], prefetch=EVENTS_AT_ONCE))
        findings.streams(await session.rows("damaged_streams"))
    return str(findings)
