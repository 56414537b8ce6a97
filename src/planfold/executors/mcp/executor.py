"""Tools of MCP servers: a call, its result in bounds, and what the server asks for in
between. How the server is reached is behind a port; see providers/."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from planfold.errors import Permanent, Transient
from planfold.executors.cancellation import Stopped, interruptible
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.mcp.elicitation import (
    DECLINE,
    LEAVE_OUT,
    Elicitation,
    ElicitationField,
    converted,
    elicitations,
)
from planfold.executors.output import Output, output_path
from planfold.executors.recordable import as_text, recordable
from planfold.planner.commands import OutcomeUnknown, TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect
from planfold.tools.mcp_servers import plain_text
from planfold.tools.tool import Tool

KEEP = 64 * 1024  # bytes of text, or of structured content as JSON, that a result holds
FILE_LIMIT = 16 * 1024 * 1024  # bytes of a longer one that go to a file
MOST_BLOCKS = 200
MOST_ROUNDS = 10  # of input that one call may ask for
MOST_ANSWERS = 5  # to one question, until one of them fits
ERROR_LIMIT = 4_000  # characters
PAUSES = (0.05, 0.1, 0.25, 0.5, 1.0)  # seconds between calls that a server is not ready for
_STEP = "input {}"

ProgressCallback = Callable[[str], Awaitable[None]]


class Answered(msgspec.Struct, frozen=True):
    """A call's result as the protocol has it; ``structured`` is None where there was none."""

    content: list[dict[str, Any]]
    structured: Any = None
    is_error: bool = False


class InputNeeded(msgspec.Struct, frozen=True):
    """The server needs answers to ``requests`` (by its own keys); ``state`` is returned to it."""

    requests: dict[str, Any] = {}
    state: str | None = None


class CallRefused(Permanent):
    """The server did not take the call: nothing was done."""


class ServerUnavailable(Transient):
    """There is no connection to the server, and the call was not sent."""


class CallInterrupted(Transient):
    """The call was sent and will not be answered: what it did is not known."""


class McpCall(msgspec.Struct, frozen=True):
    """A call of a server's tool. ``key`` is the same for all attempts; ``responses`` and ``state``
    belong to what an earlier call of it asked for."""

    tool: str
    arguments: dict[str, Any]
    key: str
    responses: dict[str, Any] | None = None
    state: str | None = None


class McpServerPort(Protocol):
    """A connection to a server, made and made again as needed."""

    @property
    def name(self) -> str: ...

    async def call(self, call: McpCall, progress: ProgressCallback) -> Answered | InputNeeded:
        """Make a call. Cancelling the caller asks the server to stop. Raises CallRefused,
        ServerUnavailable, CallInterrupted."""
        ...


