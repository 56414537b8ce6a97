"""A model writes a plan, one task every tenth of a second: how much sooner is the work done when
tasks run while it still writes?

A local server speaks OpenAI chat completions over a real socket. ``python -m benchmarks.planning``
prints one line per shape of plan, streamed and not, beside the time that the writing takes.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

import planfold
from benchmarks.report import Figure
from planfold import App
from planfold.drafting.model.wish import begin_with_wish
from planfold.executors.planning import PlanningExecutor
from planfold.executors.registry import Executors
from planfold.executors.shell import SHELL, ShellExecutor
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Answer, Model, Models, Request
from planfold.planner.budget import Spend
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import NodeKind
from planfold.providers.models import open_models
from testbed.model_server import ModelServer, Reply

TASKS = 8
PAUSE_S = 0.1  # between two tasks of the model's answer
SHAPES = ("side by side", "one after the other")
TARGETS = dict(zip(SHAPES, (1.1, 0.7), strict=True))  # side by side it is the last task that counts


class Timed(msgspec.Struct, frozen=True):
    """Seconds from the begin of the plan: until the model's last piece was sent, the first task
    had completed, and the plan had ended."""

    written: float
    first_done: float
    total: float


class Whole:
    """A model that is not listened to while it writes."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        return await self._model.ask(request)

    def reserve(self, request: Request) -> Spend:
        return self._model.reserve(request)


def written_plan(shape: str, tasks: int = TASKS, seconds: float = 0.0) -> list[str]:
    """The model's answer, a piece for each task; each sleeps for ``seconds``."""
    pieces = []
    for number in range(tasks):
        task: dict[str, Any] = {
            "label": f"t{number}",
            "kind": "tool_call",
            "description": f"say {number}",
            "tool": "shell",
            "arguments": {"script": f"sleep {seconds}; echo {number}"},
        }
        if shape == SHAPES[1] and number:
            task["depends_on"] = [f"t{number - 1}"]
        pieces.append(json.dumps(task))
    return ['{"tasks": [' + pieces[0], *(", " + piece for piece in pieces[1:-1]), *_end(pieces)]


def _end(pieces: list[str]) -> list[str]:
    return [", " + pieces[-1] + "]}"] if len(pieces) > 1 else ["]}"]


@asynccontextmanager
async def _app(folder: Path, models: Models) -> AsyncIterator[App]:
    executors = Executors()  # without a guard, so that no person is asked
    executors.toolbox.add(SHELL)
    executors.add(ShellExecutor(), kind=NodeKind.ToolCall)
    executors.add(PlanningExecutor(models, executors.toolbox), route="planning")
    database = f"sqlite:///{folder}/planning.db"
    async with planfold.open_app(database, executors=executors, load=False) as app, app.worker():
        yield app


async def run_plan(
    folder: Path, shape: str, *, streamed: bool, seconds: float, pause: float = PAUSE_S
) -> Timed:
    """One plan from the wish to its end; the model pauses for ``pause`` seconds after each task."""
    reply = Reply(pieces=written_plan(shape, seconds=seconds), pause=pause)
    async with ModelServer([reply]) as server:
        endpoint = ModelEndpoint("openai:any", base_url=f"{server.url}/v1", api_key_env="KEY")
        opened = open_models({"m": endpoint}, {"KEY": "any"})
        model = opened("m")
        try:
            async with _app(folder, lambda _: model if streamed else Whole(model)) as app:
                timed = await _timed(app, server)
        finally:
            await opened.close()
    return timed


async def _timed(app: App, server: ModelServer) -> Timed:
    plan_id, begun, now = f"plan-{time.monotonic_ns()}", time.monotonic(), time.time()
    wish = begin_with_wish("say it", PlannerConfig(model="m"), approved_by="benchmark")
    await app.send(plan_id, wish)
    view = await app.result(plan_id)
    total = time.monotonic() - begun
    assert view.status == "completed", view
    assert len(view.tasks) == TASKS + 1
    first = min(task.finished_at or 0 for task in view.tasks[1:]) - now
    sent = server.received[0].sent
    written = (sent[-1] if sent else server.received[0].began + TASKS * PAUSE_S) - begun
    return Timed(written, first, total)


def planning_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    """Each shape streamed, against the same plan of which nothing runs before all is written."""
    times = {"seconds": 0.1 / scale, "pause": PAUSE_S / scale}
    asyncio.run(run_plan(folder, SHAPES[0], streamed=True, **times))  # the vendor's library
    figures = []
    for shape in SHAPES:
        pairs = [
            tuple(
                asyncio.run(run_plan(folder, shape, streamed=streamed, **times))
                for streamed in (True, False)
            )
            for _ in range(rounds)
        ]
        ratio = median(fast.total / slow.total for fast, slow in pairs)
        fast, slow = pairs[len(pairs) // 2]
        name = f"plan of {TASKS} while it is written, {shape}"
        value = f"{fast.total:.2f} s, first done at {fast.first_done:.2f} s"
        limit = f"{slow.total:.2f} s, first done at {slow.first_done:.2f} s, not streamed"
        figures.append(Figure(name, value, limit, ratio, TARGETS[shape], "<="))
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="planfold-bench-", dir=Path.cwd()) as name:
        for shape in SHAPES:
            for streamed in (True, False):
                timed = asyncio.run(run_plan(Path(name), shape, streamed=streamed, seconds=0.1))
                how = "streamed" if streamed else "whole   "
                print(
                    f"{shape:20} {how}  first done {timed.first_done:5.2f} s  written "
                    f"{timed.written:5.2f} s  total {timed.total:5.2f} s"
                )


if __name__ == "__main__":
    main()
