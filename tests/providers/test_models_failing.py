"""Each way in which a call can fail ends in a clear state, after as many calls as it should."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="needs the extra llm")

from vendor_cases import KEY, VENDORS, asked, served

from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import ModelRejected, ModelUnavailable
from planfold.llm.retry_after import heed_retry_after
from planfold.providers.models import open_models
from testbed.model_server import Fault, Reply
from testbed.model_wire import WIRES

WAYS = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
BOTH = pytest.mark.parametrize("vendor", VENDORS)
LONG = "a long answer that breaks off in the middle of its way to the reader"


def receiver(streamed: bool, pieces: list[str]) -> Any:
    return pieces.append if streamed else None


@WAYS
@BOTH
async def test_a_limit_is_waited_for(vendor: str, streamed: bool) -> None:
    async with served(vendor, [Fault(429, retry_after=0.06), "done"]) as (model, server):
        began = time.monotonic()
        answer = await model.ask(asked("go"), on_text=receiver(streamed, []))
        assert time.monotonic() - began >= 0.06
    assert answer.text == "done"
    assert server.calls == 2
    assert answer.seconds >= 0.06


@pytest.mark.parametrize("wait", [0.06, 3_600])
async def test_the_attempt_hears_of_a_wait(wait: float) -> None:
    heard: list[float] = []
    heed_retry_after.set(heard.append)
    async with served("openai", [Fault(429, retry_after=wait), "done"]) as (model, _):
        with suppress(ModelUnavailable):
            await model.ask(asked("go"))
    assert heard == [pytest.approx(wait)]


async def test_a_wait_that_is_too_long_is_not_waited_for() -> None:
    async with served("openai", [Fault(429, retry_after=3_600)]) as (model, server):
        with pytest.raises(ModelUnavailable, match=r"m: status 429.*again in 3600 s"):
            await model.ask(asked("go"))
    assert server.calls == 1


@WAYS
@BOTH
@pytest.mark.parametrize(
    "passing",
    [
        Fault(500),
        Fault(502, body="<html>bad gateway</html>"),
        Fault(529),
        Fault(408),
        Fault(200, body="{}"),
        Fault(200, body='"what?"'),
        Reply(pieces=[], malformed=True),
        Reply("x", cut_off=True),
    ],
    ids=["500", "502", "529", "408", "empty", "string", "malformed", "cut-off"],
)
async def test_what_passes_is_tried_again(vendor: str, streamed: bool, passing: Any) -> None:
    async with served(vendor, [passing, "done"]) as (model, server):
        answer = await model.ask(asked("go"), on_text=receiver(streamed, []))
    assert answer.text == "done"
    assert server.calls == 2


@BOTH
async def test_an_error_event_before_the_text_passes_too(vendor: str) -> None:
    pieces: list[str] = []
    overloaded = Reply(pieces=[], breaks_with=Fault(529, message="Overloaded"))
    async with served(vendor, [overloaded, "done"]) as (model, server):
        await model.ask(asked("go"), on_text=pieces.append)
    assert "".join(pieces) == "done"
    assert server.calls == 2


@WAYS
@BOTH
async def test_tries_are_counted_once(vendor: str, streamed: bool) -> None:
    """The vendors' libraries also retry; that is switched off."""
    async with served(vendor, lambda _: Fault(500, message="boom"), retries=2) as (model, server):
        with pytest.raises(ModelUnavailable, match="m: status 500: boom"):
            await model.ask(asked("go"), on_text=receiver(streamed, []))
    assert server.calls == 3


@WAYS
@BOTH
async def test_no_answer_in_time(vendor: str, streamed: bool) -> None:
    replies = [Reply("late", delay=30)]
    async with served(vendor, replies, timeout=0.5, retries=0) as (model, server):
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match=r"no answer within 0\.5 s|[Tt]imed out"):
            await model.ask(asked("go"), on_text=receiver(streamed, []))
        assert time.monotonic() - began < 30  # when the answer would come
    assert server.calls == 1


