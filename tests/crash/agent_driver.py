"""The program that is killed while an agent works: one plan with one task, and a model that is
another process, which counts the calls it gets."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from failpoints import Failpoints

import planfold
import planfold.providers.vendor_model
import planfold.providers.vendors
from planfold.app import open_app
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.eventstore.envelope import Query
from planfold.executors.agent.loop import AgentExecutor
from planfold.executors.executor import Executor, Outcome
from planfold.executors.human import HumanExecutor
from planfold.executors.python import PythonExecutor, PythonTool
from planfold.executors.registry import Executors
from planfold.llm.model import Answer, Model, Request, ToolRequest
from planfold.planner.budget import Spend
from planfold.planner.events import StepRecorded, StepStarted
from planfold.planner.tasks import NodeKind, PlanStatus
from planfold.runtime.plan_reader import ENDED
from planfold.runtime.settings import Settings
from planfold.tools.tool import Tool

PLAN_ID = "p"
WAITING = (PlanStatus.AwaitingApproval, PlanStatus.AwaitingAnswer)


def turn(*calls: tuple[str, dict[str, Any]], text: str = "", **rest: Any) -> dict[str, Any]:
    """A reply of the model server."""
    asked = [
        {"id": f"call-{name}-{n}", "name": name, "arguments": arguments}
        for n, (name, arguments) in enumerate(calls)
    ]
    return {"text": text, "calls": asked, **rest}


TURNS = [
    turn(("read", {"page": "a"})),
    turn(("write", {"line": 1}), text="I write it down."),
    turn(("nowhere", {})),
    turn(("read", {"page": "b"}), ("write", {"line": 2})),
    turn(("nowhere", {})),
    turn(text="The answer ", finish="length"),
    turn(text="is ", finish="length"),
    turn(text="42."),
]
RESULT = "The answer is 42."
STEPS = 12  # calls of the model and of tools


def _tools(ledger: Path, points: Failpoints) -> list[PythonTool[..., Any]]:
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @planfold.tool(effect="safe")
    async def read(page: str) -> str:
        points.reach("in a tool that reads")
        return f"text of {page}"

    @planfold.tool
    async def write(line: int) -> str:
        points.reach("before an effect")
        os.write(file, f"{line}\n".encode())
        points.reach("after an effect")
        return "written"

    return [read, write]


async def _call(
    executor: Executor, context: planfold.TaskContext, tool: Tool, *, proposed: bool, tainted: bool
) -> Outcome:
    return await executor.execute(context)


class PlainModel:
    """Speaks to the server with as little as possible, which starts in no time. The long tests
    take the real adapter (``agent_vendor_driver``)."""

    name = "local"

    def __init__(self, url: str) -> None:
        self._host, self._port = url.removeprefix("http://").split(":")

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        messages = [{"role": m.role, "content": m.text} for m in request.messages]
        body = json.dumps({"model": "any", "messages": messages}).encode()
        reader, writer = await asyncio.open_connection(self._host, int(self._port))
        head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        length = (await reader.readuntil(b"\r\n\r\n")).partition(b"content-length: ")[2]
        choice = json.loads(await reader.readexactly(int(length.split()[0])))["choices"][0]
        writer.close()
        asked = [
            ToolRequest(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
            for c in choice["message"].get("tool_calls", ())
        ]
        return Answer(choice["message"]["content"] or "", tuple(asked), choice["finish_reason"])

    def reserve(self, request: Request) -> Spend:
        return Spend(tokens=1_000, calls=1)


async def run_agent(job: dict[str, Any], points: Failpoints, model: Model) -> dict[str, Any]:
    folder = Path(job["folder"])
    ledger = folder / "ledger"
    executors = Executors()
    for tool in _tools(ledger, points):
        executors.add_tool(PythonExecutor(tool))
    agent = AgentExecutor(lambda _: model, executors, _call, HumanExecutor())
    executors.add(agent, kind=NodeKind.Processing)
    settings = Settings(database=f"sqlite:///{folder}/plans.db", model="local")
    async with open_app(settings, executors=executors) as app:
        _watch_steps(app, points)
        draft = PlanDraft(title="Ask", tasks=[TaskDraft(description="What is the answer?")])
        await app.submit(draft, plan_id=PLAN_ID, approved_by="driver")
        async with app.worker(plan_id=PLAN_ID):
            while (view := await app.result(PLAN_ID, stop_at=WAITING)).status not in ENDED:
                for question in view.questions:
                    number = json.loads(question.question.partition("write ")[2].split(" ")[0])
                    done = str(number["line"]) in ledger.read_text().split()
                    answer = "done" if done else "run it again"
                    await app.answer(PLAN_ID, 1, answer, by="driver")
        log = await app.store.read(Query(aggregate_id=PLAN_ID))
        again = [e.event.key for e in log if isinstance(e.event, StepStarted) and e.event.again]
        recorded = [e.event.key for e in log if isinstance(e.event, StepRecorded)]
    task = view.tasks[0]
    return {"status": view.status, "result": task.result, "again": again, "recorded": recorded}


def _watch_steps(app: planfold.App, points: Failpoints) -> None:
    """A point after every commit of a durable step."""
    send = app.dispatcher.send

    async def observed(*args: Any, **options: Any) -> list[Any]:
        events = await send(*args, **options)
        for event in events:
            if isinstance(event, (StepStarted, StepRecorded)):
                points.reach(f"after {type(event).__name__} {event.key}")
        return events

    app.dispatcher.send = observed  # type: ignore[method-assign]  # what the worker calls


def agent(job: dict[str, Any], model: Callable[[str], Model]) -> dict[str, Any]:
    """Work on the plan with the model at an address; returns how it ended, and the points that
    were passed."""
    points = Failpoints(job.get("kill_at"))
    if job.get("everywhere"):
        points.watch_database()
    state = asyncio.run(run_agent(job, points, model(job["url"])))
    return {"state": state, "points": points.names}


PROGRAMS = {"agent": functools.partial(agent, model=PlainModel)}
