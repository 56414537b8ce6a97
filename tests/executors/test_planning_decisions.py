"""Whole plans by a scripted model that writes in pieces: a map, a condition, a wait, a sub-plan, an
undo; and which plan files of the workspace it is offered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import planfold
from planfold import PlanDraft, PlannerConfig, Settings, TaskDraft
from planfold.app import App, open_app
from planfold.errors import ConfigurationError
from planfold.llm.scripted import ScriptedModel
from planfold.planner.tasks import PlanStatus
from planfold.types import PolicySettings, Rule


@planfold.tool(effect="safe")
def pages(topic: str) -> dict[str, Any]:
    """Find pages."""
    return {"names": ["a", "b"], "count": 2}


@planfold.tool(effect="keyed")
def keep(name: str) -> dict[str, str]:
    """Keep a page."""
    return {"id": f"kept-{name}"}


@planfold.tool(effect="keyed")
def forget(id: str) -> str:
    """Forget a page that was kept."""
    return f"forgot {id}"


@planfold.tool(effect="safe")
def fail(why: str) -> str:
    """Fail."""
    raise planfold.Permanent(why)


@planfold.template
def twice(word: str) -> PlanDraft:
    """Say a word twice."""
    said = {"argv": ["echo", "$params.word", "$params.word"]}
    task = TaskDraft(label="say", description="Say it", tool="shell", arguments=said)
    return PlanDraft(title="Say $params.word", tasks=[task])


TOOLS = (pages, keep, forget, fail, twice)
ALLOWED = PolicySettings(
    rules=(
        *(Rule("allow", tool=name) for name in ("pages", "keep", "forget", "fail", "write_file")),
        *(
            Rule("allow", tool="shell", program=program, arguments=("...",))
            for program in ("echo", "true")
        ),
    )
)


def call(label: str, tool: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    said = {"label": label, "kind": "tool_call", "description": label, "tool": tool}
    return {**said, "arguments": arguments, **fields}


def runs(label: str, plan: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    said = {"label": label, "kind": "tool_call", "description": label, "plan": plan}
    return {**said, "arguments": arguments, **fields}


def waits(label: str, **fields: Any) -> dict[str, Any]:
    return {"label": label, "kind": "processing", "description": label, **fields}


def text_of(*tasks: Any) -> str:
    return json.dumps({"tasks": tasks})


@asynccontextmanager
async def app_with(
    folder: Path, model: ScriptedModel, plans: Sequence[str] = ()
) -> AsyncIterator[App]:
    settings = Settings(
        database="sqlite:///:memory:", workspace=str(folder), plans=tuple(plans), policy=ALLOWED
    )
    async with open_app(settings, tools=TOOLS, models=lambda _: model) as app:
        yield app


async def planned(app: App, **config: Any) -> Any:
    wish = PlannerConfig(model="scripted", **config)
    plan_id = await app.wish("do it", plan_id="p", config=wish, approved_by="me")
    return await app.run(plan_id)


async def test_a_map_a_condition_a_wait_and_sub_plans_while_the_model_writes(
    tmp_path: Path,
) -> None:
    (tmp_path / "say.md").write_text(
        "---\nparams:\n  word: {}\n---\n# Say it\n\n1. Run `echo $params.word` {#say effect=safe}\n"
    )
    answer = text_of(
        call("find", "pages", {"topic": "tea"}),
        call("each", "keep", {"name": "$item"}, for_each="$find.names", concurrency=1),
        call("many", "pages", {"topic": "x"}, when="$find.count > 5"),
        waits("soon", wait=0.01, depends_on=["each"]),
        waits("paid", wait_for="paid", key="$each[0].id", timeout=60),
        runs("said", "say.md", {"word": "$item"}, for_each="$find.names", depends_on=["soon"]),
        runs("again", "twice", {"word": "$$5"}),
        call("last", "keep", {"name": "$said[1].say.stdout"}, when="$paid.sum == 3.0",
             depends_on=["many", "again"]),
    )  # fmt: skip
    model = ScriptedModel([answer], chunk=23)
    async with app_with(tmp_path, model, ["say.md", "gone.md"]) as app:
        await app.signal("paid", "kept-a", {"sum": 3.0}, id="1")
        plan = await planned(app)
        assert plan.status is PlanStatus.Completed
        assert plan.task("each").result == [{"id": "kept-a"}, {"id": "kept-b"}]
        assert plan.task("many").status.value == "skipped"
        assert plan.task("said").result[0]["say"]["stdout"] == "a"
        assert plan.task("again").result["say"]["stdout"] == "$5 $5"
        assert plan.task("last").result == {"id": "kept-b"}
        assert plan.task(1).result["notes"] == [
            "The plan gone.md is not offered: plan: there is no such file "
            "(correct plans in planfold.toml)"
        ]
        child = (await app.planner("p.7-0")).state
        assert all(task.spec.proposed for task in child.tasks.values())
    assert len(model.requests) == 1
    assert '{"name":"say.md","description":"Say it"' in model.requests[0].messages[0].text
    assert '{"name":"twice","description":"Say a word twice."' in model.requests[0].messages[0].text


async def test_what_a_model_planned_is_undone_when_it_fails(tmp_path: Path) -> None:
    undo = json.dumps({"tool": "forget", "arguments": {"id": "$self.id"}})
    answer = text_of(
        call("find", "pages", {"topic": "tea"}),
        call("each", "keep", {"name": "$item"}, for_each="$find.names", undo=undo),
        call("break", "fail", {"why": "enough"}, depends_on=["each"]),
        call("tell", "keep", {"name": "$break:error"}, run_if="failed"),
    )
    async with app_with(tmp_path, ScriptedModel([answer], chunk=9)) as app:
        plan = await planned(app, undo="always")
        assert plan.status is PlanStatus.Failed
        assert plan.task("tell").result["id"].startswith("kept-Permanent: enough")
        assert [item.undone for item in plan.task("each").items] == [True, True]


async def test_a_plan_file_is_read_as_the_file_tools_read(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    (tmp_path / "secret.md").write_text("1. Run `echo secret`\n")
    (workspace / "link.md").symlink_to(tmp_path / "secret.md")
    (workspace / "out.yaml").write_text("tasks: [{description: x, plan: ../secret.md}]")
    (workspace / "ok.md").write_text("1. Run `true`\n")
    wrong = text_of(runs("a", "../secret.md", {}), runs("b", "secret.md", {}))
    right = text_of(runs("a", "ok.md", {}), runs("b", "ok.md", {}))
    model = ScriptedModel([wrong, right])
    async with app_with(workspace, model, ["link.md", "out.yaml", "ok.md"]) as app:
        plan = await planned(app)
        notes = plan.task(1).result["notes"]
    assert plan.status is PlanStatus.Completed
    assert [note.partition(" is not offered: ")[0] for note in notes] == [
        "The plan link.md",
        "The plan out.yaml",
    ]
    assert "link" in notes[0]
    assert '".."' in notes[1]
    said = model.requests[1].messages[-1].text
    assert "task a, plan: '../secret.md' is not one of the plans (plans: ok.md, twice)" in said
    assert "task b, plan: 'secret.md' is not one of the plans (plans: ok.md, twice)" in said


async def test_a_model_may_not_change_a_plan_file_that_it_is_offered(tmp_path: Path) -> None:
    (tmp_path / "ok.md").write_text("1. Run `true`\n")
    change = call("a", "write_file", {"path": "ok.md", "content": "1. Run `rm -rf .`\n"})
    async with app_with(tmp_path, ScriptedModel([text_of(change)]), ["ok.md"]) as app:
        plan = await planned(app)
        assert plan.status is PlanStatus.AwaitingAnswer
    assert (tmp_path / "ok.md").read_text() == "1. Run `true`\n"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up.md", "a/../../b.md", "a\0.md"])
def test_the_setting_names_files_of_the_workspace(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a file of the workspace"):
        Settings(plans=(name,))
