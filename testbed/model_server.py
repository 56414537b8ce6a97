"""``ModelServer``: a language model from a script, behind a real socket and in real wire formats.

It speaks OpenAI chat completions (``POST /v1/chat/completions``) and Anthropic messages (``POST
/v1/messages``), as one JSON body or streamed, and misbehaves where the script says so::

    async with ModelServer(["hello", Fault(429, retry_after=0.05), Reply(cut_off=True)]) as server:
        endpoint = ModelEndpoint("openai:any", base_url=server.url + "/v1")

As a process of its own it outlives the clients that a test kills, and counts their calls::

    python -m testbed.model_server SCRIPT.json [--port 0] [--log FILE]

It prints its address as the first line, and appends a line of JSON per call to the log
(``number``, ``path``, ``body``) before it answers. The script is a list of replies (a text, or an
object with the fields of ``Reply`` or ``Fault``), given in the order of the calls; or a list of
conversations (``{"when": ..., "replies": [...]}``, see ``by_turn``), which a client that was
killed can take up again.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from planfold.llm.model import Answer
from testbed.model_wire import WIRES, AnthropicWire, Event, Fault, Reply, Wire

__all__ = ["Conversation", "Fault", "ModelServer", "Received", "Reply", "by_turn"]

Said = str | Reply | Answer | Fault
Scripted = Said | Callable[[Any], Said | Awaitable[Said]]


class Received(msgspec.Struct):
    """A call as it came in. ``began`` and ``sent`` (one per piece of text) are seconds of
    ``time.monotonic``; ``headers`` have lower-case names."""

    path: str
    headers: dict[str, str]
    body: Any
    began: float
    sent: list[float] = []


class Conversation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``replies`` to a conversation that opens with a text that holds ``when``."""

    replies: tuple[str | Reply, ...]
    when: str = ""


def by_turn(
    *conversations: Conversation | Sequence[str | Reply],
) -> Callable[[Any], str | Reply | Fault]:
    """Chooses by the request alone: the first conversation whose ``when`` is in the messages before
    the model's first turn, and there the reply after as many turns of the model as are in the
    request. So a call that is made again gets the same answer."""
    known = [
        one if isinstance(one, Conversation) else Conversation(tuple(one)) for one in conversations
    ]

    def choose(body: Any) -> str | Reply | Fault:
        turns = body["messages"]
        opening = [body.get("system")]
        for turn in turns:
            if turn["role"] == "assistant":
                break
            opening.append(turn["content"])
        text = " ".join(_texts(opening))
        done: int = sum(turn["role"] == "assistant" for turn in turns)
        for conversation in known:
            if conversation.when in text:
                if done < len(conversation.replies):
                    return conversation.replies[done]
                break
        return Fault(400, message=f"the script has no turn {done} for {text[:200]!r}")

    return choose


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


