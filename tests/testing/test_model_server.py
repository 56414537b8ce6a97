"""The scripted model behind a socket; that it speaks the vendors' formats, tests/providers show."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from planfold.llm.model import Answer, ToolRequest, Usage
from testbed.model_server import Conversation, Fault, ModelServer, Reply, by_turn
from testbed.patience import PATIENCE_S

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"


def asked(*turns: str, **fields: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
    return {"model": "m", "messages": messages} | fields


def post(url: str, path: str, body: Any, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    try:
        return response.status, response.read().decode()
    finally:
        connection.close()


async def call(server: ModelServer, path: str, body: Any, **headers: str) -> tuple[int, str]:
    return await asyncio.to_thread(post, server.url, path, body, **headers)


def streamed(text: str) -> list[Any]:
    data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


async def test_replies_come_in_order_and_calls_are_counted() -> None:
    async def later(body: Any) -> Answer:
        await asyncio.sleep(0)
        return Answer(body["model"], usage=Usage(7, 3))

    async with ModelServer(["one", later, Fault(503)]) as server:
        first = json.loads((await call(server, OPENAI, asked("hi")))[1])
        second = json.loads((await call(server, ANTHROPIC, asked("hi")))[1])
        third, _ = await call(server, OPENAI, asked("hi"))
        past_the_end, error = await call(server, ANTHROPIC, asked("hi"))
    assert first["choices"][0]["message"]["content"] == "one"
    assert second["content"] == [{"type": "text", "text": "m"}]
    assert second["usage"]["output_tokens"] == 3
    assert (third, past_the_end) == (503, 400)
    assert "at its end" in error
    assert server.calls == 4
    assert server.requests[0] == asked("hi")


async def test_a_fault_of_the_script_is_reported() -> None:
    async with ModelServer(lambda body: body["no such key"]) as server:
        status, error = await call(server, OPENAI, asked("hi"))
    assert status == 400
    assert "KeyError" in error


async def test_a_stream_says_the_same() -> None:
    call_ = ToolRequest("c1", "look", {"where": "everywhere under the sun"})
    reply = Reply(calls=(call_,), pieces=["a", "bc"], pause=0.01)
    async with ModelServer([reply, reply]) as server:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        openai = streamed((await call(server, OPENAI, asked("hi", **options)))[1])
        anthropic = streamed((await call(server, ANTHROPIC, asked("hi", stream=True)))[1])
    deltas = [chunk["choices"][0]["delta"] for chunk in openai if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "abc"
    calls = [item["function"] for delta in deltas for item in delta.get("tool_calls", ())]
    assert json.loads("".join(part["arguments"] for part in calls)) == call_.arguments
    assert openai[-1]["usage"]["completion_tokens"] > 0
    assert anthropic[0]["type"] == "message_start"
    assert anthropic[-2]["delta"]["stop_reason"] == "tool_use"
    sent = server.received[0].sent
    assert sent[1] - sent[0] >= 0.01


async def test_a_cut_off_answer_has_no_end() -> None:
    async with ModelServer([Reply("a long text", cut_off=True)] * 2) as server:
        with pytest.raises(http.client.IncompleteRead):
            await call(server, OPENAI, asked("hi"))
        with pytest.raises(http.client.IncompleteRead):
            await call(server, OPENAI, asked("hi", stream=True))


async def test_a_wrong_key_is_reported() -> None:
    async with ModelServer(["hello"], key="k") as server:
        status, _ = await call(server, OPENAI, asked("hi"))
        assert status == 401
        status, _ = await call(server, OPENAI, asked("hi"), Authorization="Bearer k")
        assert status == 200


async def test_by_turn_a_call_made_again_gets_the_same_answer() -> None:
    script = by_turn(Conversation(("draft", "better draft"), when="plan"), ["a", "b"])
    async with ModelServer(script) as server:
        for turns, expected in [
            (["plan it"], "draft"),
            (["plan it"], "draft"),
            (["plan it", "draft", "no"], "better draft"),
            (["else", "a", "plan it"], "b"),
        ]:
            answer = json.loads((await call(server, OPENAI, asked(*turns)))[1])
            assert answer["choices"][0]["message"]["content"] == expected
        status, error = await call(server, OPENAI, asked("x", "a", "x", "b", "x"))
    assert status == 400
    assert "no turn 2" in error


def test_a_process_of_its_own_logs_each_call(tmp_path: Path) -> None:
    script, log = tmp_path / "script.json", tmp_path / "calls.jsonl"
    script.write_text(json.dumps(["hello", {"status": 429, "retry_after": 0.05}]))
    command = [sys.executable, "-m", "testbed.model_server"]
    with subprocess.Popen(
        [*command, str(script), "--log", str(log)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            statuses = [post(url, OPENAI, asked("hi"))[0] for _ in range(2)]
        finally:
            process.kill()
    assert statuses == [200, 429]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2]
    assert lines[0]["body"] == asked("hi")
