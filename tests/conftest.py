"""What every test may rely on: markers, hypothesis profiles, the shared data sets."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from planfold.backends.postgres.store import PostgresStore
from planfold.errors import ConfigurationError
from planfold.eventstore.codec import Codec
from testbed.postgres import FAST, TEST_SERVER, Postgres, PostgresServer
from testbed.replays import check_replays, check_replays_of
from testbed.together import scheduler

ROOT = Path(__file__).resolve().parent.parent

# Tests start planfold hundreds of times, and without bytecode each start takes twice as long.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MARKERS = (
    "soak: minutes long; left out unless asked for with -m soak",
    "llm: asks a real model; left out unless asked for, see `make test-llm`",
    "crash: kills processes and looks at what is left",
    "slow: takes more than about five seconds",
)

# dev finds new examples on every run, ci tries the same ones each time, thorough is for a long
# look. No deadlines: a busy machine is not a bug. HYPOTHESIS_PROFILE chooses.
settings.register_profile(
    "dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci", settings.get_profile("dev"), derandomize=True, database=None, print_blob=True
)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=2_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "dev")
)


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until the tests are collected: looking at ten thousand takes half of that time
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: one works while a test waits for a process, a server or a time."""
    return 2 * (len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return scheduler(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: else one process works on it when the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """The garbage collector does not look at the ten thousand tests again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def replayed(request: pytest.FixtureRequest) -> Iterator[None]:
    """The SQLite databases that a test leaves in its folder are replayed."""
    named = "tmp_path" in request.fixturenames
    folder: Path | None = request.getfixturevalue("tmp_path") if named else None
    yield
    for path in folder.glob("**/*.db") if folder is not None else ():
        check_replays_of(f"sqlite:///{path}")


@pytest.fixture
async def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``let_pass(5)``: 5 s have passed for the event loop. A timeout that a test ends so, once what
    it waits for has begun, may be longer than a busy machine takes for that."""
    loop = asyncio.get_running_loop()
    time, passed = loop.time, 0.0

    def let_pass(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        loop.call_soon_threadsafe(lambda: None)  # it looks at its timers

    monkeypatch.setattr(loop, "time", lambda: time() + passed)
    return let_pass


NEW_IDENTITY = "UPDATE planfold.meta SET value = $1 WHERE key = 'store_id'"
SAMPLES = ROOT / "tests" / "data"
WHOLE = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder with samples of data sets that others wrote."""
    return SAMPLES


@pytest.fixture(scope="session", params=["sample", "whole"])
def data_sets(request: pytest.FixtureRequest) -> Path:
    """The folder of those samples, and then that of the whole sets, which a plain clone lacks."""
    if request.param == "sample":
        return SAMPLES
    if not WHOLE.is_dir():
        pytest.skip(f"the whole data sets are not here: {WHOLE} does not exist")
    return WHOLE


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests, started when the first asks for it. Do not stop it.

    PLANFOLD_TEST_POSTGRES names another one, by the address of a user who may create databases.
    """
    if address := os.environ.get(TEST_SERVER):
        yield Postgres(address)
        return
    try:
        server = PostgresServer(options=FAST)
    except ConfigurationError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a database that has planfold's tables: copying it takes a sixth of the time that
    making them takes."""
    name = f"template_{secrets.token_hex(6)}"

    async def make() -> None:
        store = await PostgresStore.open(await postgres.create_database(name), Codec())
        await store.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, make()).result()
    return name


@pytest.fixture
async def postgres_database(postgres: Postgres, postgres_template: str) -> AsyncIterator[str]:
    """The address of a new PostgreSQL database with planfold's tables, which are empty."""
    async with new_database(postgres, postgres_template) as address:
        connection = await asyncpg.connect(address)
        await connection.execute(NEW_IDENTITY, secrets.token_hex(8))
        await connection.close()
        yield address


@pytest.fixture
async def empty_postgres_database(postgres: Postgres) -> AsyncIterator[str]:
    """The address of a new PostgreSQL database without anything in it."""
    async with new_database(postgres) as address:
        yield address


@asynccontextmanager
async def new_database(postgres: Postgres, template: str | None = None) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    address = await postgres.create_database(name, template)
    yield address
    await check_replays(address)
    await postgres.drop_database(name)
