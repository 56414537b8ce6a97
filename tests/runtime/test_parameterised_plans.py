"""Plans with parameters in the library: on both backends, with secrets and maps."""

from __future__ import annotations

import asyncio

import pytest

import planfold
from planfold import InvalidPlan, Parameter, PlanDraft, TaskDraft
from planfold.errors import ConfigurationError
from planfold.log import Query
from planfold.types import ParameterValue, Template
from testbed.patience import PATIENCE_S

SECRET = "hunter2-hunter2"
SEEN: list[str] = []


@planfold.tool(effect="safe")
async def say(text: str) -> str:
    return text


@planfold.tool(effect="safe")
async def call(token: str) -> str:
    SEEN.append(token)
    return f"called with {token}"


@planfold.template
def greet(names: list[str]) -> PlanDraft:
    """Greet people."""
    each = TaskDraft(
        label="each",
        description="Greet $item",
        tool="say",
        arguments={"text": "Hello $item"},
        for_each="$params.names",
    )
    return PlanDraft(title="Greet", tasks=[each])


async def test_a_map_over_a_parameter_runs_and_survives_a_restart(each_database: str) -> None:
    async with planfold.open_app(each_database, tools=[say, greet]) as app:
        people = {"names": ["Ada", "$1 `id`"]}
        await app.submit("greet", params=people, plan_id="p", approved_by="me")
        await app.submit("greet", params=people, plan_id="p", approved_by="me")
    async with planfold.open_app(each_database, tools=[say, greet]) as app:
        async with asyncio.timeout(PATIENCE_S):
            plan = await app.run("p")
        assert plan.task("each").result == ["Hello Ada", "Hello $1 `id`"]
        assert (await app.replay("p")).difference is None


async def test_a_secret_is_not_in_the_log(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANFOLD_SECRET_TOKEN", SECRET)
    draft = PlanDraft(
        title="Call with $params.token",
        tasks=[
            TaskDraft(
                label="call", description="Call", tool="call", arguments={"token": "$params.token"}
            )
        ],
        params={"token": Parameter(type="secret")},
    )
    async with planfold.open_app(database, tools=[call]) as app:
        with pytest.raises(InvalidPlan) as refused:
            await app.submit(draft, params={"token": SECRET})
        assert SECRET not in str(refused.value)
        assert await app.log.read(Query()) == []
        given = {"token": "secret://TOKEN"}
        plan_id = await app.submit(draft, params=given, approved_by="me")
        async with asyncio.timeout(PATIENCE_S):
            plan = await app.run(plan_id)
        assert SEEN == [SECRET]
        assert plan.title == "Call with secret://TOKEN"
        assert SECRET not in repr(await app.log.read(Query()))


async def test_a_revision_takes_values(database: str) -> None:
    async with planfold.open_app(database, tools=[say]) as app:
        text = '---\nparams:\n  v: {default: a}\n---\n1. @say {"text": "$params.v"} {#it}\n'
        plan_id = await app.submit(text)
        await app.revise(plan_id, text, params={"v": "b"}, approved_by="me")
        async with asyncio.timeout(PATIENCE_S):
            assert (await app.run(plan_id)).task("it").result == "b"


async def test_two_templates_of_one_name_are_refused(database: str) -> None:
    other = Template(lambda: PlanDraft(tasks=[]), name="greet")
    with pytest.raises(ConfigurationError, match="two templates are called 'greet'"):
        async with planfold.open_app(database, tools=[greet, other]):
            pass
    assert ParameterValue(name="a", type="string", value="b").value == "b"
