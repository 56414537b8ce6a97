"""Stores for the tests of moving, and histories to move: as any planfold may have stored them."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import (
    CommandRow,
    EventRow,
    Incoming,
    OwnRow,
    Row,
    StreamRow,
    TaskRow,
)
from planfold.transfer.export_file import ExportFile
from planfold.transfer.exporter import export
from planfold.transfer.importer import Imported, import_file
from testbed.contracts.backend import CODEC

History = list[tuple[StreamRow, list[OwnRow]]]

METADATA = '{"correlation_id":"c","extra":{"who":"☃"}}'
TEXTS = [
    '{"number":1}',
    '{"value":"nul \\u0000 and \\ud83d\\ude80 escaped"}',
    '{ "spaces" : [ 1 , 2.50, 1e400, -0.0 ] }',
    "123456789012345678901234567890",
    "1e999",
    '{"value":"\u2028 ☃ 🚀 \x7f"}',
    '{"twice":1,"twice":2}',
    "[" * 150 + "]" * 150,
    "[" * 900 + "]" * 900,
    '{"lone":"\\ud800"}',
    "not JSON at all",
    '{"on":\n"two lines"}',
    ' {"begins":"with a space"}',
    "",
    "null",
]
times = st.floats(0, 4e9, allow_nan=False)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
texts = st.one_of(
    st.sampled_from(TEXTS),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
)
heads = st.sampled_from(["{}", '{"status":"completed","title":"☃"}', '{"n": 1.50, "n2":[]}'])


@st.composite
def _streams(draw: st.DrawFn, number: int) -> tuple[StreamRow, list[OwnRow]]:
    version = draw(st.integers(1, 6))
    row = StreamRow(
        draw(st.sampled_from(["plan", "note", "Unheard of"])),
        f"{draw(names)}-{number}",
        version,
        draw(heads),
        draw(st.none() | times),
        draw(times),
        draw(times),
    )
    versions = st.integers(1, version)
    commands = sorted(
        (draw(versions), f"command-{number}-{n}") for n in range(draw(st.integers(0, 3)))
    )
    own: list[OwnRow] = [CommandRow(name, "hash", at, draw(times)) for at, name in commands]
    for task_id in draw(st.lists(st.integers(1, 99), unique=True, max_size=3)):
        counts = (draw(versions), draw(st.integers(0, 9)), draw(st.integers(0, 9)))
        about = (draw(st.integers(1, 5)), draw(names), *counts, draw(st.booleans()))
        rest = (draw(names), draw(st.integers(-9, 9)), draw(st.none() | times))
        own.append(
            TaskRow(
                task_id,
                *about,
                *rest,
                draw(st.integers(0, 3)),
                draw(st.sampled_from(["", "a", "a,b"])),
            )
        )
    for at in range(1, version + 1):
        event_type = draw(st.sampled_from(["Counted", "Noted", "Unheard"]))
        number_of = draw(st.integers(1, 4))
        own.append(EventRow(at, event_type, number_of, draw(texts), draw(texts), draw(times)))
    return row, own


@st.composite
def histories(draw: st.DrawFn) -> History:
    return [draw(_streams(number)) for number in range(draw(st.integers(0, 5)))]


def stream(
    name: str, events: int, *, first: int = 1, created_at: float = 100.0, status: str = "completed"
) -> tuple[StreamRow, list[OwnRow]]:
    """A plain stream with ``events`` events; ``first`` is the number in the first of them."""
    row = StreamRow("plan", name, events, f'{{"status":"{status}"}}', None, created_at, created_at)
    own: list[OwnRow] = [CommandRow(f"command of {name}", "hash", 1, created_at)]
    for version in range(1, events + 1):
        data = f'{{"number":{first if version == 1 else version}}}'
        own.append(EventRow(version, "Counted", 1, data, METADATA, created_at + version))
    return row, own


async def fill(store: EventStore, history: History) -> None:
    await store.transfer.write([Incoming(row, 0, own) for row, own in history])


def open_sqlite(path: Path | str) -> SqliteStore:
    return SqliteStore.open(str(path), CODEC, clock=time.time)


async def open_store(address: str) -> EventStore:
    """A file, or an address of PostgreSQL."""
    if "://" not in address:
        return open_sqlite(address)
    from planfold.backends.postgres.store import PostgresStore

    return await PostgresStore.open(address, CODEC)


async def rows_of(store: EventStore, ids: Sequence[str] | None = None) -> list[Row]:
    return [row async for page in store.transfer.rows(ids) for row in page]


async def exported(store: EventStore, ids: Sequence[str] | None = None) -> bytes:
    file = io.BytesIO()
    await export(store, file.write, ids)
    return file.getvalue()


def body(data: bytes) -> bytes:
    """An export without its header and closing line, which name the store and the time."""
    return b"\n".join(data.split(b"\n")[1:-2])


async def imported(store: EventStore, data: bytes, path: Path) -> Imported:
    path.write_bytes(data)  # noqa: ASYNC240
    with path.open("rb") as file:
        return await import_file(store, ExportFile(file, path.name))


def counts(found: Imported) -> dict[str, Any]:
    """What is not zero."""
    names_of = found.__struct_fields__
    return {name: getattr(found, name) for name in names_of if getattr(found, name)}
