"""Tools that only check how they are called, for plans whose real tools do not exist."""

from __future__ import annotations

import asyncio
from typing import Any

import jsonschema_rs

from evals.nestful import Call, Nestful
from evals.samples import sample
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner.commands import TaskCompleted
from planfold.planner.structure import waves
from planfold.tools.tool import Tool
from testbed.patience import PATIENCE_S


class Barrier:
    """Opens once as many have come as are to be there at the same time."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._open = asyncio.Event()

    async def pass_through(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._open.set()
        async with asyncio.timeout(PATIENCE_S):
            await self._open.wait()


class Desk:
    """What the fake tools know of one plan: its calls, who has begun, and who returned what."""

    def __init__(self, calls: tuple[Call, ...], depends_on: dict[int, tuple[int, ...]]) -> None:
        self.calls = dict(enumerate(calls, 1))
        self.returned: dict[str, Any] = {}
        self.complaints: list[str] = []
        self.barriers: dict[int, Barrier] = {}
        for wave in waves(depends_on):
            barrier = Barrier(len(wave))
            self.barriers |= dict.fromkeys(wave, barrier)


class FakeTool:
    """Returns what the tool's spec promises, made up from the plan and the call's label.

    It complains about arguments that its schema does not allow, and about any that is not, value
    for value, the gold call's with the results that the calls it names returned. It returns only
    when all calls that can run beside it have begun.
    """

    def __init__(self, tool: Tool, result: dict[str, Any], desks: dict[str, Desk]) -> None:
        self.tool = tool
        self._result = result
        self._desks = desks
        self._schema = jsonschema_rs.Draft202012Validator(tool.parameters)

    async def execute(self, context: TaskContext) -> Outcome:
        desk = self._desks[context.plan_id]
        call = desk.calls[context.task.id]
        for error in self._schema.iter_errors(context.arguments):
            desk.complaints.append(f"{call.label} {call.name}: {error.message}")
        expected = filled_in(call.arguments, desk.returned)
        if context.arguments != expected:
            desk.complaints.append(f"{call.label}: {context.arguments} is not {expected}")
        await desk.barriers[context.task.id].pass_through()
        value = sample(self._result, f"{context.plan_id}/{call.label}")
        desk.returned[call.label] = value
        return TaskCompleted(value)


def fake_executors(data: Nestful, desks: dict[str, Desk]) -> Executors:
    executors = Executors()
    for tool in data.toolbox:
        executors.add_tool(FakeTool(tool, data.results[tool.name], desks))
    return executors


def filled_in(value: Any, returned: dict[str, Any]) -> Any:
    """References worked out a second time, by other means than planfold's."""
    if isinstance(value, dict):
        return {key: filled_in(item, returned) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item, returned) for item in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    pieces: list[Any] = []
    rest = value
    while rest:
        before, dollar, rest = rest.partition("$")
        pieces.append(before)
        if not dollar:
            break
        if rest.startswith("$"):
            pieces.append("$")
            rest = rest[1:]
            continue
        end = 0
        while end < len(rest) and (rest[end].isalnum() or rest[end] in "_.[]"):
            end += 1
        pieces.append(_looked_up(rest[:end], returned))
        rest = rest[end:]
    kept = [piece for piece in pieces if piece != ""]
    if len(kept) == 1:
        return kept[0]
    return "".join(piece if isinstance(piece, str) else _as_json(piece) for piece in kept)


def _looked_up(path: str, returned: dict[str, Any]) -> Any:
    label, *steps = path.replace("[", ".").replace("]", "").split(".")
    value = returned[label]
    for step in steps:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def _as_json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
