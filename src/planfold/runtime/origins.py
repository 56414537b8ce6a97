"""Forks and their origins: the state that a fork begins with is folded from its origin's events.

The history of a fork is the history of its origin up to a version, followed by its own events. All
code that folds a plan calls this module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from planfold.errors import CommandRejected, CorruptLog, NotFound
from planfold.eventstore.envelope import Envelope, Query, Undecoded
from planfold.eventstore.port import EventStore
from planfold.eventstore.transfer import where_archived
from planfold.handler import Handler
from planfold.planner.commands import ForkPlan
from planfold.planner.events import PlanForked
from planfold.planner.forks import MAX_DEPTH
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.runtime.aggregate import PLAN

PAGE: Final = 1_000  # events that are read at a time


async def begin_fork(store: EventStore, handler: Handler[Any, Any], first: object) -> None:
    """If ``first``, a plan's first event or command, makes it a fork, let ``handler`` begin with
    the origin's state.

    Raises:
        CorruptLog: the origin of a recorded fork is not in the store, has another history there,
            or cannot be read.
        NotFound, CommandRejected: a command names no version that can be forked.
    """
    if not isinstance(handler, Planner):
        return
    if isinstance(first, PlanForked):
        handler.state = await state_at(store, first.origin, first.version, first.checksum)
    elif isinstance(first, ForkPlan):
        await _check_version(store, first)
        handler.state = await state_at(store, first.origin, first.version, first.checksum)


async def base_of(store: EventStore, plan_id: str) -> PlannerState | None:
    """The state that a fork begins with; None for any other plan. Raises CorruptLog."""
    first = await _first_event(store, plan_id)
    if not isinstance(first, PlanForked):
        return None
    return await state_at(store, first.origin, first.version, first.checksum)


async def state_at(
    store: EventStore, plan_id: str, version: int, checksum: str = ""
) -> PlannerState:
    """The state of a plan at a version, for a fork to begin with: it has no events of its own.

    Raises CorruptLog: the plan, a fork's origin or an event is missing, or cannot be read; or the
    event at the version, or at one that was forked, has another checksum.
    """
    planner = Planner()
    for origin, last, expected in reversed(await _chain(store, plan_id, version, checksum)):
        await _take_in(store, planner, origin, last, expected)
    planner.state.version = 0
    return planner.state


async def history_of(store: EventStore, plan_id: str, last: int) -> list[Envelope]:
    """A plan's events up to a version; before those of a fork, what it shares with its origins."""
    found: list[Envelope] = []
    for origin, version, _ in reversed(await _chain(store, plan_id, last)):
        found += [envelope async for envelope in events_up_to(store, origin, version)]
    return found


async def checksum_at(store: EventStore, plan_id: str, version: int) -> str:
    """The checksum of the plan's event at a version; empty if there is none."""
    if not 1 <= version <= await store.version(plan_id):
        return ""
    page = await store.read_versions(plan_id, after=version - 1, limit=1)
    return page[0].checksum if page else ""


async def _chain(
    store: EventStore, plan_id: str, version: int, checksum: str = ""
) -> list[tuple[str, int, str]]:
    """A plan and its origins, each with the version up to which it counts, and the checksum of the
    event there."""
    chain = [(plan_id, version, checksum)]
    while isinstance(first := await _first_event(store, chain[-1][0]), PlanForked):
        chain.append((first.origin, first.version, first.checksum))
        if len(chain) > MAX_DEPTH + 1:
            raise CorruptLog(f"{plan_id} continues more than {MAX_DEPTH} plans; it is read-only")
    return chain


async def _take_in(
    store: EventStore, planner: Planner, plan_id: str, last: int, checksum: str
) -> None:
    read = 0
    async for envelope in events_up_to(store, plan_id, last):
        event = envelope.event
        if isinstance(event, Undecoded):
            raise CorruptLog(
                f"{envelope.event_id}: {event.reason}; a plan that continues it is read-only"
            )
        read += 1
        if envelope.version != read:
            break
        if read == last and checksum not in ("", envelope.checksum):
            raise CorruptLog(
                f"{envelope.event_id} is of another history than the one that a fork of {plan_id} "
                "continues; that fork is read-only"
            )
        planner.recorded_at = envelope.recorded_at
        planner.apply(event)
    if read != last:
        raise CorruptLog(await _why_missing(store, plan_id, last))


async def _why_missing(store: EventStore, plan_id: str, version: int) -> str:
    if archived := await store.transfer.tombstones([plan_id]):
        return f"the plan continues another one, and {where_archived(archived[0])}"
    return (
        f"the plan continues version {version} of {plan_id}, which is not in this database; "
        "import a file that has it"
    )


async def events_up_to(store: EventStore, plan_id: str, last: int) -> AsyncIterator[Envelope]:
    """A plan's own events up to a version, a page at a time."""
    query, after, left = Query(PLAN.stream_id, aggregate_id=plan_id), 0, last
    while left > 0 and (page := await store.read(query, after=after, limit=min(left, PAGE))):
        for envelope in page:
            yield envelope
        after, left = page[-1].position, left - len(page)


async def _first_event(store: EventStore, plan_id: str) -> object:
    page = await store.read(Query(PLAN.stream_id, aggregate_id=plan_id), limit=1)
    return page[0].event if page else None


# --- versions that can be forked ------------------------------------------------------------------


async def decision_end(store: EventStore, plan_id: str, version: int) -> int:
    """The version at the end of the decision that the event at ``version`` belongs to. In the
    middle of a decision a plan is not in a state that it could continue from."""
    if version == await store.version(plan_id):
        return version
    ends = await _ends(store, plan_id, version)
    return next((end for end in ends if end >= version), version)


async def decision_start(store: EventStore, plan_id: str, version: int) -> int:
    """The version before the decision that the event at ``version`` belongs to."""
    ends = await _ends(store, plan_id, version)
    return max((end for end in ends if end < version), default=0)


async def _ends(store: EventStore, plan_id: str, version: int) -> list[int]:
    """The last versions of the plan's decisions, as far as the one that ``version`` is in."""
    from planfold.readmodels.replay import continues  # few programs need it

    ends: list[int] = []
    before: Envelope | None = None
    last = await store.version(plan_id)
    async for envelope in events_up_to(store, plan_id, last):
        if before is not None and not continues(before, envelope):
            ends.append(before.version)
            if before.version >= version:
                return ends
        before = envelope
    return [*ends, last]


async def _check_version(store: EventStore, command: ForkPlan) -> None:
    head = await store.head(command.origin)
    if head is None or head.stream_id != PLAN.stream_id:
        raise NotFound(f"there is no plan {command.origin!r}").about("plan")
    if not 1 <= command.version <= head.version:
        raise NotFound(
            f"plan {command.origin} has no version {command.version}; its versions are 1 to "
            f"{head.version}"
        )
    end = await decision_end(store, command.origin, command.version)
    if end != command.version:
        raise CommandRejected(
            f"version {command.version} of {command.origin} is in the middle of a decision, which "
            f"ends at version {end}; fork that one"
        )
    if command.checksum not in ("", await checksum_at(store, command.origin, command.version)):
        raise CommandRejected(
            f"version {command.version} of {command.origin} has another checksum; leave it out"
        )
