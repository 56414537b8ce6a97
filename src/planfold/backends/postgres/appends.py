"""Decisions as the function ``planfold.append`` takes them, and its answers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from planfold.backends.names import of_another_kind, require_storable_names
from planfold.errors import Conflict, CorruptLog, LeaseLost, Permanent, PlanfoldError
from planfold.eventstore.codec import Codec
from planfold.eventstore.event_rows import new_events
from planfold.eventstore.port import Append
from planfold.eventstore.transfer import Tombstone, archived
from planfold.handler import Enqueue, Settle
from planfold.shared_limits import joined

LARGEST_BYTES = 256_000_000  # of one decision; the server takes less than 1 GiB in one message

_encode = msgspec.json.Encoder().encode
_NONE: tuple[None, ...] = (None,) * 8


class QueueRow(msgspec.Struct, gc=False):
    """A row that enters the queue."""

    task_id: int
    attempt: int
    route: str
    cause: int
    owner: str | None
    tool: str = ""
    priority: int = 0
    cancel: bool = False
    rank: int | None = None  # among those without an owner
    limits: str = ""


Touch = tuple[int, str, int | None, int | None]
"""A row of the queue that may be there: its task, what to do with it, and the attempt and epoch
that it must have, if any."""


class PendingAppend:
    """One encoded decision, with the future of its answer: the position of its last event."""

    __slots__ = (
        "append",
        "decided",
        "events",
        "future",
        "head",
        "receipt",
        "size",
        "submitted",
        "tasks",
        "times",
        "touches",
    )

    def __init__(
        self, append: Append, codec: Codec, future: asyncio.Future[int], now: float
    ) -> None:
        """``now`` is the store's clock.

        Raises:
            ValueError: something cannot be stored.
            Permanent: it is too large.
        """
        require_storable_names(append)
        self.append = append
        self.future = future
        self.submitted = time.monotonic()
        self.receipt = secrets.randbits(63)
        self.head = _encode(append.head).decode()
        self.decided = now if append.now is None else append.now
        self.events = new_events(codec, append, self.decided)
        self.times = list(append.times) or None
        self.touches: list[Touch] = [
            (fence.task_id, "fence", fence.attempt, fence.epoch) for fence in append.fences
        ]
        self.tasks: list[QueueRow] = []
        if append.queue:
            self._net_changes(append)
        self.size = sum(len(row[3]) + len(row[4]) for row in self.events) + len(self.head)
        if self.size > LARGEST_BYTES:
            raise Permanent(
                f"{append.aggregate_id}: one decision has {self.size:,} bytes, and the limit is "
                f"{LARGEST_BYTES:,}; put large results into files"
            )

    def _net_changes(self, append: Append) -> None:
        """The net effect of the changes in their order: existing rows are changed first, then new
        ones are added."""
        settled: set[int] = set()
        signalled: set[int] = set()
        entered: dict[int, QueueRow] = {}
        for change, version in append.queue:
            task_id = change.task_id
            if isinstance(change, Enqueue):
                owner = append.owner if task_id in append.leased else None
                about = (task_id, change.attempt, change.route, version, owner)
                limits = joined(change.limits) if change.limits else ""
                row = QueueRow(*about, change.tool, change.priority, limits=limits)
                entered[task_id] = row
            elif isinstance(change, Settle):
                entered.pop(task_id, None)
                settled.add(task_id)
            elif task_id in entered:
                entered[task_id].cancel, entered[task_id].limits = True, ""
            else:
                signalled.add(task_id)
        for place, (task_id, _, attempt, epoch) in enumerate(self.touches):
            if task_id in settled:  # one row of the arguments says both
                self.touches[place] = (task_id, "settle", attempt, epoch)
                settled.discard(task_id)
                signalled.discard(task_id)
        self.touches += [(task_id, "settle", None, None) for task_id in settled]
        self.touches += [(task_id, "signal", None, None) for task_id in signalled - settled]
        for rank, task in enumerate((t for t in entered.values() if t.owner is None), 1):
            task.rank = rank
        self.tasks += entered.values()

    @property
    def is_plain(self) -> bool:
        """Whether ``append_one`` can write it: there is an event, it depends on one lease at most,
        which it may settle, of a stream that exists, and no task is under a limit."""
        append = self.append
        fences = len(append.fences)
        if append.commands or not append.events or fences > (append.expected_version > 0):
            return False
        if len(self.touches) != fences:
            return False
        return not any(task.cancel or task.limits for task in self.tasks)

    def plain_arguments(self) -> tuple[Any, ...]:
        """The arguments of the statement ``append_one``: two events and one task as scalars, then
        the columns of the other rows."""
        append = self.append
        events = [(*event[1:5], event[6]) for event in self.events]
        tasks = [
            (t.task_id, t.attempt, t.route, t.cause, t.owner, t.tool, t.priority, t.rank)
            for t in self.tasks
        ]
        lease: tuple[Any, ...] = _NONE[:4]
        if self.touches:
            ((task_id, kind, attempt, epoch),) = self.touches
            lease = (task_id, attempt, epoch, kind == "settle")
        return (
            append.aggregate_id,
            append.stream_id,
            append.expected_version,
            len(events),
            self.head,
            append.due_at,
            self.receipt,
            self.decided,
            *events[0],
            *(events[1] if len(events) > 1 else _NONE[:5]),
            *_encoded("tndtn", events[2:]),
            _numbers(self.times) if self.times else None,
            *lease,
            sum(task.owner is None for task in self.tasks),
            *(tasks[0][:7] if tasks else _NONE[:7]),
            *_encoded("nntnttnn", tasks[1:]),
        )

    def answer(self, result: int | PlanfoldError) -> None:
        if self.future.done():
            return
        if isinstance(result, PlanfoldError):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


def arguments(batch: Sequence[PendingAppend], lease_s: float, clock: float | None) -> list[Any]:
    """The arguments of the statement ``append``."""
    appends = [decision.append for decision in batch]
    return [
        _texts([append.aggregate_id for append in appends]),
        _texts([append.stream_id for append in appends]),
        _numbers([append.expected_version for append in appends]),
        _numbers([len(append.events) for append in appends]),
        [decision.head for decision in batch],
        _numbers([append.due_at for append in appends]),
        _numbers([decision.receipt for decision in batch]),
        _numbers([decision.decided for decision in batch]),
        *_columns(
            batch,
            "nntndtn",
            lambda decision: [(*row[:5], row[6]) for row in decision.events],
        ),
        _times(batch),
        *_columns(batch, "nntnn", lambda decision: decision.touches),
        *_columns(
            batch,
            "nnntntntnnt",
            lambda decision: [
                (
                    *(t.task_id, t.attempt, t.route, t.cause, t.owner),
                    *(t.cancel, t.tool, t.priority, t.rank, t.limits),
                )
                for t in decision.tasks
            ],
        ),
        *_columns(
            batch,
            "ntt",
            lambda decision: [(c.command_id, c.body_hash) for c in decision.append.commands],
        ),
        lease_s,
        clock,
    ]


def _times(batch: Sequence[PendingAppend]) -> str | None:
    """When each event is recorded; None: all at the time of their decision."""
    if not any(decision.append.times for decision in batch):
        return None
    return _numbers([row[5] for decision in batch for row in decision.events])


def _columns(
    batch: Sequence[PendingAppend],
    kinds: str,
    rows_of: Callable[[PendingAppend], Sequence[tuple[Any, ...]]],
) -> Sequence[Any]:
    """The columns of all rows after their decision's place."""
    rows = [(place, *row) for place, decision in enumerate(batch, 1) for row in rows_of(decision)]
    return _encoded(kinds, rows)


