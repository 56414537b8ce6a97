"""A look at a database from outside, without changing it: what ``planfold doctor`` tells."""

from __future__ import annotations

import msgspec

from planfold.backends.postgres.address import parse_address
from planfold.backends.postgres.connection import Session, connect
from planfold.backends.postgres.faults import translate
from planfold.backends.postgres.migration import migrations, read_meta
from planfold.errors import ConfigurationError


class ServerReport(msgspec.Struct, frozen=True):
    """What is in a database on a server. ``integrity`` is "ok" or says what is wrong; ``owners``
    are the workers that hold tasks, ``dead_owners`` those of them whose leases have run out.
    ``unsafe`` are settings of the server with which an acknowledged write may be lost."""

    address: str
    server: str
    schema: int
    newest_schema: int
    order: str
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
        ConfigurationError: it cannot be opened, or is no database of planfold.
        Transient: the server is away.
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
            order=(await read_meta(session, address)).order,
            integrity=await _integrity(session),
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


async def _integrity(session: Session) -> str:
    """The latest streams only: to look at all of them would take as long as to read the log."""
    rows = await session.rows("damaged_streams")
    return (
        "; ".join(f"{row[0]} stands at {row[1]}, its last event is {row[2]}" for row in rows)
        or "ok"
    )
