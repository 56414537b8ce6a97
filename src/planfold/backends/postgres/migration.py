"""Bringing the schema ``planfold`` up to date, and what is noted in its table ``meta``."""

from __future__ import annotations

import functools
import secrets
from typing import Any

import msgspec

from planfold.backends.named_sql import load_steps
from planfold.backends.postgres.address import Address
from planfold.backends.postgres.connection import ServerConnection
from planfold.backends.postgres.faults import translate
from planfold.backends.postgres.queries import SQL
from planfold.errors import ConfigurationError


class Meta(msgspec.Struct, frozen=True):
    """Who this store is."""

    store_id: str
    epoch: int


@functools.cache
def migrations() -> list[tuple[str, str]]:
    """Name and SQL of every step, in order."""
    return load_steps(__file__)


async def migrate(session: ServerConnection, address: Address, *, create: bool = True) -> int:
    """Bring the schema up to date, one transaction for all steps; returns how many were applied.
    Safe to call from several processes at once.

    Raises:
        ConfigurationError: there is no schema and ``create`` is false; it is another program's,
            or of a newer planfold; the user may not change it.
    """
    try:
        version = await schema_version(session, address)
        if version is None and not create:
            raise ConfigurationError(f"no database at {address.shown}").about("no database")
        if version == len(migrations()):
            return 0
        async with session.connection.transaction():
            applied = await _apply(session, address)
        if version:
            await _fill_heads(session)
        return applied
    except Exception as fault:
        raise translate(fault, address) from fault


async def _apply(session: ServerConnection, address: Address) -> int:
    steps = migrations()
    await session.connection.execute(SQL["lock_schema"])
    version = await schema_version(session, address)
    if version is None:
        version = 0
        (exists, *_), *_ = await session.rows("schema")
        if not exists:
            await _create_schema(session, address)
        await session.connection.execute(SQL["create_migrations"])
    for number, (name, sql) in enumerate(steps[version:], version + 1):
        await session.connection.execute(sql)
        await session.rows("add_migration", number, name)
    if version == 0:
        await session.rows("add_identity", secrets.token_hex(8))
    return len(steps) - version


async def _fill_heads(session: ServerConnection) -> None:
    """Appends that waited for the migration ran the functions of the former schema, which left the
    columns of heads to the table."""
    async with session.connection.transaction():
        await session.connection.execute(SQL["lock_heads"])  # waits for these appends
        await session.rows("fill_heads")


async def _create_schema(session: ServerConnection, address: Address) -> None:
    (may, database, user), *_ = await session.rows("may_create_schema")
    if not may:
        raise ConfigurationError(
            f"{address.shown}: this user may not create the schema planfold; let the database's "
            f"owner do: GRANT CREATE ON DATABASE {database} TO {user}"
        )
    await session.connection.execute("CREATE SCHEMA planfold")


async def schema_version(session: ServerConnection, address: Address) -> int | None:
    """How many steps were applied; None: there is nothing of planfold's.

    Raises:
        ConfigurationError: the schema is another program's, or of a newer planfold.
    """
    (_, ours, foreign), *_ = await session.rows("schema")
    if not ours:
        if foreign:
            raise ConfigurationError(
                f"{address.shown} has a schema planfold of another program; name another database"
            )
        return None
    version: int = await session.value("schema_version")
    known = len(migrations())
    if version > known:
        raise ConfigurationError(
            f"{address.shown} has schema {version}; this planfold knows up to {known}: "
            "upgrade planfold"
        )
    return version


async def read_meta(session: ServerConnection, address: Address) -> Meta:
    """Raises PlanfoldError."""
    try:
        values: dict[str, Any] = dict(tuple(row) for row in await session.rows("meta"))
    except Exception as fault:
        raise translate(fault, address) from fault
    return Meta(values["store_id"], int(values["epoch"]))
