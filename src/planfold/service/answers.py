"""Answers as they are sent."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from planfold.service.problems import Refused


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
        """With this ``status`` unless the reply has its own."""
        status = self.status or status
        headers = dict(self.headers)
        if self.version is not None:
            headers["ETag"] = f'"{self.version}"'
        if status in (204, 304):
            return Response(status_code=status, headers=headers)
        body = msgspec.json.encode(self.value) if self.text is None else self.text.encode()
        return Response(body, status, headers, self.media_type)


async def send_problem(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a problem document. The body of the request may be unread, so the connection is
    closed after it."""
    body = msgspec.json.encode(refused.problem)
    headers = dict(refused.headers)
    if scope["method"] not in ("GET", "HEAD"):
        headers["Connection"] = "close"
    response = Response(body, refused.problem.status, headers, "application/problem+json")
    await response(scope, receive, send)
