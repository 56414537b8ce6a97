"""A plan's graph and timeline as numbers, for a program that draws them, such as the page."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from planfold.drafting.draft import Fault, Parameter
from planfold.planner.structure import critical_path
from planfold.planner.tasks import TaskSpec
from planfold.readmodels.explanation import task_history
from planfold.readmodels.labels import kind_words
from planfold.readmodels.layout import BOX_W, Layout, graph_of
from planfold.readmodels.ledger import ledger_of
from planfold.readmodels.timeline import Phase, Timeline
from planfold.readmodels.workers import QueueLook

_UNDRAWN = (Phase.Parents, Phase.Ended)


class DrawnNode(msgspec.Struct, frozen=True, array_like=True):
    """The box of a task, or of a fan-out: its tasks, the upper left corner, the height, and what
    the tasks are (a tool's name, "question", ...)."""

    tasks: tuple[int, ...]
    x: float
    y: float
    height: float
    kind: str


class DrawnEdge(msgspec.Struct, frozen=True, array_like=True):
    """A line from one node to another (their places in the list), in the path language of SVG."""

    parent: int
    child: int
    path: str


class GraphDrawing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the nodes and lines of a graph are, in pixels; all nodes are ``node_width`` wide.
    ``critical`` is the longest chain of tasks. It changes with the ``revision_hash`` only."""

    revision_hash: str = ""
    width: float
    height: float
    node_width: float = BOX_W
    nodes: list[DrawnNode]
    edges: list[DrawnEdge]
    critical: list[int]


class DrawnSpan(msgspec.Struct, frozen=True, array_like=True):
    """A task in one phase, from ``start`` to ``end`` (seconds since the epoch; None: it lasts).
    ``failed``: it is an attempt that did."""

    task_id: int
    phase: Phase
    start: float
    end: float | None
    attempt: int
    failed: bool = False


class TimelineDrawing(msgspec.Struct, frozen=True, kw_only=True):
    """The spans of a plan's tasks in which they wait for something other than tasks, or run.
    ``start`` is when the plan began, ``now`` the time up to which it is drawn; ``critical`` is
    where its time went (:class:`Ledger`)."""

    version: int
    start: float
    now: float
    ended: bool
    spans: list[DrawnSpan]
    critical: list[DrawnSpan]


class Sketch(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that is still being written: its ``faults``, or its tasks and where they are drawn.
    Tasks name others by their labels; ``notes`` are what the text says beside the tasks. ``params``
    are the parameters that it declares, also where values of them are faults."""

    faults: tuple[Fault, ...] = ()
    title: str = ""
    tasks: tuple[TaskSpec, ...] = ()
    notes: tuple[str, ...] = ()
    graph: GraphDrawing | None = None
    params: dict[str, Parameter] = {}


def graph_drawing(specs: Sequence[TaskSpec], revision_hash: str = "") -> GraphDrawing:
    """The graph of these tasks."""
    layout = Layout(specs)
    return GraphDrawing(
        revision_hash=revision_hash,
        width=layout.width,
        height=layout.height,
        nodes=[
            DrawnNode(
                tuple(spec.id for spec in node.tasks),
                *layout.corner(number),
                node.height,
                kind_words(node.tasks[0]),
            )
            for number, node in enumerate(layout.nodes)
        ],
        edges=[
            DrawnEdge(parent, number, layout.path(parent, number))
            for number, node in enumerate(layout.nodes)
            for parent in node.parents
        ],
        critical=list(critical_path(graph_of(specs), lambda _: 1.0)[1]),
    )


def timeline_drawing(timeline: Timeline, look: QueueLook | None, now: float) -> TimelineDrawing:
    """The timeline of a plan up to ``now``. ``look`` says which tasks wait in the queue; None: the
    plan is drawn as of an earlier time."""
    state = timeline.state
    ledger = ledger_of(timeline, now)
    spans: list[DrawnSpan] = []
    for task in state.tasks.values():
        found = task_history(timeline, look, task, now) if look else timeline.spans(task.id, now)
        spans += [
            DrawnSpan(s.task_id, s.phase, s.start, s.end, s.attempt, s.failed)
            for s in found
            if s.phase not in _UNDRAWN
        ]
    return TimelineDrawing(
        version=state.version,
        start=ledger.start,
        now=ledger.start + ledger.seconds,
        ended=state.outcome is not None,
        spans=spans,
        critical=[
            DrawnSpan(s.task_id, s.phase, s.start, s.end, s.attempt)
            for s in ledger.entries
            if s.phase not in _UNDRAWN
        ],
    )
