"""``Handler``: a decision (``process``) and its memory (``fold``), and nothing else.

A handler is pure: no clock, no randomness, no I/O. The dispatcher loads its events, folds them,
lets it process a command and appends the events. It knows nothing of plans: the planner is
the first handler, your own aggregates are the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Generic, Literal, Self, TypeVar

import msgspec

C = TypeVar("C")
E = TypeVar("E")


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
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


def event_id(aggregate_id: str, version: int) -> str:
    """The id of the event at a version of a stream: it needs no column of its own."""
    return f"{aggregate_id}#{version}"


BELOW = "."  # between the id of a stream and what makes it that of one below it


def is_within(aggregate_id: str, other: str) -> bool:
    """Whether a stream is the ``other`` one or below it, at any depth, as sub-plans are."""
    return aggregate_id == other or aggregate_id.startswith(other + BELOW)


class Enqueue(msgspec.Struct, frozen=True, gc=False):
    """Work for an executor begins: one row in the task queue.

    ``tool`` is what a worker needs to run it (a tool's name; for a task without one, its route);
    tasks of a higher ``priority`` are granted first. ``safe``: it may run again after a crash, so
    it may begin before its dispatch is durable. ``limits`` are names of shared limits; a task that
    names one begins only by a claim.
    """

    task_id: int
    attempt: int
    route: str
    tool: str = ""
    priority: int = 0
    safe: bool = False
    limits: tuple[str, ...] = ()


class Settle(msgspec.Struct, frozen=True, gc=False):
    """The work has ended or was withdrawn: its row leaves the task queue."""

    task_id: int


class Signal(msgspec.Struct, frozen=True, gc=False):
    """The worker that runs this task is asked to stop it."""

    task_id: int


QueueChange = Enqueue | Settle | Signal


StreamPhase = Literal["active", "waiting", "ended"]


class Outlook(msgspec.Struct, Generic[C], frozen=True, gc=False):
    """What follows from the present state.

    ``command`` is decided next, in the same commit. ``due_at`` is when time alone changes
    something (seconds since the epoch). ``queue`` is what the last events change in the task
    queue, each with the place of its event among them. ``head`` holds a few plain JSON values of
    the stream for lists; ``origins`` among them names streams that this one cannot be folded
    without, which exports and archives keep together. ``size`` estimates the memory that the state
    takes, in bytes (0: unknown). ``phase`` says whether a snapshot is worth its writing: while the
    stream is ``waiting`` for a person more than while it is ``active``, once it has ``ended`` no
    more. ``due_since`` is when the wait for ``due_at`` began (0.0: not known): the wait is never
    longer than that, even where the clock is set back. While there is a ``command``, only
    ``queue`` is read beside it.
    """

    command: C | None = None
    due_at: float | None = None
    queue: Sequence[tuple[int, QueueChange]] = ()
    head: dict[str, Any] = {}
    size: int = 0
    phase: StreamPhase = "active"
    due_since: float = 0.0


_NOTHING: Outlook[Any] = Outlook()


class Handler(Generic[C, E]):
    """Base of every aggregate: commands ``C`` in, events ``E`` out.

    Subclasses implement :meth:`process` and :meth:`apply`; the other methods are hooks with
    defaults that suit an aggregate without tasks, timers or snapshots.

    ``recorded_at`` is when the event that is applied was recorded, in seconds since the epoch;
    0.0 where it is not known. The caller of :meth:`apply` sets it.

    Example:
        import msgspec
        from planfold.log import Handler
        from planfold.testing import given

        class Add(msgspec.Struct, frozen=True):
            number: int

        class Added(msgspec.Struct, frozen=True):
            number: int

        class Sum(Handler[Add, Added]):
            def __init__(self):
                self.total = 0

            def process(self, command):
                return [Added(command.number)]

            def apply(self, event):
                self.total += event.number

        given(Sum, Added(3)).when(Add(4)).then(Added(4))
    """

    recorded_at: float = 0.0

    def process(self, command: C) -> list[E]:
        """Decide. Returns the events that ``command`` causes in the present state, without
        applying them; an empty list when it was already carried out.

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
        handler.take_in(history, repeat(handler.recorded_at))
        return handler

    def take_in(self, events: Iterable[E], times: Iterable[float]) -> None:
        """:meth:`apply` each of these events; ``times`` says when each was recorded."""
        for event, self.recorded_at in zip(events, times, strict=False):
            self.apply(event)

    def outlook(self, events: Sequence[E] = (), now: float = 0.0) -> Outlook[C]:
        """What follows after ``events``, which were just applied, at the time ``now`` (seconds
        since the epoch)."""
        return _NOTHING

    def snapshot(self) -> bytes | None:
        """The whole state as bytes, or None when this aggregate is not worth a snapshot."""
        return None

    @classmethod
    def restore(cls, snapshot: bytes) -> Self | None:
        """The handler that :meth:`snapshot` saved, or None when the bytes are of another shape."""
        return None
