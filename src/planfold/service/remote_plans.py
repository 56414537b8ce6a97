"""``RemotePlans``: the plans of a service, for programs that work on a database as well.

It reads the log of a plan over HTTP and folds it here, and sends each decision to its route.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from planfold.errors import ConfigurationError, CorruptLog, NotFound
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope, Query, Undecoded
from planfold.eventstore.heads import StreamHead
from planfold.eventstore.port import EventStore
from planfold.handler import Metadata
from planfold.planner import commands as c
from planfold.planner.events import Event
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import PlanStatus
from planfold.projects import DEFAULT
from planfold.readmodels.explanation import Explanation
from planfold.readmodels.ledger import Ledger
from planfold.readmodels.plan_fold import PlanFold
from planfold.readmodels.workers import Unclaimed
from planfold.runtime.aggregate import PLAN
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.fork import Fork
from planfold.runtime.forking import PlanForking
from planfold.service import messages as m
from planfold.service.client import Client
from planfold.service.operations import EventFeed, Operation
from planfold.service.paging import cursor_of


class RemoteLog:
    """The part of :class:`EventStore` that reading plans needs, over HTTP."""

    clock = staticmethod(time.time)

    def __init__(self, client: Client) -> None:
        self._client = client
        self.codec = Codec(PLAN.event_types)

    @property
    def transfer(self) -> RemoteLog:
        return self

    async def tombstones(self, ids: Sequence[str]) -> list[Any]:
        """None: the service itself says where a plan is that was archived."""
        return []

    async def find_tombstones(self, beginning: str) -> list[Any]:
        return []

    async def head(self, aggregate_id: str) -> StreamHead | None:
        found = await self.find_heads(PLAN.stream_id, aggregate_id, limit=1)
        return found[0] if found and found[0].aggregate_id == aggregate_id else None

    async def find_heads(
        self, stream_id: str, beginning: str, *, limit: int = 10, projects: tuple[str, ...] = ()
    ) -> list[StreamHead]:
        page = await self._client.plans(id=beginning, limit=limit)
        return [_head_of(entry) for entry in page.plans]

    async def version(self, aggregate_id: str) -> int:
        head = await self.head(aggregate_id)
        return head.version if head is not None else 0

    async def read(
        self, query: Query, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        if query.aggregate_id is None:
            raise ConfigurationError("a service gives the log of all plans only as it grows").about(
                "all plans"
            )
        page = await self._client.log(query.aggregate_id, after=after, limit=_page(limit))
        return [self.envelope(event) for event in page.events]

    async def read_versions(
        self, aggregate_id: str, *, after: int = 0, limit: int | None = None
    ) -> list[Envelope]:
        page = await self._client.log(aggregate_id, after_version=after, limit=_page(limit))
        return [self.envelope(event) for event in page.events]

    async def subscribe(self, query: Query, *, after: int = 0) -> AsyncIterator[Envelope]:
        async for event in self._client.events(after=after):
            yield self.envelope(event)

    def envelope(self, record: m.EventRecord) -> Envelope:
        """The event as the store has it."""
        data = msgspec.json.encode(record.data)
        try:
            event = self.codec.decode(record.event_type, record.event_version, data)
        except CorruptLog as fault:
            event = Undecoded(str(fault), data.decode())
        return Envelope(
            position=record.position,
            stream_id=record.stream_id,
            aggregate_id=record.aggregate_id,
            version=record.version,
            event_type=record.event_type,
            event_version=record.event_version,
            event=event,
            metadata=msgspec.convert(record.metadata, Metadata),
            recorded_at=record.recorded_at,
        )


def _page(limit: int | None) -> int:
    return m.LONGEST_PAGE if limit is None else min(limit, m.LONGEST_PAGE)


def _head_of(entry: m.PlanEntry) -> StreamHead:
    names = ["title", "status", "total", "completed", "questions"]
    names += [name for name in ("priority", "origins", "tags") if getattr(entry, name)]
    names += ["project"] if entry.project != DEFAULT else []
    values = msgspec.to_builtins(entry)
    if entry.status is None:  # the head was damaged
        names = []
    return StreamHead(
        stream_id=PLAN.stream_id,
        aggregate_id=entry.id,
        version=entry.version,
        head={name: values[name] for name in names},
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


_NO_DISPATCHER: Final = cast("Dispatcher", None)  # nothing below asks for one


class RemotePlans(PlanForking):
    """Plans of the service that ``client`` talks to. Who decides is the holder of its token:
    ``by`` and ``approved_by`` have no effect beyond that."""

    def __init__(self, client: Client) -> None:
        log = RemoteLog(client)
        super().__init__(cast("EventStore", log), _NO_DISPATCHER)
        self.client = client
        self._log = log

    # --- reading ------------------------------------------------------------------------------

    async def planner(self, plan_id: str, *, at_least: int | None = None) -> Planner:
        return Planner((await self.fold(plan_id)).state)

    def _settled(self, plan_id: str) -> Planner | None:
        return None  # the service knows

    async def _long(self, plan_id: str) -> PlanFold | None:
        return None  # snapshots are the service's own

    async def _missing(self, plan_id: str) -> NotFound:
        try:
            await self.client.log(plan_id, limit=1)
        except NotFound as fault:
            return fault.about("plan")
        return NotFound(f"there is no plan {plan_id!r}").about("plan")

    async def status(self, plan_id: str) -> PlanStatus:
        head = await self.store.head(plan_id)
        if head is None:
            raise await self._missing(plan_id)
        if "status" not in head.head:  # the head was damaged
            return (await self.planner(plan_id)).state.status
        return PlanStatus(head.head["status"])

    async def plans(
        self,
        *,
        limit: int | None = 100,
        after: str | None = None,
        statuses: Iterable[PlanStatus] = (),
        title: str = "",
        since: float | None = None,
        before: float | None = None,
        projects: Iterable[str] = (),
        tags: Iterable[str] = (),
    ) -> list[StreamHead]:
        cursor, wanted, tags = None, [*projects], [*tags]
        if len(wanted) > 1:
            raise ConfigurationError("a service lists the plans of one project, or all")
        if after is not None:
            head = await self.store.head(after)
            if head is None:
                raise await self._missing(after)
            cursor = cursor_of([head], 1)
        found: list[StreamHead] = []
        while limit is None or len(found) < limit:
            page = await self.client.plans(
                status=statuses,
                title=title,
                since=since,
                until=before,
                project=wanted[0] if wanted else None,
                tags=tags,
                before=cursor,
                limit=_page(limit),
            )
            found += map(_head_of, page.plans)
            if page.next is None:
                break
            cursor = page.next
        return found[:limit]

    async def watch(self, plan_id: str, *, after: int = 0) -> AsyncIterator[Envelope]:
        feed: EventFeed = self.client.events(plan_id, after=after)
        async for event in feed:
            yield self._log.envelope(event)

    async def why(
        self, plan_id: str, task: int | str | None = None, *, history: bool = False
    ) -> Explanation:
        return await self.client.why(plan_id, task, history=history)

    async def ledger(self, plan_id: str) -> Ledger:
        return await self.client.time(plan_id)

    async def unclaimed(self, plan_id: str, state: PlannerState | None = None) -> Unclaimed:
        return await self.client.queue(plan_id)

    # --- decisions ----------------------------------------------------------------------------

    async def approve(
        self, plan_id: str, revision_hash: str | None = None, *, by: str = ""
    ) -> None:
        if revision_hash is None:
            revision_hash = (await self.planner(plan_id)).state.revision_hash
        await self.client.approve(plan_id, revision_hash)

    async def reject(self, plan_id: str, *, reason: str = "", by: str = "") -> None:
        await self.client.reject(plan_id, reason=reason)

    async def fork(
        self,
        plan_id: str,
        *,
        at: int | str | None = None,
        changes: Mapping[str, Any] | None = None,
        answers: Mapping[int | str, str] | None = None,
        keep_answers: bool = False,
        repeat: Iterable[int | str] = (),
        by: str = "",
        approved_by: str | None = None,
        dry_run: bool = False,
        fork_id: str | None = None,
    ) -> Fork:
        wanted: dict[str, Any] = {
            "at": at,
            "changes": dict(changes or {}),
            "answers": {str(task): text for task, text in (answers or {}).items()},
            "keep_answers": keep_answers,
            "repeat": tuple(map(str, repeat)),
        }
        tried = await self.client.fork_preview(plan_id, m.ForkSource(**wanted))
        if dry_run:
            return tried
        wanted["at"] = tried.version  # what was shown is what begins
        approve = approved_by is not None
        request = m.ForkRequest(**wanted, approve=approve, plan_id=fork_id)
        receipt = await self.client.fork(plan_id, request)
        return msgspec.structs.replace(tried, plan_id=receipt.plan_id)

    async def signal(self, name: str, key: str, data: Any = None, *, id: str | None = None) -> bool:
        taken = await self.client.signal(name, key, data, id=id)
        return bool(taken["new"])

    async def _send(
        self,
        plan_id: str,
        command: c.Command,
        *,
        command_id: str | None = None,
        new: bool = False,
    ) -> list[Event]:
        """What followed may hold an event of another decision that was made at the same time."""
        version = await self.store.version(plan_id)
        await self._operation(plan_id, command)
        following = await self.store.read_versions(plan_id, after=version, limit=1)
        return [envelope.event for envelope in following]

    def _operation(self, plan_id: str, command: c.Command) -> Operation[m.Receipt]:
        client = self.client
        match command:
            case c.ApprovePlan(revision_hash):
                return client.approve(plan_id, revision_hash)
            case c.HandleExecutorEvent(task_id, c.ClarificationProvided() as report):
                return client.answer(
                    plan_id, task_id, report.answer, failed=report.failed, result=report.result
                )
            case c.ChangeAnswer(task_id, answer, repeat=repeat):
                return client.change_answer(plan_id, task_id, answer, repeat=repeat)
            case c.CancelPlan(reason):
                return client.cancel(plan_id, reason=reason)
            case c.CancelTask(task_id, subtree, reason):
                return client.cancel(plan_id, task_id, subtree=subtree, reason=reason)
            case c.RetryTask(task_id):
                return client.retry(plan_id, task_id)
            case c.PausePlan(task_ids, reason):
                return client.pause(plan_id, before=task_ids, reason=reason)
            case c.UnpausePlan(task_ids):
                return client.unpause(plan_id, before=task_ids)
            case c.SkipTask(task_id, reason):
                return client.skip(plan_id, task_id, reason=reason)
            case c.CompleteTask(task_id, result, reason):
                return client.complete(plan_id, task_id, result, reason=reason)
            case c.UndoPlan():
                return client.undo(plan_id)
            case c.Replan(reason):
                return client.replan(plan_id, reason)
            case c.AddBudget(budget):
                return client.add_budget(plan_id, budget)
            case c.TagPlan(add, remove):
                return client.tag(plan_id, add=add, remove=remove)
            case c.NameCheckpoint(name):
                return client.checkpoint(plan_id, name)
        raise ConfigurationError(
            "the service has no request for this decision; make it where the database is"
        )
