"""Planning against local HTTP servers that speak the vendors' wire formats: no client is mocked.

The plan always ends in a clear state: completed, or failed with the reason, and
with a visible warning where the text drafter had to step in.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from testbed.patience import PATIENCE_S

pytest.importorskip("pydantic_ai", reason="needs the extra llm")

from planfold.app import App, open_app
from planfold.drafting.model.wish import begin_with_wish
from planfold.eventstore.envelope import Query
from planfold.executors.planning import PlanningExecutor
from planfold.executors.registry import Executors
from planfold.executors.shell import SHELL, ShellExecutor
from planfold.llm.endpoint import ModelEndpoint
from planfold.planner.config import PlannerConfig
from planfold.planner.events import StepFailed, StepRecorded, TaskStatusUpdated
from planfold.planner.tasks import NodeKind, PlanStatus, TaskStatus
from planfold.providers.models import open_models
from planfold.readmodels.plan_view import PlanView
from testbed.model_server import Fault, ModelServer, Reply

OR_LATER = ["openai", pytest.param("anthropic", marks=pytest.mark.soak)]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
VENDORS = ("openai", "anthropic")
# Reading the certificates takes 40 ms for each client, and no server here asks for them.
CERTIFICATES = ssl.create_default_context()
PAUSE = 0.3  # seconds between two tasks of a streamed plan
WISH = "Run `echo from-the-text`"


def echo(label: str, *parents: str, **fields: Any) -> dict[str, Any]:
    task = {"label": label, "kind": "tool_call", "description": label, "tool": "shell"}
    task["arguments"] = {"argv": ["echo", label]}
    return task | ({"depends_on": list(parents)} if parents else {}) | fields


def text_of(*tasks: Any) -> str:
    return json.dumps({"tasks": tasks})


PLAN = text_of(echo("a"), echo("b", "a"))
WRONG = text_of(echo("a"), echo("b", "nowhere"))


def endpoint(vendor: str, server: ModelServer, **settings: Any) -> ModelEndpoint:
    base = server.url + ("/v1" if vendor == "openai" else "")
    return ModelEndpoint(f"{vendor}:test", base_url=base, api_key_env="KEY", **settings)


def pieces_of(tasks: int) -> list[str]:
    """A plan of so many tasks, a piece for each."""
    pieces = [json.dumps(echo(f"t{number}")) for number in range(tasks)]
    return [
        '{"tasks": [' + pieces[0],
        *(", " + piece for piece in pieces[1:-1]),
        ", " + pieces[-1] + "]}",
    ]


@asynccontextmanager
async def planning_app(
    folder: Path, endpoints: Sequence[ModelEndpoint]
) -> AsyncIterator[tuple[App, str]]:
    """An app whose plans are made by a chain of these endpoints, and the name of the chain."""
    named = {f"m{number}": one for number, one in enumerate(endpoints)}
    models = open_models(named, {"KEY": "secret-key"}, first_pause=0.01)
    executors = Executors()  # without a guard: what a model may do is not tested here
    executors.toolbox.add(SHELL)
    executors.add(ShellExecutor(), kind=NodeKind.ToolCall)
    executors.add(PlanningExecutor(models, executors.toolbox), route="planning")
    with mock.patch("httpcore2.default_ssl_context", return_value=CERTIFICATES):
        try:
            database = f"sqlite:///{folder}/plans.db"
            async with open_app(database, executors=executors, load=False) as app:
                yield app, ",".join(named)
        finally:
            await models.close()


async def planned(
    folder: Path, *endpoints: ModelEndpoint, approved_by: str | None = "me"
) -> tuple[PlanView, list[Any]]:
    """The plan as it ends, and its events."""
    async with planning_app(folder, endpoints) as (app, name):
        config = PlannerConfig(model=name)
        await app.send("p", begin_with_wish(WISH, config, approved_by=approved_by))
        view = await app.run("p")
        events = [envelope.event for envelope in await app.store.read(Query(aggregate_id="p"))]
    return view, events


def labels(view: PlanView) -> list[str | None]:
    return [task.label for task in view.tasks[1:]]


def recorded(events: list[Any]) -> list[str]:
    return [event.key for event in events if isinstance(event, StepRecorded)]


@pytest.fixture
def until() -> Until:
    """Wait for a condition; a generous bound, so that a busy machine does not fail the test."""

    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - a plan's state sets no asyncio.Event
                await asyncio.sleep(0.002)

    return wait


# --- it goes well in the end ---


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_plan_is_made_corrected_and_done(tmp_path: Path, vendor: str) -> None:
    async with ModelServer([WRONG, text_of(echo("b", "a"))]) as server:
        view, events = await planned(tmp_path, endpoint(vendor, server))
    assert view.status is PlanStatus.Completed
    assert labels(view) == ["a", "b"]
    assert view.task(1).result == {"tasks": 2, "rounds": 2, "drafter": "model", "warnings": []}
    assert view.task("b").result["stdout"] == "b"
    assert recorded(events)[:2] == ["model/1", "model/2"]
    assert (view.spent.calls, view.spent.tasks) == (2, 2)
    assert view.spent.tokens > 100
    told = json.dumps(server.requests[1]["messages"][-1])
    assert "there is no task 'nowhere'" in told
    assert all(body["stream"] for body in server.requests)


@pytest.mark.parametrize("vendor", OR_LATER)
async def test_a_rate_limit_is_waited_for(tmp_path: Path, vendor: str) -> None:
    async with ModelServer([Fault(429, retry_after=0.1), PLAN]) as server:
        view, _ = await planned(tmp_path, endpoint(vendor, server))
        first, second = server.received
    assert view.status is PlanStatus.Completed
    assert labels(view) == ["a", "b"]
    assert second.began - first.began >= 0.09


async def test_another_vendor_takes_over(tmp_path: Path) -> None:
    async with ModelServer([Fault(503), Fault(500)]) as down, ModelServer([PLAN]) as up:
        chain = (endpoint("openai", down, retries=1), endpoint("anthropic", up))
        view, events = await planned(tmp_path, *chain)
    assert (down.calls, up.calls, view.status) == (2, 1, PlanStatus.Completed)
    assert view.task(1).result["drafter"] == "model"
    (step,) = [e for e in events if isinstance(e, StepRecorded) and e.key == "model/1"]
    assert step.value["answer"]["model"] == "m1"


@pytest.mark.parametrize("vendor", OR_LATER)
async def test_a_truncated_plan_is_continued(tmp_path: Path, vendor: str) -> None:
    half = Reply(PLAN[: PLAN.index('"b"')], finish="length")
    async with ModelServer([half, text_of(echo("b", "a"))]) as server:
        view, _ = await planned(tmp_path, endpoint(vendor, server))
    assert (view.status, labels(view)) == (PlanStatus.Completed, ["a", "b"])
    assert view.task(1).result["rounds"] == 2


@pytest.mark.parametrize(
    ("vendor", "how"),
    [
        ("openai", {"cut_off": True}),
        ("openai", {"malformed": True}),
        ("anthropic", {"breaks_with": Fault(500)}),
    ],
)
async def test_a_stream_that_breaks_off_is_continued(
    tmp_path: Path, vendor: str, how: dict[str, Any]
) -> None:
    pieces = [PLAN[: PLAN.index('{"label": "b"')]]
    async with ModelServer([Reply(pieces=pieces, **how), text_of(echo("b", "a"))]) as server:
        view, events = await planned(tmp_path, endpoint(vendor, server))
    assert (view.status, labels(view)) == (PlanStatus.Completed, ["a", "b"])
    assert recorded(events)[:2] == ["model/1", "model/2"]
    assert "the answer is truncated" in json.dumps(server.requests[1]["messages"][-1])


async def test_an_answer_that_is_no_plan_is_corrected(tmp_path: Path) -> None:
    async with ModelServer(["I would love to!", '{"tasks": [{"label": }]}', PLAN]) as server:
        view, _ = await planned(tmp_path, endpoint("openai", server))
    assert (view.status, view.task(1).result["rounds"]) == (PlanStatus.Completed, 3)
    assert labels(view) == ["a", "b"]


# --- it does not: the text drafter plans, and says so ---


async def from_text(folder: Path, vendor: str, replies: list[Any], **settings: Any) -> str:
    """The warning of a plan that the text drafter made after these replies."""
    async with ModelServer(replies) as server:
        view, events = await planned(folder, endpoint(vendor, server, **settings))
    assert view.status is PlanStatus.Completed
    assert [task.description for task in view.tasks[1:]] == [WISH]
    assert view.tasks[1].result["stdout"] == "from-the-text"
    assert view.task(1).result["drafter"] == "text"
    warning: str = view.task(1).result["warnings"][0]
    assert warning in [event.note for event in events if isinstance(event, TaskStatusUpdated)]
    return warning


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_refusal(tmp_path: Path, vendor: str) -> None:
    refusal = Reply("I must not do that.", finish="refusal")
    assert "the model refused" in await from_text(tmp_path, vendor, [refusal])


async def test_a_server_that_stays_down(tmp_path: Path) -> None:
    warning = await from_text(tmp_path, "openai", [Fault(503)] * 3, retries=2)
    assert "the model cannot be reached: m0: status 503" in warning


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    warning = await from_text(tmp_path, "openai", [Reply(PLAN, delay=30)], timeout=0.2, retries=0)
    assert "no answer within 0.2 s" in warning


async def test_a_server_that_does_not_know_us(tmp_path: Path) -> None:
    warning = await from_text(tmp_path, "openai", [Fault(401, message="bad key")])
    assert "the model rejected the request: m0: status 401: bad key" in warning


async def test_no_server_there(tmp_path: Path) -> None:
    async with ModelServer([]) as server:
        gone = endpoint("openai", server, retries=0)
    view, events = await planned(tmp_path, gone)
    assert view.status is PlanStatus.Completed
    assert "the model cannot be reached" in view.task(1).result["warnings"][0]
    assert [event.key for event in events if isinstance(event, StepFailed)] == ["model/1"]


async def test_a_model_that_never_gets_it_right(tmp_path: Path) -> None:
    """Without approval nothing has begun, so what it had right goes too."""
    async with ModelServer([WRONG] * 4) as server:
        view, events = await planned(tmp_path, endpoint("openai", server), approved_by=None)
    assert view.status is PlanStatus.AwaitingApproval
    assert [task.description for task in view.tasks[1:]] == [WISH]
    assert "still has faults after 4 rounds" in view.task(1).result["warnings"][0]
    assert recorded(events) == [*(f"model/{n}" for n in range(1, 5)), "text"]


# --- streaming ---


@pytest.mark.parametrize("vendor", OR_LATER)
async def test_the_first_task_is_done_before_the_last_is_written(
    tmp_path: Path, vendor: str, until: Until
) -> None:
    async with ModelServer([Reply(pieces=pieces_of(5), pause=PAUSE)]) as server:
        async with planning_app(tmp_path, [endpoint(vendor, server)]) as (app, name), app.worker():
            config = PlannerConfig(model=name)
            await app.send("p", begin_with_wish(WISH, config, approved_by="me"))
            state = (await app.planner("p")).state
            await until(lambda: 2 in state.tasks and state.tasks[2].status is TaskStatus.Completed)
            written = len(server.received[0].sent)
            view = await app.result("p")
        assert len(server.received[0].sent) == 5
    assert 1 <= written < 5
    assert view.status is PlanStatus.Completed
    assert [task.result["stdout"] for task in view.tasks[1:]] == [f"t{n}" for n in range(5)]
