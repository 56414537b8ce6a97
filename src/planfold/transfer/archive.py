"""Archive: streams that have ended leave the store for a file; a tombstone says where they are.

A file is complete on the disk, and verified by reading it, before anything is deleted. After an
interruption at any point, a stream is in the store, or in a file that its tombstone names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import msgspec

from planfold.errors import ConfigurationError, CorruptLog
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import StreamRow, Tombstone, hindrance, origins_in
from planfold.projects import DEFAULT
from planfold.transfer.export_file import ExportFile, StreamSection
from planfold.transfer.exporter import Exported, Progress, export
from planfold.transfer.files import naming, new_file
from planfold.transfer.forks import Forks

STREAMS_PER_FILE: Final = 10_000
STREAMS_AT_ONCE: Final = 500
SHOWN: Final = 1_000  # streams that were left


class Archived(msgspec.Struct):
    """What was archived (``dry_run``: would be), into which files; ``left`` says of the first
    streams that were left why, ``left_count`` counts all of them."""

    streams: int = 0
    events: int = 0
    files: list[str] = []
    left: dict[str, str] = {}
    left_count: int = 0

    def leave(self, aggregate_id: str, reason: str) -> None:
        """Note that a stream was not archived, and why."""
        self.left_count += 1
        if len(self.left) < SHOWN:
            self.left[aggregate_id] = reason


class Choice(msgspec.Struct, frozen=True):
    """Which streams: of this kind, with one of these statuses in their heads, last written at or
    before a time (seconds since the epoch), with all of ``tags``, ``title`` in their title and of
    the ``project`` (None: of any)."""

    stream_id: str
    statuses: frozenset[str]
    before: float
    tags: frozenset[str] = frozenset()
    title: str = ""
    project: str | None = None

    def has(self, head: dict[str, Any]) -> bool:
        """Whether it chooses a stream with this head."""
        return (
            self.tags <= {*head.get("tags", ())}
            and self.title.casefold() in str(head.get("title", "")).casefold()
            and self.project in (None, head.get("project", DEFAULT))
        )


async def archive(
    store: EventStore,
    folder: Path,
    choice: Choice,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Archived:
    """Move the chosen streams into new files in ``folder``.

    Raises:
        ConfigurationError: the folder cannot be written.
        CorruptLog: a file does not hold what was written to it; its streams stay in the store.
        Transient: the disk is full, or the store cannot write now.
    """
    done, forks = Archived(), await Forks.find(store, choice.stream_id)
    if not dry_run:
        folder = _usable(folder)
    after_id = ""
    while True:
        chosen, after_id = await _candidates(store, choice, after_id, done)
        chosen = _without_origins(chosen, forks, done)
        if chosen and dry_run:
            done.streams += len(chosen)
            done.events += sum(row.version for row in chosen)
        elif chosen:
            try:
                forks = await _move(store, folder, choice, chosen, done, progress)
            finally:
                await store.checkpoints.forget_read_models()  # they have what was moved
        if not after_id:
            return done


def _usable(folder: Path) -> Path:
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        resolved = folder.resolve()
    try:
        str(resolved).encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{str(folder)!a} is not valid UTF-8; name another") from None
    return resolved


async def _candidates(
    store: EventStore, choice: Choice, after_id: str, done: Archived
) -> tuple[list[StreamRow], str]:
    """Streams for one file, and the id after which to continue; "" when there are no more."""
    chosen: list[StreamRow] = []
    while len(chosen) < STREAMS_PER_FILE:
        page = await store.transfer.unchanged_since(
            choice.stream_id, choice.before, after_id=after_id, limit=STREAMS_AT_ONCE
        )
        for row in page:
            head = _head(row)
            if head.get("status") not in choice.statuses or not choice.has(head):
                continue
            footing = await store.transfer.footing(row.aggregate_id)
            reason = hindrance(footing, row.version, choice.statuses)
            if row.due_at is not None:
                reason = reason or "it has something for another plan; run a worker first"
            if reason:
                done.leave(row.aggregate_id, reason)
            else:
                chosen.append(row)
        if len(page) < STREAMS_AT_ONCE:
            return chosen, ""
        after_id = page[-1].aggregate_id
    return chosen, after_id


def _without_origins(chosen: list[StreamRow], forks: Forks, done: Archived) -> list[StreamRow]:
    """The streams without those that a remaining fork continues."""
    leaving, found = {row.aggregate_id for row in chosen}, []
    for row in chosen:
        if reason := forks.hindrance(row.aggregate_id, leaving):
            done.leave(row.aggregate_id, reason)
        else:
            found.append(row)
    return found


def _head(row: StreamRow) -> dict[str, Any]:
    try:
        return msgspec.json.decode(row.head, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {}


async def _move(
    store: EventStore,
    folder: Path,
    choice: Choice,
    chosen: Sequence[StreamRow],
    done: Archived,
    progress: Progress | None,
) -> Forks:
    """Returns the forks that there are now."""
    now = store.clock()
    day = time.strftime("%Y%m%d", time.gmtime(now))
    path = folder / f"planfold-archive-{day}-{secrets.token_hex(4)}.jsonl"
    with new_file(path) as file:
        exported = await export(store, file.write, [row.aggregate_id for row in chosen])
    before = done.streams
    try:
        sections = _read_again(path, exported)
        forks = await Forks.find(store, choice.stream_id)  # also those made since the last file
        for batch in _batches(sections):
            await _replace(store, choice.statuses, batch, (path, now), forks, done)
            if progress is not None:
                progress(done.streams)
    finally:
        if done.streams > before:
            done.files.append(str(path))
    if done.streams == before:
        with suppress(OSError):
            path.unlink()
    return forks


def _batches(sections: list[StreamSection]) -> Iterator[list[StreamSection]]:
    """Sections to replace in one transaction: forks before what they continue."""
    sections.sort(key=_depth, reverse=True)
    for _, equals in groupby(sections, _depth):
        batch = list(equals)
        for place in range(0, len(batch), STREAMS_AT_ONCE):
            yield batch[place : place + STREAMS_AT_ONCE]


def _depth(section: StreamSection) -> int:
    return len(origins_in(section.stream.head))


async def _replace(
    store: EventStore,
    statuses: Collection[str],
    batch: Sequence[StreamSection],
    file: tuple[Path, float],
    forks: Forks,
    done: Archived,
) -> None:
    """Replace streams by their tombstones; ``file``: where they are, and since when."""
    sections: list[StreamSection] = []
    for section in batch:
        if reason := forks.hindrance(section.stream.aggregate_id):
            done.leave(section.stream.aggregate_id, reason)
        else:
            sections.append(section)
    if not sections:
        return
    tombstones = [_tombstone(section, *file) for section in sections]
    reasons = await store.transfer.archive(tombstones, statuses)
    for section, reason in zip(sections, reasons, strict=True):
        if reason:
            done.leave(section.stream.aggregate_id, reason)
        else:
            forks.leave(section.stream)
            done.streams += 1
            done.events += section.stream.version


def _read_again(path: Path, exported: Exported) -> list[StreamSection]:
    with naming(path), path.open("rb") as file:
        written = ExportFile(file, str(path))
        sections = [
            StreamSection(section.stream, section.start, section.end, section.digest)
            for section in written.sections()
        ]
    if (len(sections), written.events) != (exported.streams, exported.events):
        raise CorruptLog(f"{path} does not contain what was written to it; nothing was archived")
    return sections


def _tombstone(section: StreamSection, path: Path, now: float) -> Tombstone:
    row = section.stream
    return Tombstone(
        row.stream_id,
        row.aggregate_id,
        row.version,
        row.head,
        row.created_at,
        row.updated_at,
        archived_at=now,
        file=str(path),
        sha256=section.digest,
    )
