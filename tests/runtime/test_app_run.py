"""``App.run`` and ``App.worker``: when they return, what they say, and what they let end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import planfold
from planfold import PlanDraft, TaskDraft
from planfold.app import App
from planfold.errors import CommandRejected, ConfigurationError, Transient
from planfold.executors.executor import Outcome
from planfold.executors.registry import Executors
from planfold.planner.commands import Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.tasks import Effect, NodeKind, PlanStatus, TaskSpec, ToolCall
from planfold.runtime.aggregate import PLAN
from planfold.runtime.logging_observer import FIRST_PAUSE_S, LoggingObserver
from planfold.runtime.settings import Settings, load_settings
from plans import processing
from testbed.patience import PATIENCE_S


@planfold.tool(effect="safe")
async def deploy() -> str:
    return "deployed"


@planfold.tool(effect="safe")
async def build() -> str:
    return "built"


DEPLOYMENT = PlanDraft(
    tasks=[
        TaskDraft(label="build", description="build", tool="build"),
        TaskDraft(label="deploy", description="deploy", tool="deploy", depends_on=["build"]),
    ]
)


async def submitted(database: str, draft: PlanDraft = DEPLOYMENT) -> str:
    async with planfold.open_app(database, tools=[build, deploy]) as app:
        return await app.submit(draft, approved_by="me")


async def test_run_says_which_tool_is_missing(database: str) -> None:
    plan_id = await submitted(database)
    async with planfold.open_app(database, tools=[build]) as app:
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert plan.status is PlanStatus.Running
    assert plan.task("build").result == "built"
    assert plan.stopped_because == (
        "task 2 waits for a worker with the tool 'deploy'; this process has none: "
        "add it to tools= or start a worker that has it"
    )


async def test_run_says_which_route_is_missing(database: str) -> None:
    draft = PlanDraft(tasks=[TaskDraft(description="build", tool="build", route="gpu")])
    plan_id = await submitted(database, draft)
    only_here = Executors(serve=["build"])
    only_here.add_tool(build)
    async with planfold.open_app(database, executors=only_here, load=False) as app:
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert "a worker that serves the route 'gpu'" in (plan.stopped_because or "")


async def test_run_waits_while_another_worker_may_run_it(database: str) -> None:
    plan_id = await submitted(database)
    async with (
        planfold.open_app(database, tools=[build]) as app,
        planfold.open_app(database, tools=[deploy]) as other,
        other.worker(concurrency=1),
    ):
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert plan.status is PlanStatus.Completed
    assert plan.stopped_because is None


async def test_run_waits_for_the_deadline_of_a_question(database: str) -> None:
    now = [1_000.0]
    draft = PlanDraft(
        tasks=[
            TaskDraft(
                description="Go on?",
                kind="clarification",
                choices=["yes", "no"],
                default="yes",
                deadline=3_600.0,
            )
        ]
    )
    async with planfold.open_app(database, clock=lambda: now[0]) as app:
        plan_id = await app.submit(draft, approved_by="me")
        running = asyncio.create_task(app.run(plan_id))
        async for envelope in app.watch(plan_id):
            if envelope.event_type == "ClarificationRequested":
                break
        assert await app.status(plan_id) is PlanStatus.AwaitingAnswer
        assert not running.done()
        now[0] += 4_000.0
        plan = await asyncio.wait_for(running, PATIENCE_S)
    assert (plan.status, plan.tasks[0].result) == (PlanStatus.Completed, "yes")


@pytest.mark.parametrize(
    ("draft", "approved_by", "reason"),
    [
        (DEPLOYMENT, None, "the plan waits for approval"),
        (
            PlanDraft(tasks=[TaskDraft(description="Which?", kind="clarification")]),
            "me",
            "task 1 waits for an answer",
        ),
        (
            PlanDraft(tasks=[TaskDraft(description=w, kind="clarification") for w in "ab"]),
            "me",
            "tasks 1, 2 wait for answers",
        ),
    ],
)
async def test_run_says_what_a_person_must_do(
    database: str, draft: PlanDraft, approved_by: str | None, reason: str
) -> None:
    async with planfold.open_app(database, tools=[build, deploy]) as app:
        plan_id = await app.submit(draft, approved_by=approved_by)
        plan = await asyncio.wait_for(app.run(plan_id), PATIENCE_S)
    assert plan.stopped_because == reason


# --- leaving the worker --------------------------------------------------------------------------


class Slow:
    """A tool that runs until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()

        @planfold.tool(effect="once")
        async def slow() -> str:
            self.begun.set()
            await self.go.wait()
            return "done"

        self.tool = slow


