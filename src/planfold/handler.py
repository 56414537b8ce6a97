"""``Handler``: a decision (``process``) and its memory (``fold``), and nothing else.

A handler is pure: no clock, no randomness, no I/O. The dispatcher loads its events, folds them,
lets it process a command and appends what comes out. It knows nothing of plans: the planner is
the first handler, your own aggregates are the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Self, TypeVar

import msgspec

C = TypeVar("C")
E = TypeVar("E")


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an event comes from.

    ``correlation_id`` is shared by everything that one request set off; ``causation_id`` is the
    id of the command that caused this event (for a command: of the event that caused it).

    What the decision was made from beyond the log: ``now``, the time it was given (0.0: the same
    as ``recorded_at``), ``jitter``, and ``command`` as plain JSON where the events do not say it.
    On the report of an attempt: the ``worker`` that ran it, when it was claimed and when its
    effect began (0.0: not known; recorded to 0.1 ms). Times are seconds since the epoch.
    """

    correlation_id: str = ""
    causation_id: str = ""
    extra: dict[str, str] = {}
    now: float = 0.0
    jitter: float | None = None
    worker: str = ""
    claimed_at: float = 0.0
    began_at: float = 0.0
    command: Any = None


class Enqueue(msgspec.Struct, frozen=True):
    """Work for an executor begins: one row in the task queue.

    ``tool`` is what a worker needs to run it (a tool's name; for a task without one, its route);
    tasks of a higher ``priority`` are granted first.
    """

    task_id: int
    attempt: int
    route: str
    tool: str = ""
    priority: int = 0


class Settle(msgspec.Struct, frozen=True):
    """The work is over or withdrawn: its row leaves the task queue."""

    task_id: int


class Signal(msgspec.Struct, frozen=True):
    """Whoever runs this task is asked to stop it."""

    task_id: int


QueueChange = Enqueue | Settle | Signal


class Handler(Generic[C, E]):
    """Base of every aggregate: commands ``C`` in, events ``E`` out.

    Subclasses implement :meth:`process` and :meth:`apply`; the other methods are hooks with
    defaults that suit an aggregate without tasks, timers or snapshots.
    """

    def process(self, command: C) -> list[E]:
        """Decide. Returns the events that ``command`` causes in the present state, without
        applying them; an empty list when it was already honoured.

        Raises:
            CommandRejected: the command is not legal now.
        """
        raise TypeError(f"{type(self).__name__} does not implement process()")

    def apply(self, event: E) -> None:
        """Advance this handler, in place, by one event that has happened."""
        raise TypeError(f"{type(self).__name__} does not implement apply()")

    @classmethod
    def fold(cls, history: Iterable[E]) -> Self:
        """Rebuild a handler from its whole history, oldest event first."""
        handler = cls()
        for event in history:
            handler.apply(event)
        return handler

    def next_command(self, now: float) -> C | None:
        """The command that should follow by itself, or None. ``now``: seconds since the epoch."""
        return None

    def due_at(self) -> float | None:
        """When :meth:`next_command` should be asked again, in seconds since the epoch."""
        return None

    def queue_changes(self, event: E) -> Sequence[QueueChange]:
        """What ``event`` means for the task queue; called after it was applied."""
        return ()

    def head(self) -> dict[str, Any]:
        """A few plain JSON values that stand beside the stream for lists; may be empty."""
        return {}

    def snapshot(self) -> bytes | None:
        """The whole state as bytes, or None when this aggregate is not worth a snapshot."""
        return None

    @classmethod
    def restore(cls, snapshot: bytes) -> Self | None:
        """The handler that :meth:`snapshot` saved, or None when the bytes are of another shape."""
        return None
