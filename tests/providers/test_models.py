"""Both vendors' wire formats, over real sockets: what comes back, and what was sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from testbed.patience import PATIENCE_S

pytest.importorskip("pydantic_ai", reason="needs the extra llm")

from vendor_cases import KEY, VENDORS, asked, endpoint, opened, served

from planfold.drafting.model.answer import answer_form
from planfold.executors.files.tools import READ_FILE, WRITE_FILE
from planfold.llm.model import Message, ModelRejected, Request, ToolRequest, ToolSchema, Usage
from planfold.planner.budget import Spend
from planfold.tools.tool import Toolbox
from testbed.model_server import Fault, ModelServer, Reply

LOOK = ToolSchema(
    "look",
    "looks somewhere",
    {"type": "object", "properties": {"where": {"type": "string"}, "how": {"type": "object"}}},
)
CLOSED = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
OPEN = {
    "type": "object",
    "properties": {"arguments": {"type": "object"}},
    "required": ["arguments"],
    "additionalProperties": False,
}
CALL = ToolRequest("call_1", "look", {"where": "under the table", "how": {"often": 2}})


def both_ways(streamed: bool, pieces: list[str]) -> Any:
    return pieces.append if streamed else None


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_answer_with_its_usage(vendor: str, streamed: bool) -> None:
    reply = Reply("It is Paris, the capital.", usage=Usage(120, 30, 40))
    pieces: list[str] = []
    async with served(vendor, [reply]) as (model, server):
        answer = await model.ask(
            asked("capital of France?", max_tokens=77), on_text=both_ways(streamed, pieces)
        )
    assert (answer.text, answer.finish, answer.model) == (reply.text, "stop", "m")
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (120, 30, 40)
    assert usage.cost is not None
    assert usage.cost > 0
    assert 0 < answer.seconds < 20
    assert answer.spend.tokens == 150
    if streamed:
        assert "".join(pieces) == reply.text
        assert len(pieces) > 1
    body, headers = server.requests[0], server.received[0].headers
    assert KEY in (headers.get("x-api-key"), headers["authorization"].removeprefix("Bearer "))
    assert body.get("stream", False) is streamed
    assert body["max_tokens"] == 77
    if vendor == "openai":
        roles = [turn["role"] for turn in body["messages"]]
        assert roles == ["system", "user"]
    else:
        assert body["system"] == "be brief"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_tool_call_and_its_result(vendor: str, streamed: bool) -> None:
    replies = [Reply("I look.", calls=(CALL,)), "found"]
    async with served(vendor, replies) as (model, server):
        request = asked("where is the cat?", tools=(LOOK,))
        answer = await model.ask(request, on_text=both_ways(streamed, []))
        assert answer.calls == (CALL,)
        assert (answer.text, answer.finish) == ("I look.", "tool_calls")
        turns = (
            *request.messages,
            Message("assistant", answer.text, answer.calls),
            Message("tool", "a cat", call_id="call_1", name="look"),
        )
        last = await model.ask(Request(turns, tools=(LOOK,)), on_text=both_ways(streamed, []))
    assert last.text == "found"
    first, second = server.requests
    said, result = second["messages"][-2:]
    if vendor == "openai":
        sent = first["tools"][0]["function"]["parameters"]
        arguments = json.loads(said["tool_calls"][0]["function"]["arguments"])
        assert (result["role"], result["tool_call_id"]) == ("tool", "call_1")
        assert result["content"] == "a cat"
    else:
        sent = first["tools"][0]["input_schema"]
        arguments = said["content"][1]["input"]
        assert result["content"][0]["tool_use_id"] == "call_1"
        assert result["content"][0]["content"][0]["text"] == "a cat"
    assert arguments == CALL.arguments
    how = sent["properties"]["how"]
    assert how.get("additionalProperties", True) is True, "an open object was closed"


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_closed_schema_is_enforced_by_the_vendor(vendor: str) -> None:
    async with served(vendor, ['{"city": "Paris"}']) as (model, server):
        answer = await model.ask(asked("capital?", schema=CLOSED))
    assert json.loads(answer.text) == {"city": "Paris"}
    body = server.requests[0]
    if vendor == "openai":
        form = body["response_format"]
        assert form["type"] == "json_schema"
        sent = form["json_schema"]["schema"]
    else:
        sent = body["output_config"]["format"]["schema"]
    assert sent["properties"]["city"]["type"] == "string"


PLAIN = {"type": "object", "properties": {"plainly": {"type": "string"}}, "required": ["plainly"]}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_schema_that_the_vendor_refuses_becomes_part_of_the_instructions(
    vendor: str,
) -> None:
    refusal = Fault(400, body='{"error": {"message": "Invalid schema for response_format"}}')
    request = asked("capital?", schema=CLOSED, plain_schema=PLAIN)
    async with served(vendor, [refusal, '{"city": "Paris"}', '{"city": "Rome"}']) as (
        model,
        server,
    ):
        assert json.loads((await model.ask(request)).text) == {"city": "Paris"}
        assert json.loads((await model.ask(request)).text) == {"city": "Rome"}
    bodies = [json.dumps(body) for body in server.requests]
    assert ["plainly" in body for body in bodies] == [False, True, True]
    assert ["json_schema" in body for body in bodies] == [True, False, False]


async def test_a_request_that_is_refused_for_another_reason_is_not_made_again() -> None:
    refusal = Fault(400, body='{"error": {"message": "unknown model"}}')
    async with served("openai", [refusal]) as (model, server):
        with pytest.raises(ModelRejected, match="unknown model"):
            await model.ask(asked("capital?", schema=CLOSED, plain_schema=PLAIN))
    assert server.calls == 1


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_schema_of_a_plan_is_enforced(vendor: str) -> None:
    form = answer_form(Toolbox([READ_FILE, WRITE_FILE]))
    request = asked("go", schema=form.schema, plain_schema=form.plain)
    async with served(vendor, ['{"tasks": []}']) as (model, server):
        await model.ask(request)
    body = server.requests[0]
    sent = body["response_format"] if vendor == "openai" else body["output_config"]["format"]
    sent = sent.get("json_schema", sent)["schema"]
    alternatives = sent["properties"]["tasks"]["items"]["anyOf"]
    first = alternatives[0]["properties"]
    assert first["tool"].get("const", first["tool"].get("enum")) in ("read_file", ["read_file"])
    assert first["arguments"]["required"] == ["path", "first_line", "last_line"]
    assert first["arguments"]["additionalProperties"] is False
    assert len(alternatives) == 7  # two tools, work, a question, three kinds of waits


async def test_a_schema_beyond_the_vendors_limits_becomes_part_of_the_instructions() -> None:
    union = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    properties = {f"a{i}": union for i in range(17)}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    request = asked("go", schema=schema | {"additionalProperties": False}, plain_schema=PLAIN)
    async with served("anthropic", ["{}"]) as (model, server):
        await model.ask(request)
    assert "output_config" not in server.requests[0]
    assert "plainly" in json.dumps(server.requests[0])


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_open_schema_stays_open(vendor: str) -> None:
    """Vendors' strict modes close every object: the model could only write ``{}`` there."""
    text = 'Here it is:\n```json\n{"arguments": {"a": 1}}\n```\n'
    async with served(vendor, [text]) as (model, server):
        answer = await model.ask(asked("plan", schema=OPEN))
    assert json.loads(answer.text) == {"arguments": {"a": 1}}
    body = server.requests[0]
    if vendor == "openai":
        form = body["response_format"]["json_schema"]
        assert form["strict"] is False
        assert form["schema"]["properties"]["arguments"]["additionalProperties"] is True
    else:
        assert "output_config" not in body
        assert '"arguments": {"type": "object"}' in json.dumps(body["system"]).replace("\\", "")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_answer_that_reaches_its_bound(vendor: str, streamed: bool) -> None:
    call = ToolRequest("call_1", "look", malformed='{"where": "und')
    reply = Reply("half an ans", calls=(call,), finish="length")
    async with served(vendor, [reply]) as (model, _):
        answer = await model.ask(asked("go on", tools=(LOOK,)), on_text=both_ways(streamed, []))
    assert (answer.text, answer.finish, answer.calls) == ("half an ans", "length", (call,))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_malformed_arguments_are_reported_and_can_be_sent_back(
    vendor: str, streamed: bool
) -> None:
    call = ToolRequest("call_1", "look", malformed="{where: under}")
    async with served(vendor, [Reply(calls=(call,)), "sorry"]) as (model, server):
        answer = await model.ask(asked("look", tools=(LOOK,)), on_text=both_ways(streamed, []))
        assert answer.calls == (call,)
        turns = (
            Message("user", "look"),
            Message("assistant", "", answer.calls),
            Message("tool", "the arguments are not JSON", call_id="call_1", name="look"),
        )
        assert (await model.ask(Request(turns, tools=(LOOK,)))).text == "sorry"
    assert "{where: under}" in json.dumps(server.requests[1])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_refusal(vendor: str, streamed: bool) -> None:
    async with served(vendor, [Reply("I will not.", finish="refusal")]) as (model, _):
        answer = await model.ask(asked("do harm"), on_text=both_ways(streamed, []))
    assert (answer.text, answer.finish, answer.calls) == ("I will not.", "refusal", ())


