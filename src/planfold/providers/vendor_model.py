"""``VendorModel``: one endpoint of one vendor behind the port ``planfold.llm.model.Model``."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from planfold.compaction.tokens import estimate_tokens
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Answer, ModelUnavailable, Request, Usage
from planfold.llm.retry_after import heed_retry_after
from planfold.planner.budget import Spend
from planfold.providers.conversation import answer, messages, parameters
from planfold.providers.prices import price, with_price
from planfold.providers.vendor_faults import VENDOR_ERRORS, Failed, failed
from planfold.providers.vendors import Opened

_log = logging.getLogger("planfold")

LONGEST_WAIT = 60.0
"""Seconds: a vendor that asks for a longer one is unavailable."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries, where the vendor names none."""


class VendorModel:
    """Asks ``opened``, and retries calls that failed temporarily.

    ``first_pause`` is the longest pause in seconds before the second try; it doubles from try to
    try, and the pause is a random part of it, so that many workers do not come back at once.
    """

    def __init__(
        self, name: str, endpoint: ModelEndpoint, opened: Opened, *, first_pause: float = 0.5
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._opened = opened
        self._first_pause = first_pause
        self._refused: list[dict[str, Any]] = []  # schemas that the vendor did not take

    async def close(self) -> None:
        """Close the connections."""
        await self._opened.close()

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        clock = asyncio.get_running_loop().time
        began = clock()
        tries = 0
        while True:
            enforced = request.schema not in self._refused
            said = await self._try(request, on_text)
            if isinstance(said, Answer):
                usage = with_price(self._endpoint, said.usage)
                return msgspec.structs.replace(
                    said, usage=usage, model=self.name, seconds=clock() - began
                )
            if said.schema and enforced and request.schema is not None:
                _log.info("%s; the schema becomes part of the instructions", said.error)
                self._refused.append(request.schema)
                continue
            tries += 1
            if not said.again or tries > self._endpoint.retries:
                _heed(said.wait)
                raise said.error
            await asyncio.sleep(self._pause(said, tries))

    def _pause(self, said: Failed, tries: int) -> float:
        """Seconds until the next try."""
        if said.wait is None:
            # full jitter; nothing secret about it
            return random.uniform(0, min(LONGEST_PAUSE, self._first_pause * 2 ** (tries - 1)))
        _heed(said.wait)
        if said.wait > LONGEST_WAIT:
            raise ModelUnavailable(f"{said.error} (again in {said.wait:.0f} s)") from said.error
        return said.wait

    async def _try(
        self, request: Request, on_text: Callable[[str], None] | None
    ) -> Answer | Failed:
        """One call, or why it failed."""
        pieces: list[str] = []
        timeout = self._endpoint.timeout
        try:
            async with asyncio.timeout(timeout):
                if on_text is None:
                    response = await self._whole(request)
                else:
                    response = await self._streamed(request, on_text, pieces)
        except VENDOR_ERRORS as fault:
            text = "".join(pieces)
            key = self._opened.key
            return failed(self.name, fault, timeout=timeout, text=text, key=key)
        return answer(response, request)

    async def _whole(self, request: Request) -> ModelResponse:
        settings, wanted = self._wanted(request)
        with unexpected():
            return await model_request(
                self._opened.model,
                messages(request),
                model_settings=settings,
                model_request_parameters=wanted,
            )

    async def _streamed(
        self, request: Request, on_text: Callable[[str], None], pieces: list[str]
    ) -> ModelResponse:
        async with aclosing(self._stream(request)) as stream:
            async for piece in stream:
                if isinstance(piece, ModelResponse):
                    return piece
                pieces.append(piece)
                on_text(piece)
        raise AssertionError("a stream ends with its response")

    async def _stream(self, request: Request) -> AsyncGenerator[str | ModelResponse]:
        """The pieces of the text as they come, then the whole response."""
        settings, wanted = self._wanted(request)
        with unexpected():
            async with model_request_stream(
                self._opened.model,
                messages(request),
                model_settings=settings,
                model_request_parameters=wanted,
            ) as stream:
                async for event in stream:
                    if piece := _text(event):
                        yield piece
                response = stream.get()
                if response.finish_reason is None:
                    raise UnexpectedModelBehavior("the stream ended before the answer did")
        yield response

    def _wanted(self, request: Request) -> tuple[ModelSettings, ModelRequestParameters]:
        settings = ModelSettings(
            max_tokens=self._max_tokens(request),
            max_retries=0,  # tries are counted here, not in the vendor's library too
            timeout=self._endpoint.timeout,
        )
        wanted = parameters(
            request,
            self._opened.model,
            settings,
            # Servers that run any model enforce a whole schema, under every name of the option.
            strict=None if self._endpoint.base_url else True,
            enforced=request.schema not in self._refused,
        )
        return settings, wanted

    def _max_tokens(self, request: Request) -> int:
        bound = self._endpoint.max_tokens
        return min(request.max_tokens, bound) if bound else request.max_tokens

    def reserve(self, request: Request) -> Spend:
        """The estimated tokens of the request and the longest answer, at their price."""
        into = estimate_tokens(request.messages) + estimate_tokens(request.schema)
        into += estimate_tokens(request.tools) if request.tools else 0
        usage = Usage(into, self._max_tokens(request))
        cost = price(self._endpoint, usage)
        return Spend(tokens=into + usage.output_tokens, cost=cost or 0.0, calls=1)


def _heed(wait: float | None) -> None:
    """Report a request to wait to the attempt, so that other attempts under its limits wait too."""
    if wait is not None and (heed := heed_retry_after.get()) is not None:
        heed(wait)


@contextmanager
def unexpected() -> Iterator[None]:
    """Converts the different errors of vendors' libraries about invalid answers into one."""
    try:
        yield
    except VENDOR_ERRORS:
        raise
    except Exception as fault:
        raise UnexpectedModelBehavior(f"not an answer: {type(fault).__name__}: {fault}") from fault


def _text(event: ModelResponseStreamEvent) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""