@BOTH
async def test_a_stream_that_drips_for_ever_ends(vendor: str) -> None:
    pieces: list[str] = []
    replies = [Reply(pieces=["drip "] * 1_000, pause=0.05)]
    async with served(vendor, replies, timeout=1.0) as (model, server):
        with pytest.raises(ModelUnavailable, match=r"no answer within 1 s") as error:
            await model.ask(asked("go"), on_text=pieces.append)
    assert error.value.text == "".join(pieces) != ""
    assert server.calls == 1


@BOTH
@pytest.mark.parametrize(
    "broken",
    [
        Reply(LONG, cut_off=True),
        Reply(LONG, malformed=True),
        Reply(LONG, breaks_with=Fault(529, message="Overloaded")),
    ],
    ids=["cut-off", "malformed", "error-event"],
)
async def test_text_that_was_streamed_is_not_streamed_again(vendor: str, broken: Reply) -> None:
    pieces: list[str] = []
    async with served(vendor, [broken, "another answer"]) as (model, server):
        with pytest.raises(ModelUnavailable, match=r"after [0-9]+ characters") as error:
            await model.ask(asked("go"), on_text=pieces.append)
    assert server.calls == 1
    assert error.value.text == "".join(pieces)
    assert LONG.startswith(error.value.text)
    assert error.value.text


@BOTH
async def test_a_stream_without_an_end_is_no_answer(vendor: str) -> None:
    """A proxy that closes politely: the body is whole, the answer is not."""
    events = list(WIRES[PATHS[vendor]].events({}, Reply(LONG), 1))
    until = next(n for n, event in enumerate(events) if event.text) + 2
    body = b"".join(event.encode() for event in events[:until]).decode()
    async with served(vendor, [Fault(200, body=body, kind="text/event-stream")]) as (model, _):
        with pytest.raises(ModelUnavailable) as error:
            await model.ask(asked("go"), on_text=lambda _: None)
    assert error.value.text


PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@BOTH
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(400, message="no such parameter"), "status 400: no such parameter"),
        (Fault(403, message="not for you"), "status 403: not for you"),
        (Fault(404, message="no such model"), "status 404"),
        (Fault(400, message="prompt is too long: context"), "too long for the model"),
    ],
    ids=["400", "403", "404", "too-long"],
)
async def test_what_is_rejected_is_not_tried_again(vendor: str, fault: Fault, message: str) -> None:
    async with served(vendor, [fault]) as (model, server):
        with pytest.raises(ModelRejected, match=message):
            await model.ask(asked("go"), on_text=lambda _: None)
    assert server.calls == 1


@BOTH
async def test_a_wrong_key(vendor: str) -> None:
    async with served(vendor, ["never"], key="another") as (model, server):
        with pytest.raises(ModelRejected, match="status 401"):
            await model.ask(asked("go"))
    assert server.calls == 1


@BOTH
async def test_the_key_is_in_no_message(vendor: str) -> None:
    told = Fault(401, message=f"Incorrect API key provided: {KEY}")
    async with served(vendor, [told]) as (model, _):
        with pytest.raises(ModelRejected) as error:
            await model.ask(asked("go"))
    assert KEY not in str(error.value)
    assert "***" in str(error.value)


@BOTH
async def test_no_person_is_there(vendor: str) -> None:
    with socket.socket() as reserved:  # bound, but no process listens
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        models = open_models(
            {"m": ModelEndpoint(f"{vendor}:x", base_url=address, retries=1)}, {}, first_pause=0.01
        )
        with pytest.raises(ModelUnavailable, match="m: "):
            await models("m").ask(asked("go"))
        await models.close()


async def test_a_fault_of_the_receiver_is_its_own() -> None:
    def picky(piece: str) -> None:
        raise ValueError("I do not like it")

    async with served("openai", ["hello", "hello"]) as (model, server):
        with pytest.raises(ValueError, match="do not like"):
            await model.ask(asked("go"), on_text=picky)
    assert server.calls == 1
