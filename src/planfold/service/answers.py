"""Answers as they are sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from planfold.service.problems import Refused

DISCARDED_BYTES: Final = 4 * 1024 * 1024
DISCARDING_S: Final = 2.0


class ServiceReply(msgspec.Struct, kw_only=True):
    """What a function of a route answers. ``version`` becomes the ``ETag``; ``text`` replaces the
    JSON of ``value``."""

    value: Any = None
    status: int | None = None
    version: int | None = None
    text: str | None = None
    media_type: str = "application/json"
    headers: dict[str, str] = {}

    def response(self, status: int) -> Response:
        """The response of a reply, with this ``status`` unless the reply has its own."""
        status = self.status or status
        headers = dict(self.headers)
        if self.version is not None:
            headers["ETag"] = f'"{self.version}"'
        if status in (204, 304):
            return Response(status_code=status, headers=headers)
        body = msgspec.json.encode(self.value) if self.text is None else self.text.encode()
        return Response(body, status, headers, self.media_type)


class RequestBody:
    """The body of a request as it is received. ``over``: all of it was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.over = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.over = self.over or not message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Read what is left, within bounds: a client that is still sending would not see the
        answer."""
        left = DISCARDED_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARDING_S):
                while not self.over and left > 0:
                    left -= len((await self.receive()).get("body", b""))


async def send_problem(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a problem document. Where a part of the request is unread, the connection is
    closed after it."""
    incoming: RequestBody = scope["incoming"]
    await incoming.discard()
    body = msgspec.json.encode(refused.problem)
    headers = dict(refused.headers)
    if not incoming.over:
        headers["Connection"] = "close"
    response = Response(body, refused.problem.status, headers, "application/problem+json")
    await response(scope, receive, send)
