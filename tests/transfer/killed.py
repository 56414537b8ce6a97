"""What the killed processes do: functions that a fresh process runs, step by small step."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from histories import open_store

from planfold.eventstore.port import EventStore
from planfold.transfer import archive as archiving
from planfold.transfer import importer
from planfold.transfer.archive import Choice, archive
from planfold.transfer.export_file import ExportFile
from planfold.transfer.importer import import_file

OLD = Choice("plan", frozenset({"completed"}), 150.0)
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "pytest",
        "hypothesis.strategies",
        "testbed.contracts.backend",
        "planfold.backends.sqlite.store",
        "planfold.backends.postgres.store",
        "planfold.transfer.archive",
        "planfold.transfer.importer",
    ]
)


async def import_here(store: EventStore, folder: Path) -> None:
    importer.EVENTS_AT_ONCE = 40  # type: ignore[misc]
    with (folder / "export.jsonl").open("rb") as file:
        await import_file(store, ExportFile(file, "export.jsonl"))


async def archive_here(store: EventStore, folder: Path) -> None:
    archiving.STREAMS_PER_FILE = 10  # type: ignore[misc]
    archiving.STREAMS_AT_ONCE = 2  # type: ignore[misc]
    await archive(store, folder / "archive", OLD)


def _run(
    job: Callable[[EventStore, Path], Awaitable[None]], address: str, folder: Path, pipe: Connection
) -> None:
    async def main() -> None:
        store = await open_store(address)
        pipe.send("begins")
        await job(store, folder)
        pipe.send("done")
        os.kill(os.getpid(), signal.SIGKILL)

    try:
        asyncio.run(main())
    except BaseException as fault:
        pipe.send(repr(fault))
        sys.exit(1)


def run_for(
    seconds: float,
    job: Callable[[EventStore, Path], Awaitable[None]],
    address: str,
    folder: Path,
) -> float | None:
    """Kill the process after so many seconds of work; how long it took when it was done
    earlier, else None."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_run, args=(job, address, folder, theirs))
    process.start()
    theirs.close()
    assert ours.recv() == "begins"
    begun = time.monotonic()
    done = ours.poll(seconds)
    took = time.monotonic() - begun
    process.kill()
    process.join(30)
    if done:
        said = ours.recv()
        assert said == "done", said
    ours.close()
    return took if done else None