class ModelServer:
    """Gives the ``replies`` in the order of the calls, or asks the one function that ``replies`` is
    for each call. A reply is a text, a ``Reply``, an ``Answer``, a ``Fault``, or a function (a
    coroutine function too) of the decoded request that gives one. Past the end it answers with
    status 400, which no client tries again. With ``key`` every other key gets status 401.
    """

    def __init__(
        self,
        replies: Iterable[Scripted] | Callable[[Any], Said | Awaitable[Said]] = (),
        *,
        port: int = 0,
        key: str = "",
        log: Path | None = None,
    ) -> None:
        self.received: list[Received] = []
        self._function = replies if callable(replies) else None
        self._replies = iter(()) if callable(replies) else iter(replies)
        self._port = port
        self._key = key
        self._log = log
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``; OpenAI's base URL is this and ``/v1``."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Any]:
        """The decoded bodies of the calls so far."""
        return [call.body for call in self.received]

    @property
    def calls(self) -> int:
        """How many calls were received, with any outcome."""
        return len(self.received)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: call after call until either side closes it."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._call(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client disconnected, or the test has ended
        finally:
            self._open.discard(task)
            writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one call; False: the connection is to be closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        lines = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in lines}
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        wire = WIRES.get(path.partition("?")[0])
        if method != "POST" or wire is None:
            writer.write(_http(404, b"{}"))
            return True
        began = asyncio.get_running_loop().time()
        call = Received(path, headers, msgspec.json.decode(data), began)
        self.received.append(call)
        self._write_log(call)
        try:
            reply = await self._next(call)
        except Exception as fault:  # the script's: the test is to see it, not to wait for an answer
            reply = Fault(400, message=f"the script failed: {fault!r}")
        if isinstance(reply, Fault):
            writer.write(_fault(reply, wire))
            return True
        await asyncio.sleep(reply.delay)
        if not call.body.get("stream"):
            return await self._whole(reply, call, wire, writer)
        return await self._streamed(reply, call, wire, writer)

    async def _next(self, call: Received) -> Reply | Fault:
        bearer = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self._key and self._key not in (bearer, call.headers.get("x-api-key")):
            return Fault(401, message="invalid API key")
        said: Any = self._function or next(self._replies, None)
        if callable(said):
            said = said(call.body)
            if inspect.isawaitable(said):
                said = await said
        if said is None:
            return Fault(400, message=f"the script is at its end, this is call {self.calls}")
        if isinstance(said, Answer):
            usage = None if said.usage == type(said.usage)() else said.usage
            return Reply(said.text, said.calls, finish=said.finish, usage=usage)
        return Reply(said) if isinstance(said, str) else said

    def _write_log(self, call: Received) -> None:
        if self._log is not None:
            line = {"number": self.calls, "path": call.path, "body": call.body}
            with self._log.open("ab") as log:
                log.write(msgspec.json.encode(line) + b"\n")

    async def _whole(
        self, reply: Reply, call: Received, wire: Wire, writer: asyncio.StreamWriter
    ) -> bool:
        await asyncio.sleep(reply.pause * len(reply.pieces or ()))
        body = msgspec.json.encode(wire.answer(call.body, reply, self.calls))
        if reply.malformed:
            body = b'{"id": "broken", "choices": [{'
        answer = _http(200, body)
        writer.write(answer[: -len(body) // 2] if reply.cut_off else answer)
        await writer.drain()
        return not reply.cut_off

    async def _streamed(
        self, reply: Reply, call: Received, wire: Wire, writer: asyncio.StreamWriter
    ) -> bool:
        writer.write(_http(200, None, "text/event-stream"))
        async for event in self._events(reply, call, wire):
            data = event.encode()
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
            if event.text:
                call.sent.append(asyncio.get_running_loop().time())
        if reply.cut_off:
            return False  # without the last chunk: the client sees that it is not the end
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _events(self, reply: Reply, call: Received, wire: Wire) -> AsyncIterator[Event]:
        whole = len(reply.cut())
        texts = whole if reply.pieces is not None or not reply.cut_off else whole // 2
        for event in wire.events(call.body, reply, self.calls):
            ended = reply.cut_off or reply.breaks_with or reply.malformed
            if ended and texts == 0:
                break
            yield event
            if event.text:
                texts -= 1
                await asyncio.sleep(reply.pause)
        if reply.malformed:
            yield Event('{"id": "broken", "choices": [{', _text_event(wire))
        if reply.breaks_with is not None:
            yield wire.error_event(reply.breaks_with)


def _text_event(wire: Wire) -> str:
    return "content_block_delta" if isinstance(wire, AnthropicWire) else ""


def _fault(fault: Fault, wire: Wire) -> bytes:
    extra = ""
    if (wait := fault.retry_after) is not None:  # whole seconds, and beside them the exact value
        extra = f"retry-after: {math.ceil(wait)}\r\nretry-after-ms: {wait * 1000:g}\r\n"
    body = fault.body.encode() or msgspec.json.encode(wire.error(fault))
    return _http(fault.status, body, fault.kind, extra)


def _http(
    status: int, body: bytes | None, kind: str = "application/json", extra: str = ""
) -> bytes:
    length = "transfer-encoding: chunked" if body is None else f"content-length: {len(body)}"
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: {kind}\r\n{length}\r\n{extra}\r\n"
    return head.encode() + (body or b"")


def read_script(path: Path) -> list[Scripted] | Callable[[Any], Said]:
    """The replies of a script file: in the order of calls, or by conversation."""
    entries = msgspec.json.decode(path.read_bytes(), type=list[str | dict[str, Any]])
    if any(isinstance(entry, dict) and "replies" in entry for entry in entries):
        return by_turn(*msgspec.convert(entries, list[Conversation]))
    replies: list[Scripted] = []
    for entry in entries:
        if isinstance(entry, dict):
            fault = "status" in entry
            replies.append(
                msgspec.convert(entry, Fault) if fault else msgspec.convert(entry, Reply)
            )
        else:
            replies.append(entry)
    return replies


async def _run(script: Path, port: int, log: Path | None) -> None:
    async with ModelServer(read_script(script), port=port, log=log) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """The process: runs until it is killed."""
    parser = argparse.ArgumentParser(prog="testbed.model_server")
    parser.add_argument("script", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options.script, options.port, options.log))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
