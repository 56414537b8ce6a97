"""Agents and models over real sockets, in the wire formats of two vendors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Diary, Guarded, plan_of, task_of

from planfold.executors.agent.brief import fenced
from planfold.executors.agent.loop import AgentExecutor
from planfold.executors.human import HumanExecutor
from planfold.executors.python import PythonExecutor
from planfold.executors.registry import Executors
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Answer, ToolRequest
from planfold.planner.commands import StepBegun, StepCompleted, TaskFailed
from planfold.providers.models import OpenModels, open_models
from planfold.testing.executors import ToolRun, run_tool
from testbed.model_server import Fault, ModelServer, Reply

PATHS = {"openai": "/v1", "anthropic": ""}


@pytest.fixture(params=PATHS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Wired:
    """An agent with a model server to itself."""

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor
        self.diary = Diary()
        self.models: OpenModels | None = None

    async def run(self, server: ModelServer, **options: Any) -> ToolRun:
        url = server.url + PATHS[self.vendor]
        endpoint = ModelEndpoint(f"{self.vendor}:any", base_url=url, api_key_env="KEY", retries=2)
        self.models = open_models({"local": endpoint}, {"KEY": "none"}, first_pause=0.01)
        executors = Executors()
        for each in self.diary.tools():
            executors.add_tool(PythonExecutor(each))
        agent = AgentExecutor(self.models, executors, Guarded(), HumanExecutor())
        plan = plan_of(model="local")
        return await run_tool(agent, task=task_of(plan), plan=plan, **options)


@pytest.fixture
async def wired(vendor: str) -> AsyncIterator[Wired]:
    wired = Wired(vendor)
    yield wired
    if wired.models is not None:
        await wired.models.close()


def read(*pages: str) -> Reply:
    calls = [ToolRequest(f"call-{page}", "read", {"page": page}) for page in pages]
    return Reply("I look.", tuple(calls))


def texts(value: Any) -> list[str]:
    """Every text in a request, wherever the vendor wants it."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


async def test_a_loop_with_tools_and_a_busy_server(wired: Wired) -> None:
    replies = [
        Fault(429, retry_after=0.02),
        read("a", "b"),
        Fault(500),
        Reply("", (ToolRequest("call-c", "broken", {}),)),
        Reply("All is ", finish="length"),
        "well.",
    ]
    async with ModelServer(replies) as server:
        run = await wired.run(server)
        assert run.result == "All is well."
        assert sorted(wired.diary.done) == ["a", "b"]
        assert server.calls == 6
        begun = [event.key for event in run.events if isinstance(event, StepBegun)]
        assert [key for key in begun if key.startswith("model")] == [
            f"model/{n}" for n in range(1, 5)
        ]
        last = texts(server.requests[-1])
        for told in (fenced("text of a"), fenced("text of b"), "I look.", "All is "):
            assert told.strip() in [text.strip() for text in last]
        assert any("ValueError: it is broken" in text for text in last)
        tools = texts(server.requests[-1]["tools"])
        assert {"read", "send", "ask_person", "report_failure"} <= set(tools)


async def test_what_a_call_cost_is_recorded_with_it(wired: Wired) -> None:
    async with ModelServer(["done"]) as server:
        run = await wired.run(server)
    (spent,) = [event.spent for event in run.events if isinstance(event, StepCompleted)][1:]
    assert spent is not None
    assert spent.calls == 1
    assert spent.tokens > 100
    assert run.steps["model/1"]["model"]


async def test_a_refusal(wired: Wired) -> None:
    async with ModelServer([Reply("I must not.", finish="refusal")]) as server:
        run = await wired.run(server)
    assert isinstance(run.outcome, TaskFailed)
    assert run.error.startswith("the model refused: ")
    assert not run.outcome.retryable


async def test_a_server_that_is_away(wired: Wired) -> None:
    async with ModelServer([Fault(503)] * 3) as server:
        run = await wired.run(server)
        assert server.calls == 3
    assert isinstance(run.outcome, TaskFailed)
    assert run.error.startswith("the model is not available: ")
    assert run.outcome.retryable


async def test_a_request_that_the_vendor_rejects(wired: Wired) -> None:
    async with ModelServer([Fault(401, message="invalid API key")]) as server:
        run = await wired.run(server)
        assert server.calls == 1
    assert isinstance(run.outcome, TaskFailed)
    assert not run.outcome.retryable
    assert "invalid API key" in run.error


async def test_arguments_that_are_not_json(wired: Wired) -> None:
    bad = ToolRequest("call-a", "read", {}, malformed='{"page": ')
    async with ModelServer([Answer("", (bad,), "tool_calls"), "done"]) as server:
        run = await wired.run(server)
        assert run.result == "done"
        told = [text for text in texts(server.requests[1]) if text.startswith("This call")]
        assert len(told) == 1
        assert wired.diary.done == []
