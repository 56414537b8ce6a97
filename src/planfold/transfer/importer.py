"""Import: an export into a store. The whole file and all streams are checked before anything is
written; then streams are written in batches, and importing again continues where it stopped."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

import msgspec

from planfold.access.credential import STREAM as CREDENTIALS
from planfold.errors import Conflict
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import (
    EventRow,
    Incoming,
    OwnRow,
    StreamRow,
    Tombstone,
    origins_in,
    where_archived,
)
from planfold.transfer.export_file import ExportFile, StreamSection
from planfold.transfer.exporter import Progress
from planfold.transfer.forks import ForkPoint
from planfold.transfer.records import Digest, encode_row

STREAMS_AT_ONCE: Final = 500  # that are looked up together
EVENTS_AT_ONCE: Final = 2_000  # that are written in one transaction, unless one stream has more
BYTES_AT_ONCE: Final = 4_000_000
SHOWN: Final = 10  # conflicts

T = TypeVar("T")
_HERE, _NEW, _LONGER = range(3)


class Imported(msgspec.Struct):
    """What an import found and did: streams that were not in the store (``new``), that were
    there but shorter (``extended``), and that were there already, as in the file or with more
    events. ``lifted`` of the new ones were archived. ``events`` is how many were written."""

    streams: int = 0
    new: int = 0
    extended: int = 0
    already_there: int = 0
    lifted: int = 0
    events: int = 0


async def import_file(
    store: EventStore, export: ExportFile, *, progress: Progress | None = None
) -> Imported:
    """Copy the streams of ``export`` into the store. Ids and times are kept, positions are
    assigned by the store. See :func:`check` and :func:`write` for what it raises."""
    plan = await check(store, export)
    await write(store, export, plan, progress=progress)
    return plan.found


async def check(store: EventStore, export: ExportFile) -> ImportPlan:
    """Read all of ``export`` and compare it with the store; nothing is written.

    Raises:
        CorruptLog: the file is damaged.
        Conflict: a stream exists with a different history, or a worker holds a task of it.
    """
    plan = ImportPlan()
    await _Check(store, export, plan).run()
    return plan


class ImportPlan:
    """What an import will do: in all (``found``), and with each stream of the file, in a few
    bytes for each."""

    def __init__(self) -> None:
        self.found = Imported()
        self.starts = array("Q")
        self.ends = array("Q")
        self.events = array("Q")
        self.actions = bytearray()
        self.after: dict[int, int] = {}

    def add(self, section: StreamSection, action: int, after: int = 0) -> None:
        if action == _LONGER:
            self.after[len(self.actions)] = after
        self.starts.append(section.start)
        self.ends.append(section.end)
        self.events.append(section.stream.version - after)
        self.actions.append(action)
        found = self.found
        found.streams += 1
        found.new += action == _NEW
        found.extended += action == _LONGER
        found.already_there += action == _HERE
        if action != _HERE:
            found.events += section.stream.version - after


class _Check:
    """Compares the file with the store."""

    def __init__(self, store: EventStore, export: ExportFile, plan: ImportPlan) -> None:
        self._store = store
        self._export = export
        self._plan = plan
        self._conflicts: list[str] = []
        self._more = 0
        self._needed: dict[str, str] = {}  # origins of forks in the file that are not in it so far
        self._points: dict[str, ForkPoint] = {}  # by the ids of the file's forks
        self._seen: set[int] = set()  # hashes of the ids of the file's streams

    async def run(self) -> None:
        """Raises Conflict with all reasons against the import."""
        for batch in _batches(self._export.sections(), STREAMS_AT_ONCE):
            await self._check(batch)
        await self._check_origins()
        await self._check_points()
        if self._conflicts:
            more = f"\nand {self._more} more" if self._more else ""
            raise Conflict(
                f"nothing was imported from {self._export.name}:\n"
                + "\n".join(self._conflicts)
                + more
            )

    async def _check(self, batch: Sequence[StreamSection]) -> None:
        ids = [section.stream.aggregate_id for section in batch]
        transfer = self._store.transfer
        versions = await transfer.versions(ids)
        tombstones = {t.aggregate_id: t for t in await transfer.tombstones(ids)}
        wanted = {
            section.stream.aggregate_id: min(
                section.stream.version, versions[section.stream.aggregate_id]
            )
            for section in batch
            if section.stream.aggregate_id in versions
        }
        here = await _digests(self._store, wanted)
        self._note_origins(batch)
        for section in batch:
            aggregate_id = section.stream.aggregate_id
            if section.stream.stream_id == CREDENTIALS:
                self._refuse(f"{aggregate_id} would let a token into this database")
            elif aggregate_id in here:
                await self._compare(section, versions[aggregate_id], here[aggregate_id])
            else:
                self._begin(section, tombstones.get(aggregate_id))
        await self._check_commands(batch)

    def _note_origins(self, batch: Sequence[StreamSection]) -> None:
        for section in batch:
            self._seen.add(hash(section.stream.aggregate_id))
            for origin in origins_in(section.stream.head):
                self._needed.setdefault(origin, section.stream.aggregate_id)
            if "origins" in section.stream.head:
                rows = self._export.rows(section.start, section.end)
                first = next((row for row in rows if isinstance(row, EventRow)), None)
                if first is not None and (point := ForkPoint.of(first)) is not None:
                    self._points[section.stream.aggregate_id] = point

    async def _check_origins(self) -> None:
        """Refuse a fork whose origin is neither in the file nor in the store, because it could not
        be read."""
        needed = [name for name in self._needed if hash(name) not in self._seen]
        for names in _batches(iter(needed), STREAMS_AT_ONCE):
            here = await self._store.transfer.versions(names)
            missing = [name for name in names if name not in here]
            archived = {
                t.aggregate_id: t.file for t in await self._store.transfer.tombstones(missing)
            }
            for name in missing:
                file = archived.get(name, "a file that has it, or export both")
                self._refuse(
                    f"{self._needed[name]} is a fork of {name}, which is neither in the file nor "
                    f"in the database; first import {file}"
                )

    async def _check_points(self) -> None:
        """What a fork continues has its version, and the same history up to there: in the file, or
        else in the store."""
        names = {point.origin for point in self._points.values()}
        found = self._versions_in_file(names)
        here = await self._store.transfer.versions(list(names))
        for name, point in self._points.items():
            longest = max(found.get(point.origin, (0, 0))[1], here.get(point.origin, 0))
            if not longest:
                continue  # it was refused, as there is no origin
            if longest < point.version:
                self._refuse(
                    f"{name} continues version {point.version} of {point.origin}, which is only at "
                    f"version {longest}; first import a file that has the rest, or export both"
                )
            elif not await self._fits(point, found.get(point.origin)):
                self._refuse(
                    f"{name} continues another history of {point.origin}; import it into another "
                    "database"
                )

    def _versions_in_file(self, names: set[str]) -> dict[str, tuple[int, int]]:
        """The number and the version of each of these streams that is in the file."""
        found: dict[str, tuple[int, int]] = {}
        if any(hash(name) in self._seen for name in names):
            for number, start in enumerate(self._plan.starts):
                stream = self._export.stream_at(start)
                if stream.aggregate_id in names:
                    found[stream.aggregate_id] = number, stream.version
        return found

    async def _fits(self, point: ForkPoint, in_file: tuple[int, int] | None) -> bool:
        if in_file is None or in_file[1] < point.version:
            events = await self._store.read_versions(point.origin, after=point.version - 1, limit=1)
            return bool(events) and point.checksum in ("", events[0].checksum)
        number, after = in_file[0], point.version - 1
        rows = self._export.rows(self._plan.starts[number], self._plan.ends[number], after=after)
        return point.fits(next(row for row in rows if isinstance(row, EventRow)))

    async def _compare(self, section: StreamSection, version: int, here: tuple[str, str]) -> None:
        stream = section.stream
        mine = (stream.stream_id, self._digest(section, min(version, stream.version)))
        if mine != here:
            self._refuse(
                f"{stream.aggregate_id} exists with a different history (version {version}; "
                f"{stream.version} in the file)"
            )
        elif version >= stream.version:
            self._plan.add(section, _HERE)
        else:
            held = await self._held(stream.aggregate_id)
            if held is not None:
                self._refuse(
                    f"a worker holds task {held} of {stream.aggregate_id}; stop the workers first"
                )
            self._plan.add(section, _LONGER, version)

    def _begin(self, section: StreamSection, tombstone: Tombstone | None) -> None:
        if tombstone is not None:
            version = tombstone.version
            if (
                section.stream.version < version
                or self._digest(section, version) != tombstone.sha256
            ):
                self._refuse(
                    f"{where_archived(tombstone)}; this file contains a different history of it "
                    f"(version {section.stream.version}, archived at {version})"
                )
            self._plan.found.lifted += 1
        self._plan.add(section, _NEW)

    async def _held(self, aggregate_id: str) -> int | None:
        now = self._store.clock()
        for row in await self._store.queue.queued(aggregate_id):
            if row.owner is not None and row.expires > now:
                return row.task_id
        return None

    def _digest(self, section: StreamSection, versions: int) -> str:
        if versions == section.stream.version:
            return section.digest
        return self._export.digest(section.start, section.end, versions)

    async def _check_commands(self, batch: Sequence[StreamSection]) -> None:
        wanted = {c: s.stream.aggregate_id for s in batch for c in s.command_ids}
        for command_ids in _batches(iter(wanted), EVENTS_AT_ONCE):
            owners = await self._store.transfer.owners(command_ids)
            for command_id, owner in owners.items():
                if owner != wanted[command_id]:
                    self._refuse(
                        f"command id {command_id!r} of {wanted[command_id]} was already used for "
                        f"a command to {owner}"
                    )

    def _refuse(self, reason: str) -> None:
        if len(self._conflicts) < SHOWN:
            self._conflicts.append(reason)
        else:
            self._more += 1


async def _digests(store: EventStore, wanted: dict[str, int]) -> dict[str, tuple[str, str]]:
    """Kind and digest of the first so many events of streams in the store."""
    found: dict[str, tuple[str, Digest]] = {}
    most, digest = 0, Digest()
    if wanted:
        async with aclosing(store.transfer.rows(list(wanted))) as pages:
            async for page in pages:
                for row in page:
                    if isinstance(row, StreamRow):
                        most, digest = wanted[row.aggregate_id], Digest()
                        found[row.aggregate_id] = (row.stream_id, digest)
                    elif isinstance(row, EventRow) and row.version <= most:
                        digest.add(encode_row(row))
    return {name: (kind, str(digest)) for name, (kind, digest) in found.items()}


class _SectionRows:
    """The rows of a section, read from the file whenever they are asked for."""

    def __init__(self, export: ExportFile, start: int, end: int, after: int) -> None:
        self._rows = (export, start, end, after)

    def __iter__(self) -> Iterator[OwnRow]:
        export, start, end, after = self._rows
        return export.rows(start, end, after=after)


async def write(
    store: EventStore, export: ExportFile, plan: ImportPlan, *, progress: Progress | None = None
) -> None:
    """Do what ``plan`` says.

    Raises:
        Conflict: a stream changed since the check. Those before it are written; importing again
            continues from there.
        Transient: the store cannot write now; importing again continues as well.
    """
    batch: list[Incoming] = []
    events = size = done = 0
    for number, action in enumerate(plan.actions):
        if action == _HERE:
            continue
        start, end = plan.starts[number], plan.ends[number]
        if batch and (events + plan.events[number] > EVENTS_AT_ONCE or size > BYTES_AT_ONCE):
            await store.transfer.write(batch)
            done += events
            batch, events, size = [], 0, 0
            if progress is not None:
                progress(done)
        after = plan.after.get(number, 0)
        stream = export.stream_at(start)
        batch.append(Incoming(stream, after, _SectionRows(export, start, end, after)))
        events += plan.events[number]
        size += end - start
    if batch:
        await store.transfer.write(batch)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
