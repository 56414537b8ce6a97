"""``python -m benchmarks.peers [ROUNDS]``: tasks per second of planfold and others, side by side.

Each library is installed into an environment of its own under ``.planfold/peers``, at the versions
of ``requirements/peers-*.txt``. A round runs each library once, in an order that rotates, each time
in a new process on a new database. Databases commit synchronously: SQLite with WAL and
``synchronous=FULL``, PostgreSQL with ``fsync`` and ``synchronous_commit``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.peers.measured import SHAPES
from testbed.postgres import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
WORKPLACE = ROOT / ".planfold" / "peers"
LIBRARIES = ("planfold", "langgraph", "dbos", "burr")
DATABASES = ("SQLite", "PostgreSQL")
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

Rates = dict[tuple[str, str, str], list[float]]  # by database, shape and library
NewDatabase = Callable[[str], str]  # from a name to an address


def interpreter(library: str) -> str:
    """The Python of a library's environment, which is made where it is missing or old."""
    if library == "planfold":
        return sys.executable
    folder, lock = WORKPLACE / library, ROOT / "requirements" / f"peers-{library}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        print(f"Installing {library} into {folder.relative_to(ROOT)} ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        install = ["install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
        subprocess.run([python, "-m", "pip", *install, "-r", lock], check=True)
        stamp.write_bytes(lock.read_bytes())
    return str(python)


def run_once(python: str, library: str, address: str, shape: str) -> tuple[float, str]:
    """Tasks per second, and the version of the library."""
    script = Path(__file__).with_name(f"on_{library}.py")
    done = subprocess.run(
        [python, script, address, shape],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=WORKPLACE,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return found["rate"], found["version"]


def measure(rounds: int, new_database: dict[str, NewDatabase]) -> tuple[Rates, dict[str, str]]:
    pythons = {library: interpreter(library) for library in LIBRARIES}
    rates: Rates = {}
    versions = {}
    for number in range(rounds):
        turn = number % len(LIBRARIES)
        for database, shape in ((d, s) for d in new_database for s in SHAPES):
            for library in LIBRARIES[turn:] + LIBRARIES[:turn]:
                address = new_database[database](f"{library}_{shape}_{number}")
                rate, versions[library] = run_once(pythons[library], library, address, shape)
                rates.setdefault((database, shape, library), []).append(rate)
    return rates, versions


def table(rates: Rates, versions: dict[str, str]) -> str:
    """In Markdown: the median of each, with the lowest and the highest."""
    titles = [f"{library} {versions[library]}" for library in LIBRARIES]
    lines = [f"| | {' | '.join(titles)} |", "| --- |" + " --- |" * len(titles)]
    for database, shape in ((d, s) for d in DATABASES for s in SHAPES):
        found = [rates[database, shape, library] for library in LIBRARIES]
        cells = [f"{median(r):,.0f} ({min(r):,.0f} to {max(r):,.0f})" for r in found]
        lines.append(f"| {shape}, {database} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    WORKPLACE.mkdir(parents=True, exist_ok=True)
    for old in WORKPLACE.glob("*.db*"):
        old.unlink()
    with PostgresServer(options=DURABLE, folder=WORKPLACE / "postgres") as server:

        def new_postgres(name: str) -> str:
            asyncio.run(server.drop_database(name))
            return asyncio.run(server.create_database(name))

        on_sqlite = {"SQLite": lambda name: str(WORKPLACE / f"{name}.db")}
        rates, versions = measure(rounds, {**on_sqlite, "PostgreSQL": new_postgres})
    print(table(rates, versions))


if __name__ == "__main__":
    main()