async def left_in_the_middle(app: App, slow: Slow, end: Callable[[], object], **more: Any) -> str:
    draft = PlanDraft(tasks=[TaskDraft(description="slow", tool="slow")])
    plan_id = await app.submit(draft, approved_by="me")
    async with app.worker(**more):
        await slow.begun.wait()
        end()
    return plan_id


async def test_leaving_a_worker_lets_what_runs_end(database: str) -> None:
    slow = Slow()
    async with planfold.open_app(database, tools=[slow.tool]) as app:
        soon = asyncio.get_running_loop().call_soon
        plan_id = await left_in_the_middle(app, slow, lambda: soon(soon, slow.go.set))
        assert await app.status(plan_id) is PlanStatus.Completed


async def test_what_does_not_end_in_time_is_cut_off(database: str) -> None:
    slow = Slow()
    async with planfold.open_app(database, tools=[slow.tool]) as app:
        plan_id = await left_in_the_middle(app, slow, lambda: None, drain_s=0.0)
        assert slow.tool.tool.effect is Effect.Once
        assert await app.status(plan_id) is PlanStatus.AwaitingAnswer  # was it done?


def test_the_setting_is_what_a_worker_takes(tmp_path: Path) -> None:
    (tmp_path / "planfold.toml").write_bytes(b"\xef\xbb\xbfdrain_s = 2.5\n")
    assert load_settings(tmp_path, {}).drain_s == 2.5


# --- faults --------------------------------------------------------------------------------------


def test_each_fault_is_logged_once_and_again_after_a_growing_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    troubles = LoggingObserver(lambda: now[0])
    logged_at = []
    with caplog.at_level(logging.WARNING, "planfold"):
        for second in range(0, 600, 10):
            now[0] = float(second)
            caplog.clear()
            troubles.trouble(Transient("the disk is full"))
            if caplog.messages:
                logged_at.append(second)
        caplog.clear()
        troubles.trouble(Transient("another"))
    assert logged_at == [0, FIRST_PAUSE_S, 3 * FIRST_PAUSE_S, 7 * FIRST_PAUSE_S]
    assert caplog.messages == ["Transient: another"]


async def test_a_worker_without_an_observer_logs(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = asyncio.Event()
    async with planfold.open_app(database, tools=[build]) as app:

        async def away(*_: Any, **__: Any) -> Any:
            logged.set()
            raise Transient("the database is away")

        monkeypatch.setattr(app.store.queue, "claim", away)
        with caplog.at_level(logging.WARNING, "planfold"):
            async with app.worker():
                await asyncio.wait_for(logged.wait(), PATIENCE_S)
                await asyncio.sleep(0)
    assert "Transient: the database is away" in caplog.messages


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"concurrency = 0", "concurrency must be at least 1, not 0"),
        (b"max_parallel = -1", "max_parallel must be at least 1, not -1"),
        (b"token_budget = 0", "token_budget must be at least 1, not 0"),
        (b"[route_limits]\nshell = 0", "route_limits.shell must be at least 1, not 0"),
        (b"attach_bytes = -1", "attach_bytes must be a number from 0 up, not -1"),
        (b"preview_from = 1.5", "preview_from must be from 0 to 1, not 1.5"),
        (b"drain_s = nan", "drain_s must be a number from 0 up, not nan"),
        (b"drain_s = inf", "drain_s must be a number from 0 up, not inf"),
        (b'concurrency = "x"', "concurrency must be a whole number, not a text in quotes"),
        (b'max_parallel = "x"', "max_parallel must be a whole number, not a text in quotes"),
        (b"summarise = 1", "summarise must be true or false, not a whole number"),
        (b'tools = "x"', "tools must be a list, not a text in quotes"),
        (b"model = ['x']", "model must be a text in quotes, not a list"),
        (b"[models]\na = 1.5", "models.a must be a table, not a number"),
        (b"durability = 'x'", "durability: 'x' is not one of every-step, output"),
        (
            b"[[policy.rules]]\ndecision = 'x'",
            "rules[0].decision: 'x' is not one of allow, ask, deny",
        ),
        (
            b"[[policy.rules]]\ndecision = 'ask'\nfor = 'x'",
            "policy.rules[0].for: 'x' is not one of everybody, models",
        ),
        (b"concurency = 1", "there is no setting 'concurency'; did you mean 'concurrency'?"),
        (b"parallel = 1", "there is no setting 'parallel'; did you mean 'max_parallel'?"),
        (b"qqq = 1", "there is no setting 'qqq'; remove it"),
        (b"[budget]\ncst = 1", "no setting 'cst' in budget; did you mean 'cost'?"),
        (
            b"[mcp.a]\ncommand = ['x']\n[mcp.b]\ncommand = 'x'",
            "mcp.b.command must be a list, not a text in quotes",
        ),
        (b"[mcp.a]\ntols = []", "no setting 'tols' in mcp.a; did you mean 'tools'?"),
        (b"[[policy.rules]]\nx = 1", "no setting 'x' in policy.rules[0]; remove it"),
        ("concurrency = 1".encode("utf-16"), "UTF-16 or UTF-32; save the file as UTF-8"),
        ("concurrency = 1".encode("utf-16-le"), "UTF-16 or UTF-32; save the file as UTF-8"),
        (b"a = '\xff'", "byte 5 is not valid UTF-8"),
        (b"= 1", "Invalid"),
    ],
)
def test_settings_that_are_refused_name_their_file(tmp_path: Path, text: bytes, fault: str) -> None:
    path = tmp_path / "planfold.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError) as refused:
        load_settings(tmp_path, {})
    assert str(refused.value).startswith(f"{path}: ")
    assert fault in str(refused.value)


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "planfold.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"planfold.toml cannot be read: Is a directory"):
        load_settings(tmp_path, {})


