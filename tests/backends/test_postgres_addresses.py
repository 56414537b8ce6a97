"""Addresses, what they are taken for, and what is said when nothing good is behind them."""

from __future__ import annotations

import asyncio
import builtins
import re
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from planfold.app import open_app
from planfold.backends.postgres.address import parse_address
from planfold.backends.postgres.faults import translate
from planfold.backends.postgres.store import PostgresStore
from planfold.databases import shown_address
from planfold.errors import ConfigurationError, PlanfoldError, Transient
from testbed.contracts.backend import CODEC, Counted, decision
from testbed.postgres import Postgres, free_port

SECRET = "hunter2"


async def refusal(address: str) -> PlanfoldError:
    """What opening it leads to, without the password."""
    with pytest.raises(PlanfoldError) as caught:
        await PostgresStore.open(address, CODEC)
    told: list[Any] = [caught.value]
    while told[-1].__cause__:
        told.append(told[-1].__cause__)
    assert SECRET not in "".join(map(repr, told))
    return caught.value


@pytest.mark.parametrize(
    ("text", "shown", "pooled", "listens"),
    [
        ("postgresql://u:pw@h:5/db", "postgresql://u@h:5/db", False, "h:5"),
        ("postgres://h/db", "postgresql://h/db", False, "h"),
        ("postgresql:///db?host=/run/pg", "postgresql:///run/pg/db", False, "/run/pg"),
        ("postgresql://u@h/db?password=pw", "postgresql://u@h/db", False, "h"),
        ("postgresql://u:p%40w%2F@h/db", "postgresql://u@h/db", False, "h"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db", False, "[::1]"),
        ("postgresql://u:pw@h:5/db?pooled=true", "postgresql://u@h:5/db", True, None),
        ("postgresql://h:5/db?pooled=1&listen=g:6", "postgresql://h:5/db", True, "g:6"),
        ("postgresql://a:1,b:2/db", "postgresql://a:1,b:2/db", False, "primary"),
    ],
)
def test_an_address_is_understood(text: str, shown: str, pooled: bool, listens: str | None) -> None:
    address = parse_address(text)
    assert (address.shown, address.pooled) == (shown, pooled)
    assert not re.search("pooled|listen=|notify_ms", address.dsn)
    assert "pw" not in repr(address)
    assert shown_address(text) == shown
    if listens is None:
        assert address.listen_dsn is None
    else:
        assert address.listen_dsn is not None
        assert listens in address.listen_dsn.replace("%2F", "/")


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://u:{SECRET}/x@h/db",
        f"postgresql://u:{SECRET}?x@h/db",
        f"postgresql://u:{SECRET}#x@h/db",
        f"postgresql://u:{SECRET}@x@h/db",
        f"postgresql://u:1/{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h:port/db",
        f"postgresql://u:{SECRET}@[::1/db",
        f"postgresql:/u:{SECRET}@h/db",
        f"http://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h/db?pooled=perhaps",
        f"postgresql://u:{SECRET}@h/db?listen=a/b",
        f"postgresql://u:{SECRET}@h/db?sslmode=perhaps",
        f"postgresql://u:{SECRET}@h:99999/db",
    ],
)
async def test_an_address_that_is_none_is_refused_without_its_password(text: str) -> None:
    assert isinstance(await refusal(text), (ConfigurationError, Transient))


async def test_a_server_that_is_away_is_named() -> None:
    fault = await refusal(f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/db")
    assert isinstance(fault, Transient)
    assert re.search(
        r"connection refused by postgresql://u@127.*is the PostgreSQL server", str(fault)
    )


async def test_a_host_that_is_not_there_is_named() -> None:
    fault = await refusal(f"postgresql://u:{SECRET}@no-such-host.invalid/db")
    assert "cannot find the host" in str(fault)


async def test_what_is_no_postgresql_server_is_named() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fault = await refusal(f"postgresql://u:{SECRET}@127.0.0.1:{port}/db")
    assert isinstance(fault, (Transient, ConfigurationError))
    server.close()


async def test_a_database_that_is_not_there_is_named(postgres: Postgres) -> None:
    fault = await refusal(postgres.address("nowhere"))
    assert isinstance(fault, ConfigurationError)
    assert re.search(r'"nowhere" does not exist; make it with `createdb`', str(fault))


async def test_a_user_who_is_not_there_is_named(postgres: Postgres) -> None:
    fault = await refusal(re.sub("//[^@]*@", f"//nobody:{SECRET}@", postgres.address()))
    assert isinstance(fault, ConfigurationError)
    assert "nobody" in str(fault)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (asyncpg.InvalidPasswordError("x"), ConfigurationError, "password is missing or wrong"),
        (asyncpg.TooManyConnectionsError("x"), Transient, "pooled=true"),
        (asyncpg.DiskFullError("x"), Transient, "free some space"),
        (asyncpg.CannotConnectNowError("starting up"), Transient, "not ready"),
        (asyncpg.UndefinedTableError("x"), ConfigurationError, "older than the schema"),
        (TimeoutError(), Transient, "in time"),
    ],
)
def test_errors_say_what_to_do(fault: Exception, kind: type[PlanfoldError], said: str) -> None:
    told = translate(fault, parse_address(f"postgresql://u:{SECRET}@h/db"))
    assert isinstance(told, kind)
    assert said in str(told)
    assert SECRET not in str(told)


def is_folder(path: str) -> bool:
    return bool(path) and Path(path).is_dir()


async def test_a_unix_socket_will_do(postgres: Postgres, empty_postgres_database: str) -> None:
    connection = await asyncpg.connect(empty_postgres_database)
    folder = await connection.fetchval("SHOW unix_socket_directories")
    port = await connection.fetchval("SHOW port")
    await connection.close()
    if not is_folder(folder):
        pytest.skip("this server has no Unix socket")
    name = empty_postgres_database.rpartition("/")[2]
    address = f"postgresql://postgres@/{name}?host={folder}&port={port}"
    store = await PostgresStore.open(address, CODEC)
    await store.append(decision(Counted(1)))
    await store.close()


async def test_an_app_is_opened_by_the_address(empty_postgres_database: str) -> None:
    with pytest.raises(ConfigurationError, match="no database at"):
        async with open_app(empty_postgres_database, create=False, load=False):
            pass
    async with open_app(empty_postgres_database) as app:
        plan = await app.submit("# Two things\n\n1. run `true`\n2. run `true`\n", approved_by="me")
        assert (await app.run(plan)).status == "completed"
    async with open_app(empty_postgres_database, create=False, load=False) as app:
        assert [head.aggregate_id for head in await app.plans()] == [plan]


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_asyncpg(name: str, *rest: Any) -> Any:
        if name.startswith("asyncpg"):
            raise ImportError(name)
        return imported(name, *rest)

    for name in [n for n in sys.modules if n.startswith("planfold.backends.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_asyncpg)
    with pytest.raises(ConfigurationError, match="needs the extra postgres; install it"):
        imported("planfold.backends.postgres.store")
