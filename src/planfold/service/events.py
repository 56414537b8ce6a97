"""``EventStream``: events as Server-Sent Events, each once and in order.

The id of an event is its position in the log, so ``Last-Event-ID`` continues after it. Events are
pulled from the feed one at a time: a slow client has one event and the buffer of its connection in
memory, and is dropped when a write takes too long.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.types import Receive, Scope, Send

from planfold.errors import NotFound, PlanfoldError
from planfold.eventstore.envelope import Envelope, Query
from planfold.planner.events import PlanningCompleted
from planfold.readmodels.envelopes import envelope_json
from planfold.runtime.aggregate import PLAN
from planfold.runtime.plan_reader import ENDED
from planfold.service.problems import refusal

if TYPE_CHECKING:
    from planfold.service.requests import ServiceCall

SEND_BUFFER: Final = 65_536  # bytes that the system buffers for one stream
RETRY_MS: Final = 1_000  # after which a browser connects again
_HEARTBEAT: Final = b": \n\n"
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
]


async def begin_stream(call: ServiceCall, plan_id: str | None = None) -> EventStream | None:
    """The stream that a request asks for; None where its plan has ended and all was sent. Raises
    Refused, NotFound."""
    app = call.service.app
    last = await app.store.last_position()
    after = _after(call, last)
    if after > last:
        raise refusal(400, "position", f"the log has no position {after}")
    if plan_id is None:
        return EventStream(call, Query(stream_id=PLAN.stream_id), after)
    query = Query(aggregate_id=plan_id)
    ended = await app.status(plan_id) in ENDED
    if ended and not await app.store.read(query, after=after, limit=1):
        if not await app.store.version(plan_id):  # archived since: not all was sent
            raise NotFound(f"there is no plan {plan_id!r}")
        return None
    return EventStream(call, query, after, ended=ended)


def _after(call: ServiceCall, last: int) -> int:
    given = call.request.headers.get("last-event-id")
    if not given:
        return last if call.query.new else int(call.query.after)
    if not (given.isascii() and given.isdecimal() and len(given) <= 18):
        raise refusal(400, "last-event-id", "Last-Event-ID must be the id of an event")
    return int(given)


class EventStream:
    """Answers one request. Ends when the client leaves, the credential ends, the service stops or
    the plan has ended or was archived; a client then connects again and gets 401, 503, 204 or
    404."""

    def __init__(self, call: ServiceCall, query: Query, after: int, *, ended: bool = False) -> None:
        self._call = call
        self._query = query
        self._after = after
        self._may_end = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._call.service
        with service.streams.taking(self._call.holder.token_id) as free:
            if not free:
                headers = {"Retry-After": "5"}
                raise refusal(429, "streams", "this token has too many streams open", headers)
            self._bound_buffer(scope)
            leaving = asyncio.create_task(_left(receive))
            stopping = asyncio.create_task(service.stopping.wait())
            try:
                await self._write(
                    send, {"type": "http.response.start", "status": 200, "headers": _HEADERS}
                )
                await self._body(send, f"retry: {RETRY_MS}\n\n".encode())
                await self._follow(send, leaving, stopping)
                await self._body(send, b"", more=False)
            except TimeoutError:
                service.dropped += 1
                if abort := scope.get("abort"):
                    abort()
            finally:
                leaving.cancel()
                stopping.cancel()

    def _bound_buffer(self, scope: Scope) -> None:
        connection: socket.socket | None = scope.get("socket")
        if connection is None:
            return
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # a dead client, which confirms nothing
                patience = int(self._call.service.limits.write_s * 1_000)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)

    async def _follow(self, send: Send, *ends: asyncio.Task[Any]) -> None:
        events = self._call.service.app.store.subscribe(self._query, after=self._after)
        assert isinstance(events, AsyncGenerator)
        if self._call.projects and self._query.aggregate_id is None:
            events = _seen(events, self._call)
        coming: asyncio.Task[Envelope] = asyncio.create_task(anext(events))
        clock = asyncio.get_running_loop().time
        heartbeat_s = self._call.service.limits.heartbeat_s
        checked_at = clock()
        try:
            while True:
                waiting = (coming, *ends)
                done, _ = await asyncio.wait(
                    waiting, timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done.isdisjoint(ends):
                    return
                if clock() >= checked_at + heartbeat_s:
                    checked_at = clock()
                    if not await self._may_continue():
                        return
                if coming in done:
                    envelope = coming.result()
                    coming = asyncio.create_task(anext(events))
                    await self._body(send, _frame(envelope))
                    if await self._is_last(envelope):
                        return
                else:
                    await self._body(send, _HEARTBEAT)
        except StopAsyncIteration:  # the store was closed
            return
        finally:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                await coming
            await events.aclose()

    async def _may_continue(self) -> bool:
        """Whether the credential is still valid, and the plan still in the database."""
        if not await self._call.service.credentials.valid(self._call.holder):
            return False
        plan_id = self._query.aggregate_id
        return plan_id is None or await self._call.service.app.store.version(plan_id) > 0

    async def _is_last(self, envelope: Envelope) -> bool:
        self._may_end = self._may_end or isinstance(envelope.event, PlanningCompleted)
        if self._query.aggregate_id is None or not self._may_end:
            return False
        app = self._call.service.app
        head = await app.store.head(envelope.aggregate_id)
        if head is None:  # archived since
            return True
        if head.version != envelope.version:
            return False
        try:
            return await app.status(envelope.aggregate_id) in ENDED
        except PlanfoldError:  # the next request is refused with the reason
            return True

    async def _body(self, send: Send, body: bytes, *, more: bool = True) -> None:
        await self._write(send, {"type": "http.response.body", "body": body, "more_body": more})

    async def _write(self, send: Send, message: dict[str, Any]) -> None:
        """Raises TimeoutError where the client does not read."""
        async with asyncio.timeout(self._call.service.limits.write_s):
            await send(message)


async def _seen(events: AsyncGenerator[Envelope], call: ServiceCall) -> AsyncGenerator[Envelope]:
    """The events of the plans that the sender sees."""
    async with aclosing(events):
        async for envelope in events:
            if await call.service.of_plans.sees(call.projects, envelope.aggregate_id):
                yield envelope


def _frame(envelope: Envelope) -> bytes:
    data = msgspec.json.encode(envelope_json(envelope))
    return b"id: %d\ndata: %b\n\n" % (envelope.position, data)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
