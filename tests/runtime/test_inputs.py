"""What callers give that cannot be recorded: refused with the field, before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planfold
from planfold import App, PlanDraft, TaskDraft
from planfold.errors import (
    CommandRejected,
    ConfigurationError,
    InvalidPlan,
    NotFound,
    PlanfoldError,
)
from planfold.planner import commands as c
from planfold.planner.budget import Budget, Spend
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import Prompt, TaskSpec
from planfold.runtime.aggregate import PLAN
from planfold.runtime.inputs import recordable_command
from planfold.types import NodeKind

NUL, HALF = "a\0b", "a\ud800b"
MODEL = PlannerConfig(model="m")
WAITS, RUNS, ASKS = "waits", "runs", "asks"

Call = Callable[[App, str], Awaitable[Any]]


def draft(**fields: Any) -> PlanDraft:
    return PlanDraft(title="t", tasks=[TaskDraft(description="work", **fields)])


def question() -> PlanDraft:
    return draft(kind=NodeKind.Clarification)


async def prepared(app: App) -> None:
    await app.submit(draft(), plan_id=WAITS)
    await app.submit(draft(), plan_id=RUNS, approved_by="me", config=MODEL)
    await app.submit(question(), plan_id=ASKS, approved_by="me")


NAMES: dict[str, tuple[str, Call]] = {
    "submit an id": ("plan_id", lambda app, text: app.submit(draft(), plan_id=text)),
    "submit a name": ("approved_by", lambda app, text: app.submit(draft(), approved_by=text)),
    "wish an id": ("plan_id", lambda app, text: app.wish("x", plan_id=text, config=MODEL)),
    "wish a name": ("approved_by", lambda app, text: app.wish("x", approved_by=text, config=MODEL)),
    "wish": ("text", lambda app, text: app.wish(text, config=MODEL)),
    "revise": ("approved_by", lambda app, text: app.revise(RUNS, draft(), approved_by=text)),
    "approve": ("by", lambda app, text: app.approve(WAITS, by=text)),
    "approve a hash": ("revision_hash", lambda app, text: app.approve(WAITS, text)),
    "answer": ("by", lambda app, text: app.answer(ASKS, 1, "yes", by=text)),
    "send an id": ("plan_id", lambda app, text: app.send(text, c.CancelPlan())),
    "send a command id": (
        "command_id",
        lambda app, text: app.send(RUNS, c.CancelPlan(), command_id=text),
    ),
    "a model": (
        "config.model",
        lambda app, text: app.submit(draft(), config=PlannerConfig(model=text)),
    ),
    "a route's limit": (
        "config.route_limits",
        lambda app, text: app.submit(draft(), config=PlannerConfig(route_limits={text: 1})),
    ),
    "a title": ("title", lambda app, text: app.send("n", c.Initialize(text, (spec(),)))),
    "a step": ("key", lambda app, text: app.send(RUNS, reported(c.StepBegun(text)))),
}
TEXTS: dict[str, tuple[str, Call]] = {
    "answer": ("text", lambda app, text: app.answer(ASKS, 1, text)),
    "report a failure": ("text", lambda app, text: app.answer(ASKS, 1, text, failed=True)),
    "cancel": ("reason", lambda app, text: app.send(RUNS, c.CancelPlan(text))),
    "replan": ("reason", lambda app, text: app.send(RUNS, c.Replan(text))),
    "a result": (
        "result.x",
        lambda app, text: app.send(RUNS, completed({"x": text})),
    ),
    "a result's key": (
        "result",
        lambda app, text: app.send(RUNS, completed({text: 1})),
    ),
    "a prompt": (
        "config.system_prompt",
        lambda app, text: app.submit(draft(), config=PlannerConfig(system_prompt=text)),
    ),
}
PLANS: dict[str, tuple[str, Call]] = {
    "a label": ("label", lambda app, text: app.submit(draft(label=text))),
    "a route": ("route", lambda app, text: app.submit(draft(route=text))),
    "a tool": ("tool", lambda app, text: app.submit(draft(tool=text))),
    "tasks made by hand": (
        "route",
        lambda app, text: app.send("n", c.Initialize("t", (spec(route=text),))),
    ),
    "a revision": ("label", lambda app, text: app.revise(RUNS, draft(label=text))),
}
READING: dict[str, Call] = {
    "view": lambda app, text: app.view(text),
    "status": lambda app, text: app.status(text),
    "run": lambda app, text: app.run(text),
    "result": lambda app, text: app.result(text),
    "watch": lambda app, text: anext(app.watch(text)),
    "answer": lambda app, text: app.answer(text, 1, "yes"),
    "answer a task": lambda app, text: app.answer(ASKS, text, "yes"),
    "approve": lambda app, text: app.approve(text),
    "revise": lambda app, text: app.revise(text, draft()),
}


def spec(**fields: Any) -> TaskSpec:
    return TaskSpec(id=1, description="work", **fields)


def reported(event: c.ExecutorEvent) -> c.HandleExecutorEvent:
    return c.HandleExecutorEvent(1, event)


def completed(result: Any) -> c.HandleExecutorEvent:
    return reported(c.TaskCompleted(result))


async def refused(
    app: App, call: Call, text: str, error: type[PlanfoldError] = CommandRejected
) -> str:
    """The refusal, after which the log is as it was."""
    before = await app.store.last_position()
    with pytest.raises(error) as caught:
        await call(app, text)
    assert await app.store.last_position() == before
    message = str(caught.value)
    assert message.isprintable() or "\n" in message  # what is shown can be printed
    return message


async def test_names_that_cannot_be_stored_are_refused(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        await prepared(app)
        for field, call in NAMES.values():
            said = await refused(app, call, NUL)
            assert said == f"{field} holds a NUL character at 1; remove that character"
        for field, call in (NAMES | TEXTS).values():
            said = await refused(app, call, HALF)
            assert said.startswith(f"{field} is not valid Unicode: half a surrogate pair at char")


IDS: dict[str, tuple[str, Call]] = {
    name: (field, call) for name, (field, call) in NAMES.items() if field.endswith("_id")
} | {
    "fork": ("plan_id", lambda app, text: app.send(text, c.ForkPlan(origin=RUNS, version=1))),
}


async def test_an_empty_id_is_refused(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        await prepared(app)
        for field, call in IDS.values():
            said = await refused(app, call, "")
            assert said == f"{field} is empty; leave it out to have one made, or give a text"


async def test_an_id_that_is_too_long_for_an_index_is_refused(each_database: str) -> None:
    begin = c.Initialize("t", (spec(),))
    calls: dict[str, tuple[str, Call]] = IDS | {
        "send to": ("aggregate_id", lambda app, text: app.send_to(PLAN, text, begin)),
        "send to, once": (
            "command_id",
            lambda app, text: app.send_to(PLAN, "n", begin, command_id=text, idempotent=True),
        ),
    }
    del calls["send an id"]  # of a plan that must exist
    async with planfold.open_app(each_database) as app:
        await prepared(app)
        for field, call in calls.values():
            said = await refused(app, call, "é" * 1_500)
            assert said.startswith(f"{field} is 3,000 bytes long, and the limit is 512; give a sh")
        await refused(app, IDS["send an id"][1], "é" * 1_500, NotFound)
        assert await app.submit(draft(), plan_id="é" * 256) == "é" * 256


async def test_a_plan_with_a_longer_id_from_before_the_limit_remains_usable(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "x" * 513
    async with planfold.open_app(database) as app:
        with monkeypatch.context() as before:
            before.setattr("planfold.runtime.inputs.LONGEST_ID", 1_000)
            await app.submit(draft(), plan_id=old)
        await app.submit(draft(), plan_id=old)
        await app.approve(old)
        assert (await app.view(old)).status is planfold.PlanStatus.Running


async def test_texts_may_hold_what_programs_print(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        await prepared(app)
        await app.answer(ASKS, 1, NUL)
        assert (await app.view(ASKS)).task(1).result == NUL
        await app.send(RUNS, completed({"title": NUL}))
        assert (await app.view(RUNS)).task(1).result == {"title": NUL}


async def test_plans_and_ids_of_plans(each_database: str) -> None:
    async with planfold.open_app(each_database) as app:
        await prepared(app)
        for text in (NUL, HALF):
            for field, call in PLANS.values():
                assert f", {field}: " in await refused(app, call, text, InvalidPlan)
            for call in READING.values():
                assert "there is no plan" in await refused(app, call, text, NotFound) or (
                    "has no task" in await refused(app, call, text, NotFound)
                )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (c.ApprovePlan("x", 3), r"the command cannot be recorded: Expected `str`, got `int`.*\.by"),
        (completed(float("nan")), "cannot be recorded: .*NaN or infinity"),
        (completed(object()), "cannot be recorded: .*object"),
    ],
)
def test_what_could_not_be_read_back(command: Any, message: str) -> None:
    with pytest.raises(CommandRejected, match=message):
        recordable_command(command)


def test_deep_nesting() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(CommandRejected, match="cannot be recorded"):
        recordable_command(completed(deep))


async def test_settings_that_name_no_file() -> None:
    for settings in ({"database": "sqlite:///a\0"}, {"workspace": "\0"}, {"files_dir": "\0"}):
        (name,) = settings
        with pytest.raises(ConfigurationError, match=f"{name} holds a NUL character; remove it"):
            planfold.Settings(**settings)
    with pytest.raises(ConfigurationError, match="database holds a NUL"):
        async with planfold.open_app("sqlite:///a\0"):
            pass


# --- any command -------------------------------------------------------------------------------

odd = st.text(st.sampled_from("aé\0\ud800"), max_size=3)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | odd | st.floats() | st.integers(-(2**70), 2**70),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(odd, inner, max_size=2),
    max_leaves=3,
)
ids = st.integers(1, 3)
reports = st.one_of(
    st.builds(c.TaskCompleted, values),
    st.builds(c.TaskFailed, odd),
    st.builds(c.TaskProgressed, odd),
    st.builds(c.NeedsClarification, odd, st.tuples(odd), odd, st.floats(), key=odd),
    st.builds(c.ClarificationProvided, odd, odd, st.booleans(), values),
    st.builds(c.StepBegun, odd, odd, odd, st.builds(Spend, cost=st.floats()), values),
    st.builds(c.StepCompleted, odd, values),
    st.builds(c.StepAbandoned, odd, odd),
    st.builds(c.ContextSummarised, odd, st.tuples(ids), odd),
    st.builds(c.OutcomeUnknown, odd, st.floats()),
)
specs = st.builds(
    TaskSpec,
    id=ids,
    description=odd,
    label=st.none() | odd,
    route=st.none() | odd,
    timeout=st.none() | st.floats(),
    prompt=st.none() | st.builds(Prompt, st.tuples(odd), odd, st.floats()),
    drafts=st.booleans(),
)
commands = st.one_of(
    st.builds(c.HandleExecutorEvent, ids, reports, now=st.floats()),
    st.builds(c.Initialize, odd, st.tuples(specs), odd, approved_by=odd),
    st.builds(c.ApprovePlan, odd, odd),
    st.builds(c.RevisePlan, st.tuples(specs), odd),
    st.builds(c.Replan, odd),
    st.builds(c.AddBudget, st.builds(Budget, cost=st.floats()), odd),
    st.builds(c.ChangeAnswer, ids, odd, odd),
    st.builds(c.CancelTask, ids, st.booleans(), odd),
    st.builds(c.CancelPlan, odd),
    st.builds(c.CompactContext, odd),
)


@given(plan=st.sampled_from([WAITS, RUNS, ASKS, "new"]) | odd, sent=st.lists(commands, max_size=5))
def test_any_command_is_recorded_or_refused(plan: str, sent: list[c.Command]) -> None:
    async def send() -> None:
        async with planfold.open_app("sqlite:///:memory:") as app:
            await prepared(app)
            for command in sent:
                before = await app.store.last_position()
                try:
                    await app.send(plan, command)
                except PlanfoldError:
                    assert await app.store.last_position() == before
            if plan in {stream.aggregate_id for stream in await app.plans()}:
                await app.view(plan)

    asyncio.run(send())
