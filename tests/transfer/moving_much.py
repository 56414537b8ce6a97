"""Makes many events, exports and imports them twice; prints the most memory (KiB) before and
after: ``moving_much.py FOLDER STREAMS EVENTS``."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.codec import Codec
from planfold.eventstore.transfer import EventRow, Incoming, OwnRow, StreamRow
from planfold.transfer.export_file import ExportFile
from planfold.transfer.exporter import export
from planfold.transfer.importer import import_file

DATA = '{"value":"' + "x" * 150 + '"}'


def most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Events:
    """Made as they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self):  # type: ignore[no-untyped-def]
        for version in range(1, self._count + 1):
            event: OwnRow = EventRow(version, "Noted", 1, DATA, "{}", 1.0)
            yield event


async def main(folder: Path, streams: int, events: int) -> None:
    first = SqliteStore.open(str(folder / "first.db"), Codec())
    for number in range(streams):
        row = StreamRow("plan", f"plan-{number:06}", events, "{}", None, float(number), 1.0)
        await first.transfer.write([Incoming(row, 0, Events(events))])
    before = most_memory()
    path = folder / "moving.jsonl"
    with path.open("wb") as out:
        await export(first, out.write)
    await first.close()
    second = SqliteStore.open(str(folder / "second.db"), Codec())
    for _ in range(2):
        with path.open("rb") as file:
            await import_file(second, ExportFile(file, path.name))
    await second.close()
    print(before, most_memory())  # noqa: T201


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