def _encoded(kinds: str, rows: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
    """The columns of rows, as arrays. ``kinds`` has a letter for each: "n" for numbers and truth
    values, "t" for short texts, "d" for data. Without rows they are None: empty arrays would cost
    as much as those with one element. Most arrays travel as PostgreSQL's text of them, because
    asyncpg takes several times as long to encode each element."""
    if not rows:
        return [None] * len(kinds)
    columns = zip(*rows, strict=True)
    return [_ENCODED[kind](column) for kind, column in zip(kinds, columns, strict=True)]


def _numbers(column: Sequence[float | None]) -> str:
    """PostgreSQL's text of an array of numbers or truth values."""
    return "{" + _encode(column)[1:-1].decode() + "}"


def _texts(column: Sequence[str | None]) -> str:
    """PostgreSQL's text of an array of texts, none of which holds NUL."""
    if None in column:
        return "{" + ",".join("NULL" if t is None else _texts((t,))[1:-1] for t in column) + "}"
    joined = "\0".join(column)  # type: ignore[arg-type]
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + escaped.replace("\0", '","') + '"}'


_ENCODED: dict[str, Callable[[Sequence[Any]], Any]] = {"n": _numbers, "t": _texts, "d": list}


def answers(
    batch: Sequence[PendingAppend],
    positions: str | None,
    refusals: Sequence[str | None] | None,
) -> list[int | PlanfoldError]:
    """The outcome of each decision, from the answer of the statement ``append``. ``positions`` is
    PostgreSQL's text of an array."""
    found = map(int, positions[1:-1].split(",") if positions else ())
    results: list[int | PlanfoldError] = []
    for decision, refusal in zip(batch, refusals or [None] * len(batch), strict=True):
        if refusal is None:
            last = 0
            for _ in decision.events:
                last = next(found)
            results.append(last)
        else:
            results.append(_refused(decision.append, refusal))
    return results


def _refused(append: Append, refusal: str) -> int | PlanfoldError:
    """The error for ``refusal``: a keyword of the SQL function and its subject."""
    kind, _, about = refusal.partition(" ")
    aggregate_id = append.aggregate_id
    match kind:
        case "written":  # it was sent before, and only the answer was lost
            return int(about)
        case "lease":
            task_id, _, attempt = about.partition(" ")
            return LeaseLost(
                f"attempt {attempt} of task {task_id} in {aggregate_id} is not leased to this "
                "worker any more",
                int(task_id),
            )
        case "command":
            return Conflict(f"command {about} is already recorded")
        case "kind":
            return of_another_kind(aggregate_id, about, append.stream_id)
        case "archived":
            return archived(msgspec.json.decode(about, type=Tombstone))
        case "corrupt":
            head, _, last = about.partition(" ")
            return CorruptLog(f"{aggregate_id} is at version {head}, but its last event is {last}")
        case _:
            return Conflict(f"{aggregate_id} is not at version {append.expected_version} any more")
