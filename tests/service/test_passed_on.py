"""What is given with a decision arrives, whether by the library, the client or the command line."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import click
import pytest

from planfold import App, Budget, Client
from planfold.cli.main import cli
from planfold.planner.commands import Command
from planfold.service.decision_routes import DECISIONS
from planfold.service.remote_plans import RemotePlans
from planfold.service.resources import decisions

METHODS = {  # a revision and a fork are made of plans
    route.name: getattr(App, {"budget": "add_budget"}.get(route.name, route.name))
    for route in DECISIONS
    if route.name not in ("revise", "fork")
}
GIVEN: dict[str, Any] = {  # of other names: a text
    "add": ("x",),
    "before": ("8",),
    "budget": Budget(tokens=5),
    "failed": True,
    "remove": ("y",),
    "repeat": ("9",),
    "result": {"n": 1},
    "subtree": True,
    "task": "7",
}
OPTIONS = {"revision_hash": "revision", "budget": "add"}  # of the command line; of other names: so


def arguments(name: str) -> list[str]:
    return list(inspect.signature(METHODS[name]).parameters)[2:]


class Sender(RemotePlans):
    """Keeps the body of each request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def wrote() -> None: ...

        def write(name: str, plan_id: str, body: Any, version: int | None) -> Any:
            self.bodies.append(body)
            return wrote()

        self.bodies: list[Any] = []
        client = Client("http://127.0.0.1:1", "pft_x")
        monkeypatch.setattr(client, "_write", write)
        super().__init__(client)

    async def task_id(self, plan_id: str, key: int | str) -> int:
        return int(key)

    async def planner(self, plan_id: str, *, at_least: int | None = None) -> Any:
        return SimpleNamespace(state=SimpleNamespace(checkpoints={"the name": 1}))

    async def _send(self, plan_id: str, command: Command, *, command_id: str | None = None) -> Any:
        await self._operation(plan_id, command)


@pytest.mark.parametrize("name", METHODS)
async def test_every_argument_arrives_at_the_service(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {each: GIVEN.get(each, f"the {each}") for each in arguments(name)}
    sender = Sender(monkeypatch)
    await getattr(sender, METHODS[name].__name__)("p", **given)
    (body,) = sender.bodies

    arrived: dict[str, Any] = {}

    async def decide(*args: Any, **named: Any) -> None:
        arrived.update(inspect.signature(METHODS[name]).bind(None, *args, **named).arguments)

    async def receipt(*_: Any) -> None: ...

    decider = SimpleNamespace(**{METHODS[name].__name__: decide})
    monkeypatch.setattr(decisions, "CallDecisions", lambda call: decider)
    monkeypatch.setattr(decisions, "receipt", receipt)
    call = SimpleNamespace(body=body, plan_id="p", holder=SimpleNamespace(name="the by"))
    await decisions.FUNCTIONS[name](call)
    assert {each: arrived.get(each) for each in given} == given, (
        "pass it on in RemotePlans._operation, in Client, in its request, and in its function in "
        "src/planfold/service/resources/"
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_argument_can_be_given_on_the_command_line(name: str) -> None:
    command = cli.get_command(click.Context(cli), {"change_answer": "answer"}.get(name, name))
    assert command is not None
    taken = {each.name for each in command.params}
    if "words" in taken:  # the plan, which may be left out, and what follows it
        taken |= {"reason"} if name == "replan" else {"task", "text"}
    wanted = {OPTIONS.get(each, each) for each in arguments(name)} - {"by"}
    assert wanted <= taken, f"planfold {command.name} has no option for them"