class McpExecutor:
    """Serves one tool of a server. ``remote`` is the server's name for it; ``hints`` are the
    server's statements about it, which are not trusted. ``keep`` is in bytes."""

    def __init__(
        self,
        server: McpServerPort,
        tool: Tool,
        remote: str,
        *,
        hints: tuple[str, ...] = (),
        keep: int = KEEP,
    ) -> None:
        self.tool = tool
        self.hints = hints
        self._server = server
        self._remote = remote
        self._keep = keep

    async def execute(self, context: TaskContext) -> Outcome:
        if context.cancelled.is_set():
            return TaskFailed("cancelled before it started", retryable=False)
        try:
            return await self._converse(context)
        except Stopped:
            return TaskFailed("cancelled: the server was asked to stop", retryable=False)
        except Permanent as error:
            return TaskFailed(as_text(error)[:ERROR_LIMIT], retryable=False)
        except CallInterrupted as error:
            return self._cut_off(context, as_text(error)[:ERROR_LIMIT])
        except Transient as error:
            return TaskFailed(as_text(error)[:ERROR_LIMIT])

    def _cut_off(self, context: TaskContext, why: str) -> Outcome:
        effect = self.tool.effect if context.call else context.task.spec.effect
        if effect is Effect.Once:
            return OutcomeUnknown(f"{why}; the outcome of the call is unknown")
        return TaskFailed(why)

    async def _converse(self, context: TaskContext) -> Outcome:
        responses: dict[str, Any] | None = None
        state: str | None = None
        for number in range(1, MOST_ROUNDS + 1):
            step = _STEP.format(number)
            if not context.recorded(step):
                # Recorded with the server's state, so that the attempt after the answer continues
                # this call instead of making a new one.
                answer = await self._call(context, responses, state)
                if isinstance(answer, Answered):
                    return self._outcome(context, answer)
                elicitations(self._server.name, answer.requests)
                needed = await context.once(step, functools.partial(_as_is, answer))
            else:
                needed = await context.once(step, dict)
            asked = elicitations(self._server.name, needed["requests"])
            responses = {}
            for place, item in enumerate(asked, 1):
                answers = await self._answers(context, f"{number}.{place}", item)
                responses[item.key] = item.response(answers)
            state = needed["state"]
        raise Permanent(f"{self._server.name} asked for more input {MOST_ROUNDS} times")

    async def _call(
        self, context: TaskContext, responses: dict[str, Any] | None, state: str | None
    ) -> Answered | InputNeeded:
        """Until there is a result, or something to ask a person."""
        waits = 0
        while True:
            answer = await self._sent(context, responses, state)
            if isinstance(answer, Answered) or answer.requests:
                return answer
            # Only a state: the server is not ready yet.
            responses, state = None, answer.state
            if waits >= 1_000:
                raise CallInterrupted(f"{self._server.name} was not ready after {waits} calls")
            await asyncio.sleep(PAUSES[min(waits, len(PAUSES) - 1)])
            waits += 1
            if context.cancelled.is_set():
                raise Stopped

    async def _sent(
        self, context: TaskContext, responses: dict[str, Any] | None, state: str | None
    ) -> Answered | InputNeeded:
        async def progress(note: str) -> None:
            await context.progress(plain_text(note, 1_000))

        key = context.idempotency_key
        call = McpCall(self._remote, context.arguments, key, responses, state)
        return await interruptible(context.cancelled, self._server.call(call, progress))

    async def _answers(
        self, context: TaskContext, place: str, asked: Elicitation
    ) -> dict[str, Any] | None:
        """What a person answered to each question; None where they declined one."""
        answers: dict[str, Any] = {}
        for number, question in enumerate(asked.questions, 1):
            given = await self._answer(context, f"{place}.{number}", question)
            if given == DECLINE:
                return None
            if question.field is None or (given == LEAVE_OUT and not question.required):
                continue
            answers[question.field] = converted(question, given)
        return answers

    async def _answer(self, context: TaskContext, place: str, question: ElicitationField) -> str:
        text = question.text
        for again in range(MOST_ANSWERS):
            key = f"input {place}" + (f" again {again}" if again else "")
            given = await context.ask(key, text, choices=question.choices)
            left_out = given == LEAVE_OUT and not question.required
            if question.field is None or given == DECLINE or left_out:
                return given
            try:
                converted(question, given)
            except ValueError as why:
                text = f"{why}.\n{question.text}"
            else:
                return given
        raise Permanent(f"no answer that fits, after {MOST_ANSWERS} questions")

    # --- results --------------------------------------------------------------------------

    def _outcome(self, context: TaskContext, answer: Answered) -> Outcome:
        if answer.is_error:
            text = _texts(answer.content) or "it gave no reason"
            return TaskFailed(f"{self._remote}: {as_text(text)}"[:ERROR_LIMIT])
        if answer.structured is not None:
            return TaskCompleted(self._structured(context, answer.structured))
        return TaskCompleted(self._unstructured(context, answer.content))

    def _structured(self, context: TaskContext, value: Any) -> Any:
        try:
            return recordable(value, "the result", self._keep)
        except Permanent:  # too large, or no JSON that can be kept; what was done is done
            try:
                text = json.dumps(value, ensure_ascii=False)  # NaN stays NaN
            except (ValueError, TypeError, RecursionError):
                text = repr(value)
            return self._text(context, text)

    def _unstructured(self, context: TaskContext, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        text = _texts(blocks)
        result = self._text(context, text) if text or not blocks else {}
        others = [_described(block) for block in blocks if _text_of(block) is None]
        if others:
            result["others"] = others[:MOST_BLOCKS]
        if len(others) > MOST_BLOCKS:
            result["truncated"] = True
        return result

    def _text(self, context: TaskContext, text: str) -> dict[str, Any]:
        path = output_path(context, "result.txt")
        output = Output(path, keep=self._keep, file_limit=FILE_LIMIT, redactor=context.redactor)
        data = as_text(text).encode()
        output.write(data)
        output.close()
        result: dict[str, Any] = {"text": output.text()}
        if output.in_file:
            result["file"] = str(output.path)
            result["bytes"] = output.total
        elif text[:1] in ("{", "["):
            with contextlib.suppress(msgspec.DecodeError, RecursionError, Permanent):
                result["json"] = recordable(msgspec.json.decode(data), "the result")
        if output.truncated:
            result["truncated"] = True
        return result


def _as_is(answer: InputNeeded) -> InputNeeded:
    return answer


def _text_of(block: dict[str, Any]) -> str | None:
    if block.get("type") == "text":
        return str(block.get("text", ""))
    resource = block.get("resource")
    if block.get("type") == "resource" and isinstance(resource, dict) and "text" in resource:
        return str(resource["text"])
    return None


def _texts(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(text for block in blocks if (text := _text_of(block)) is not None)


def _described(block: dict[str, Any]) -> dict[str, Any]:
    """The kind, type and size of a block that is not text, without the data."""
    source = block.get("resource") if isinstance(block.get("resource"), dict) else block
    assert isinstance(source, dict)
    about: dict[str, Any] = {"type": plain_text(str(block.get("type")), 40)}
    for name in ("uri", "name", "mimeType"):
        if isinstance(source.get(name), str):
            about[name] = plain_text(source[name], 2_000)
    data = source.get("data") or source.get("blob")
    if isinstance(data, str):
        about["bytes"] = len(data) * 3 // 4 - data[-2:].count("=")
    return about