async def test_pieces_come_while_the_model_still_writes() -> None:
    seen = asyncio.Event()
    reply = Reply(pieces=["one ", "two ", "three"], pause=0.3)
    async with served("openai", [reply]) as (model, server):

        def first(piece: str) -> None:
            if not seen.is_set():
                assert len(server.received[0].sent) < 3
                seen.set()

        answer = await model.ask(asked("count"), on_text=first)
    assert seen.is_set()
    assert answer.text == "one two three"


async def test_a_call_can_be_cancelled() -> None:
    began = asyncio.Event()
    async with served("anthropic", [Reply(pieces=["a"] * 100, pause=0.05)]) as (model, _):
        call = asyncio.create_task(model.ask(asked("go"), on_text=lambda _: began.set()))
        await asyncio.wait_for(began.wait(), PATIENCE_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_many_calls_at_once_share_a_client() -> None:
    async with served("openai", lambda body: body["messages"][-1]["content"]) as (model, server):
        texts = [f"number {n}" for n in range(20)]
        answers = await asyncio.gather(*(model.ask(asked(text)) for text in texts))
    assert [answer.text for answer in answers] == texts
    assert server.calls == 20


# --- what it costs ------------------------------------------------------------------------------


async def test_the_prices_of_the_endpoint_come_first() -> None:
    reply = Reply("yes", usage=Usage(1_000, 200))
    prices = {"input_price": 2.0, "output_price": 10.0}
    async with served("openai", [reply], **prices) as (model, _):
        answer = await model.ask(asked("really?"))
        reserved = model.reserve(asked("really?", max_tokens=1_000))
    assert answer.usage.cost == pytest.approx(0.004)
    assert reserved.cost == pytest.approx(0.01, rel=0.02)
    assert reserved.calls == 1


@pytest.mark.parametrize(
    ("model", "cost"),
    [("openai:gpt-4o", 0.0045), ("openai:somebodys-own-7b", None)],
    ids=["listed", "unknown"],
)
async def test_else_those_of_the_price_list(model: str, cost: float | None) -> None:
    reply = Reply("yes", usage=Usage(1_000, 200))
    async with served("openai", [reply], model=model) as (asked_model, _):
        answer = await asked_model.ask(asked("really?"))
    assert answer.usage.cost == (cost and pytest.approx(cost))


async def test_the_reserve_covers_the_call() -> None:
    async with served("anthropic", [Reply("word " * 200)], max_tokens=400) as (model, _):
        request = asked("tell me " * 50, tools=(LOOK,), max_tokens=10_000)
        reserved = model.reserve(request)
        answer = await model.ask(request)
    spent = answer.spend
    assert spent.tokens <= reserved.tokens * 1.5, "the estimate is rough, but not that rough"
    assert reserved.tokens <= 400 + 1_000, "the endpoint's bound counts"
    assert isinstance(reserved, Spend)
    assert 0 < spent.cost <= reserved.cost * 1.5


async def test_one_endpoint_takes_over_from_another() -> None:
    async with (
        ModelServer(lambda _: Fault(503)) as away,
        ModelServer(lambda _: "here") as there,
        opened(
            {
                "first": endpoint("openai", away, retries=1),
                "second": endpoint("anthropic", there),
            }
        ) as models,
    ):
        model = models("first, second")
        answer = await model.ask(asked("anybody?"))
        assert (answer.text, answer.model) == ("here", "second")
        assert (away.calls, there.calls) == (2, 1)
        await model.ask(asked("again?"))
        assert (away.calls, there.calls) == (2, 2), "the one that was away rests"
        assert models("first,second") is model