def test_an_impossible_value_that_is_given_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="concurrency must be at least 1, not 0"):
        Settings(concurrency=0)
    with pytest.raises(
        ConfigurationError, match="durability: 'x' is not one of every-step, output"
    ):
        Settings(durability="x")  # type: ignore[arg-type]
    with pytest.raises(
        ConfigurationError, match="durability: 'x' is not one of every-step, output"
    ):
        load_settings(tmp_path, {}, durability="x")


async def test_a_worker_of_no_tasks_is_refused(database: str) -> None:
    async with planfold.open_app(database) as app:
        with pytest.raises(ConfigurationError, match="concurrency must be at least 1, not 0"):
            app.worker(concurrency=0)


async def test_plans_with_a_higher_priority_are_worked_on_first(database: str) -> None:
    order: list[str] = []

    @planfold.tool(effect="safe")
    async def note(name: str) -> None:
        order.append(name)

    async with planfold.open_app(database, tools=[note]) as app:
        plans = []
        for name, priority in (("usual", None), ("urgent", 5), ("idle", -5)):
            draft = PlanDraft(
                tasks=[TaskDraft(description=name, tool="note", arguments={"name": name})]
            )
            plans.append(await app.submit(draft, approved_by="me", priority=priority))
        assert [(await app.view(plan)).priority for plan in plans] == [0, 5, -5]
        async with app.worker(concurrency=1):
            for plan in plans:
                await app.result(plan)
    assert order == ["urgent", "usual", "idle"]


async def test_a_priority_out_of_range_is_refused(database: str) -> None:
    draft = PlanDraft(tasks=[TaskDraft(description="x")])
    async with planfold.open_app(database) as app:
        with pytest.raises(CommandRejected, match="priority must be an integer from -1000"):
            await app.submit(draft, priority=1_001)
        with pytest.raises(CommandRejected, match="priority must be an integer from -1000"):
            await app.wish("do it", config=PlannerConfig(model="m"), priority=-1_001)
        assert await app.plans() == []


async def test_two_runs_that_serve_one_plan_each_do_not_wait_for_each_other(database: str) -> None:
    async def execute(_: planfold.TaskContext) -> Outcome:
        raise AssertionError("there is nothing for it")

    def needs(tool: str) -> Initialize:
        spec = TaskSpec(id=1, description=tool, kind=NodeKind.ToolCall, tool=ToolCall(tool))
        return Initialize(tool, (spec,), approved_by="me")

    async with (
        planfold.open_app(database, executors=processing(execute)) as one,
        planfold.open_app(database, executors=processing(execute)) as other,
    ):
        for plan_id, tool in (("a", "alpha"), ("b", "beta")):
            await one.dispatcher.send(PLAN, plan_id, needs(tool))
        async with asyncio.timeout(PATIENCE_S):
            views = await asyncio.gather(one.run("a"), other.run("b"))
    reasons = [view.stopped_because or "" for view in views]
    assert ["alpha" in reasons[0], "beta" in reasons[1]] == [True, True]
