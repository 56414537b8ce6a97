"""``StderrTail``: the end of what a server process writes to its standard error."""

from __future__ import annotations

import asyncio
import contextlib
import os
from types import TracebackType
from typing import TextIO

KEEP = 8 * 1024  # bytes
LAST_WORDS_S = 0.2


class StderrTail(asyncio.Protocol):
    """Reads a pipe for as long as the block lasts, and keeps the last 8 KiB.

    Give ``stream`` to the process, then call ``started()``.
    """

    def __init__(self) -> None:
        self.stream: TextIO
        self._tail = b""
        self._ended = asyncio.Event()
        self._transport: asyncio.BaseTransport | None = None

    def text(self) -> str:
        return self._tail.decode("utf-8", "replace").strip()

    def started(self) -> None:
        """The process has its own copy of the stream now."""
        self.stream.close()

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-KEEP:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()

    async def __aenter__(self) -> StderrTail:
        reading, writing = os.pipe()
        self.stream = os.fdopen(writing, "w")
        pipe = os.fdopen(reading, "rb", 0)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(lambda: self, pipe)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stream.close()
        with contextlib.suppress(TimeoutError):  # a process that it left behind may hold the pipe
            await asyncio.wait_for(self._ended.wait(), LAST_WORDS_S)
        if self._transport is not None:
            self._transport.close()
