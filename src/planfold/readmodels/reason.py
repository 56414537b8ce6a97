"""``Reason``: what keeps a task from running, or became of it; and how one is made."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

import msgspec

from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task
from planfold.readmodels.labels import SHOWN, labels_of, named


class ReasonKind(StrEnum):
    """What keeps a task from running, or its outcome."""

    Approval = "approval"
    Parents = "parents"
    Answer = "answer"
    Budget = "budget"
    Pause = "pause"  # of the plan, or a break-point
    PlanLimit = "plan_limit"
    RouteLimit = "route_limit"
    MapLimit = "map_limit"
    Items = "items"  # of a map run
    Wait = "wait"  # for a time or a signal
    Retry = "retry"
    SharedLimit = "shared_limit"  # over all workers has no place
    NoWorker = "no_worker"  # that lives can run it
    BusyWorker = "busy_worker"  # those that can run it have not taken it
    DeadWorker = "dead_worker"  # holds its lease
    Running = "running"
    Stopping = "stopping"
    Failed = "failed"
    Skipped = "skipped"
    Cancelled = "cancelled"
    Undone = "undone"


class WorkerFit(msgspec.Struct, frozen=True):
    """A live worker, and what keeps it from claiming the task (empty: nothing)."""

    owner: str
    constraint: str


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why ``tasks`` do not run, or their outcome. ``text`` follows their name ("waits for
    approval"), ``remedy`` says what helps.

    ``since`` and ``until`` (when time alone changes it) are seconds since the epoch; None: not
    known. ``by`` are tasks of the plan: the parents, the ones that hold all slots, or the one that
    failed. Under a limit, ``limit`` is its value and ``ahead`` the number of tasks that start
    earlier. ``worker`` holds the task; ``workers`` are those that live.
    ``choices`` are the answers that a question offers; with ``needs_result`` the first of them
    needs the result. ``signal`` and ``key`` (None: the plan's id) are those that a wait is for;
    of one that failed, ``signal`` is the one that did not come. ``plan_id`` is the sub-plan whose
    end a task waits for. ``route`` is the one that no worker
    serves, ``tool`` the one that a worker needs. Where the task has ended, ``helps`` is "retry" (or
    a revision), "revise" (a retry would end in the same way) or None: nothing has to be done.
    """

    kind: ReasonKind
    tasks: tuple[int, ...]
    text: str
    remedy: str
    since: float | None = None
    until: float | None = None
    by: tuple[int, ...] = ()
    limit: int | None = None
    ahead: int | None = None
    worker: str | None = None
    workers: tuple[WorkerFit, ...] = ()
    choices: tuple[str, ...] = ()
    route: str | None = None
    needs_result: bool = False
    tool: str | None = None
    signal: str | None = None
    key: str | None = None
    plan_id: str | None = None
    helps: Literal["retry", "revise"] | None = None


def names_in(state: PlannerState, ids: Sequence[int]) -> str:
    """The names of tasks in a reason."""
    return named(ids, labels_of(state.tasks[i].spec for i in ids[:SHOWN]))


def reason_of(
    kind: ReasonKind,
    task: Task,
    text: str,
    remedy: str,
    *,
    until: float | None = None,
    by: Sequence[int] = (),
    limit: int | None = None,
) -> Reason:
    """A reason of one task."""
    return Reason(
        kind=kind,
        tasks=(task.id,),
        text=text,
        remedy=remedy,
        until=until,
        by=tuple(by),
        limit=limit,
    )


def first_line(error: str | None) -> str:
    """The first line of an error or another text."""
    return (error or "").partition("\n")[0]
