"""``schema.sql`` says what the migrations lead to: compared through the catalogs."""

from __future__ import annotations

from importlib import resources
from typing import Any

import apsw
import asyncpg

from planfold.backends.postgres.store import PostgresStore
from planfold.backends.sqlite.connection import MEMORY, connect, migrate
from testbed.contracts.backend import CODEC
from testbed.postgres import Postgres

OF_POSTGRES = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name,
               is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'planfold'
    """,
    "indexes": "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'planfold'",
    "constraints": """
        SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'planfold'::regnamespace
    """,
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'planfold'::regnamespace
    """,
    "storage": """
        SELECT relname, relkind::text, reloptions FROM pg_class
        WHERE relnamespace = 'planfold'::regnamespace
    """,
    "sequences": """
        SELECT sequencename, start_value, increment_by, cache_size, cycle FROM pg_sequences
        WHERE schemaname = 'planfold'
    """,
}


def written_down(package: str) -> str:
    return resources.files(package).joinpath("schema.sql").read_text("utf-8")


async def catalog(connection: Any) -> dict[str, set[Any]]:
    found = {name: await connection.fetch(sql) for name, sql in OF_POSTGRES.items()}
    return {name: {str(tuple(row)) for row in rows} for name, rows in found.items()}


async def test_postgres(postgres: Postgres, postgres_database: str) -> None:
    await (await PostgresStore.open(postgres_database, CODEC)).close()
    name = postgres_database.rpartition("/")[2] + "_written"
    other = await asyncpg.connect(await postgres.create_database(name))
    migrated = await asyncpg.connect(postgres_database)
    try:
        await other.execute(written_down("planfold.backends.postgres"))
        found, written = await catalog(migrated), await catalog(other)
        for kind, rows in found.items():
            assert rows == written[kind], kind
            assert rows
    finally:
        await other.close()
        await migrated.close()
        await postgres.drop_database(name)


def of_sqlite(connection: apsw.Connection) -> dict[str, set[Any]]:
    execute = connection.execute
    tables = [row for row in execute("PRAGMA table_list") if not row[1].startswith("sqlite_")]
    return {
        "tables": {(name, kind, without_rowid) for _, name, kind, _, without_rowid, _ in tables},
        "columns": {
            (table[1], *column[1:])  # their order may differ: ALTER TABLE adds at the end
            for table in tables
            for column in execute("SELECT * FROM pragma_table_xinfo(?)", (table[1],))
        },
        "indexes": {
            (table[1], index[1] if index[3] == "c" else "", index[2], index[3], index[4], columns)
            for table in tables
            for index in execute("SELECT * FROM pragma_index_list(?)", (table[1],))
            for columns in [
                str([c[2] for c in execute("SELECT * FROM pragma_index_info(?)", (index[1],))])
            ]
        },
        "written": {
            (name, " ".join(sql.split()))
            for name, sql in execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'")
            if sql
        },
    }


def test_sqlite() -> None:
    migrated = connect(MEMORY)
    migrate(migrated, MEMORY)
    other = apsw.Connection(MEMORY)
    other.execute(written_down("planfold.backends.sqlite"))
    found, written = of_sqlite(migrated), of_sqlite(other)
    for kind, rows in found.items():
        assert rows == written[kind], kind
        assert rows
