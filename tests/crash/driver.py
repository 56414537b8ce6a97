"""The program that is killed: it submits one plan and works on it until it has ended.

What it does to the world is a line in the ledger; what was acknowledged is a line in acks.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any

from failpoints import Failpoints

import planfold
from planfold.app import open_app
from planfold.backends.sqlite.store import SqliteStore
from planfold.drafting.draft import Parameter, PlanDraft, TaskDraft, UndoDraft
from planfold.eventstore.codec import Codec
from planfold.planner.items import item_id
from planfold.planner.tasks import PlanStatus, RetryPolicy
from planfold.runtime.letter import Letter, LetterAnswer
from planfold.runtime.plan_reader import ENDED

PLAN_ID = "p"
WAITING = (PlanStatus.AwaitingApproval, PlanStatus.AwaitingAnswer)


def _task(tool: str, number: int, *after: int, mark: str = "", **rest: Any) -> TaskDraft:
    inputs = [f"${i}{mark}" for i in after]
    return TaskDraft(
        id=number,
        description=f"{tool} {number}",
        tool=tool,
        arguments={"number": number, "inputs": inputs},
        depends_on=list(after),
        **rest,
    )


def _question(number: int, *after: int) -> TaskDraft:
    return TaskDraft(
        id=number, description="Which way?", choices=["left", "right"], depends_on=list(after)
    )


def _each(
    tool: str, number: int, of: int, inputs: list[str] | None = None, **rest: Any
) -> TaskDraft:
    """A map of a list of ids, which are those of its items."""
    return TaskDraft(
        id=number,
        description=f"{tool} $item",
        tool=tool,
        arguments={"number": "$item", "inputs": inputs or [f"${of}"]},
        for_each=f"${of}",
        **rest,
    )


def _undo(tool: str, number: int) -> UndoDraft:
    return UndoDraft(tool=tool, arguments={"number": number, "inputs": ["$self"]})


def _wait(number: int, *after: int, **wait: Any) -> TaskDraft:
    return TaskDraft(id=number, description="wait", depends_on=list(after), **wait)


def _plan(number: int, *tasks: TaskDraft, after: list[int] | None = None, **rest: Any) -> TaskDraft:
    """A task that runs a plan. In a map the number of its first task is the element."""
    params, arguments = {}, {}
    if "for_each" in rest:
        params, arguments = {"n": Parameter(type="integer")}, {"n": "$item"}
        tasks[0].arguments = {"number": "$params.n", "inputs": []}
    for task in tasks:
        task.label = f"t{task.id}"
    return TaskDraft(
        id=number,
        description="plan",
        plan=PlanDraft(params=params, tasks=list(tasks)),
        arguments=arguments,
        depends_on=list(after or []),
        **rest,
    )


SHAPES = {
    "chain": [
        _task("once", 1),
        _task("keyed", 2, 1),
        _task("safe", 3, 2),
        _task("once", 4, 3),
    ],
    "fan": [
        _task("safe", 1),
        *(_task(tool, n, 1) for n, tool in enumerate(("once", "keyed", "safe", "once"), 2)),
        _task("keyed", 6, 2, 3, 4, 5),
    ],
    "diamond": [
        _task("safe", 1),
        _task("flaky", 2, 1, retry=RetryPolicy(attempts=3, base=0.02)),
        _question(3, 1),
        _task("once", 4, 3),
        _task("keyed", 5, 2, 3),
        _task("once", 6, 4, 5),
    ],
    "branches": [  # conditions, a failure handler, a clean-up and partial references
        _task("safe", 1),
        _task("keyed", 2, 1, when="$1[0] == 1"),
        _task("once", 3, 1, when="$1[0] == 2"),
        _task("broken", 4, 2, 3, mark="?", retry=RetryPolicy(attempts=2, base=0.02)),
        _task("once", 5, 4, mark="?", run_if="failed", when='$4:status == "failed"'),
        _task("keyed", 6, 4, 5, mark="?", run_if="ended"),
        _task("once", 7, 6, run_if="ended", when="$4? == null && $3.x ?? 7 == 7"),
        _task("once", 8, 4),
    ],
    "maps": [
        _task("listing", 1),
        _each("once", 2, 1, concurrency=2),
        _task("listing", 3),
        _each("keyed", 4, 3),
        _task("listing", 5),
        _each("half_broken", 6, 5, on_item_failure="continue", when="$index > 0"),
        _each("once", 8, 6, item_by_item=True, inputs=["$5"], depends_on=[5]),
        _task("once", 7, 2, 4, 6, 8),
    ],
    "waits": [  # one signal comes before its wait, one after it began, one never
        _task("keyed", 1),
        _wait(2, 1, wait_for="early", key="$1.number"),
        _wait(3, 2, wait=0.02),
        _wait(4, wait_for="late", key="4"),
        _wait(5, wait_for="never", timeout=0.03, default={"came": False}),
        _task("once", 6, 2, 3, 4, 5),
        _wait(7, 6, wait_for="early", key="1"),
        _task("once", 8, 7),
    ],
    "undo": [  # 4 fails, 5 asks a person, then 6 undoes 2 and 7 undoes 1
        _task("once", 1, undo=_undo("once", 7)),
        _task("keyed", 2, 1, undo=_undo("keyed", 6)),
        _task("once", 3, 2),
        _task("broken", 4, 3),
    ],
    "plans": [  # one is in another, one fails at first, one runs for each element
        _task("keyed", 1),
        _plan(2, _task("once", 21), _plan(22, _task("once", 221), after=[21])),
        _plan(3, _task("flaky", 31), after=[1], retry=RetryPolicy(attempts=2, base=0.02)),
        _task("listing", 4),
        _plan(5, _task("keyed", 51), after=[], for_each="$4"),
        _task("once", 6, 2, 3, 5),
    ],
    "draws": [  # safe tasks return another value each time, and effects depend on them
        _task("draw", 1),
        _task("draw", 2, 1),
        _task("keyed", 3, 2),
        _task("draw", 4),
        _task("draw", 5, 3, 4),
        _task("once", 6, 5),
    ],
}


class Ledger:
    """Effects, one line each; O_APPEND lines survive the process that wrote them."""

    def __init__(self, folder: Path, points: Failpoints) -> None:
        self.path = folder / "ledger"
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._points = points

    def effect(self, tool: str, number: int, key: str, inputs: list[Any]) -> None:
        self._points.reach("before an effect")
        os.write(self._file, json.dumps([tool, number, key, inputs]).encode() + b"\n")
        self._points.reach("after an effect")

    def holds(self, number: int) -> bool:
        return any(json.loads(line)[1] == number for line in self.path.read_text().splitlines())


def _tools(ledger: Ledger) -> list[Any]:
    @planfold.tool(effect="once")
    async def once(number: int, inputs: list[Any], context: planfold.TaskContext) -> str:
        ledger.effect("once", number, context.idempotency_key, inputs)
        return None

    @planfold.tool(effect="keyed")
    async def keyed(number: int, inputs: list[Any], context: planfold.TaskContext) -> Any:
        ledger.effect("keyed", number, context.idempotency_key, inputs)
        return {"number": number, "inputs": inputs}

    @planfold.tool(effect="safe")
    def safe(number: int, inputs: list[Any]) -> Any:
        return [number, *inputs]

    @planfold.tool(effect="safe")
    async def draw(number: int, inputs: list[Any]) -> Any:
        return [number, secrets.token_hex(4), *inputs]

    @planfold.tool(effect="safe")
    async def flaky(number: int, inputs: list[Any], context: planfold.TaskContext) -> Any:
        if context.attempt == 1:
            raise RuntimeError("the first attempt fails")
        return [number, *inputs]

    @planfold.tool(effect="safe")
    async def broken(number: int, inputs: list[Any]) -> Any:
        raise RuntimeError("every attempt fails")

    @planfold.tool(effect="safe")
    async def half_broken(number: int, inputs: list[Any]) -> Any:
        if number % 2:
            raise RuntimeError("every attempt fails")
        return number + item_id(2, 0)  # that of the counterpart in the map after the next

    @planfold.tool(effect="safe")
    async def listing(number: int, inputs: list[Any]) -> list[int]:
        return [item_id(number + 1, place) for place in range(4)]

    return [once, keyed, safe, draw, flaky, broken, half_broken, listing]


def _acknowledge(app: planfold.App, folder: Path, points: Failpoints) -> None:
    file = os.open(folder / "acks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    send, post = app.dispatcher.send, app.dispatcher.post

    async def observed(*args: Any, **options: Any) -> list[Any]:
        points.reach("before a command")
        events = await send(*args, **options)
        points.reach("before an acknowledgement")
        if events:
            os.write(file, json.dumps([options["command_id"], len(events)]).encode() + b"\n")
        points.reach("after an acknowledgement")
        return events

    def acknowledged(letter: Letter) -> LetterAnswer:
        """The answer to a report for which no task waits."""
        answer = letter.answer

        class Acknowledged:
            done, cancelled, set_exception = answer.done, answer.cancelled, answer.set_exception

            def set_result(self, events: list[Any], /) -> None:
                points.reach("before an acknowledgement")
                if events:
                    os.write(file, json.dumps([letter.command_id, len(events)]).encode() + b"\n")
                points.reach("after an acknowledgement")
                answer.set_result(events)

        return Acknowledged()

    def posted(aggregate: Any, aggregate_id: str, letter: Letter, **options: Any) -> None:
        if letter.patient:
            points.reach("before a command")
            letter.answer = acknowledged(letter)
        post(aggregate, aggregate_id, letter, **options)

    app.dispatcher.send, app.dispatcher.post = observed, posted  # type: ignore[method-assign]


async def _answer(app: planfold.App, view: planfold.PlanView, ledger: Ledger) -> None:
    for question in view.questions:
        task_id = question.task_id
        if question.then != "outcome":
            await app.answer(view.id, task_id, question.choices[0], by="driver")
        elif ledger.holds(task_id):
            await app.answer(view.id, task_id, "done", by="driver", result=None)
        else:
            await app.answer(view.id, task_id, "run it again", by="driver")


async def _answer_sub_plans(app: planfold.App, ledger: Ledger) -> None:
    while True:
        ticket = app.store.wakeup.ticket()
        for plan in await app.plans():
            if plan.aggregate_id != PLAN_ID and plan.head.get("questions"):
                await _answer(app, await app.view(plan.aggregate_id), ledger)
        await ticket.wait()


async def run_plan(shape: str, folder: Path, points: Failpoints) -> dict[str, Any]:
    ledger = Ledger(folder, points)
    tools = _tools(ledger)
    async with open_app(f"sqlite:///{folder}/plans.db", tools=tools) as app:
        _acknowledge(app, folder, points)
        draft = PlanDraft(title=shape, tasks=SHAPES[shape])
        await app.submit(draft, plan_id=PLAN_ID, approved_by="driver")
        if shape == "waits":
            await app.signal("early", "1", {"signal": "early"}, id="early")
        async with app.worker(plan_id=PLAN_ID):
            if shape == "waits":
                await app.signal("late", "4", {"signal": "late"}, id="late")
            below = asyncio.create_task(_answer_sub_plans(app, ledger))
            while (view := await app.result(PLAN_ID, stop_at=WAITING)).status not in ENDED:
                await _answer(app, view, ledger)
            below.cancel()
        return {
            "status": view.status,
            "tasks": {
                task.id: [task.status, task.result] for of in view.tasks for task in (of, *of.items)
            },
            "summary": view.summary and [view.summary.total, view.summary.completed],
        }


def plan(job: dict[str, Any]) -> dict[str, Any]:
    """Work on a plan; returns how it ended and the points that were passed."""
    folder = Path(job["folder"])
    points = Failpoints(job.get("kill_at"))
    points.watch_database()
    state = asyncio.run(run_plan(job["shape"], folder, points))
    return {"state": state, "points": points.names}


def migrate(job: dict[str, Any]) -> dict[str, Any]:
    """Open a database, which makes its schema."""
    points = Failpoints(job.get("kill_at"))
    points.watch_database()
    store = SqliteStore.open(f"{job['folder']}/plans.db", Codec())
    return {"state": store.store_id, "points": points.names}


PROGRAMS = {"plan": plan, "migrate": migrate}
