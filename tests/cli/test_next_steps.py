"""The commands that ``show`` and ``why`` name, and what they say of a plan by its labels."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from command_line import called, question, sh, shown, write_plan

import planfold
from planfold.cli.next_steps import BUILT_IN
from planfold.runtime.settings import load_settings

OWN = """
import planfold

@planfold.tool(effect="safe")
async def train(n: int) -> int:
    return n
"""


def commands(text: str) -> set[str]:
    lines = [line.strip() for line in text.splitlines() if line.startswith("  planfold ")]
    return {line.partition("  #")[0].strip() for line in lines}


def test_show_and_why_name_the_same_commands() -> None:
    for name, task, code in (
        ("waits", sh("a", "true"), None),
        ("asks", question("which", choices=["it's", "two words"]), 3),
        ("failed", sh("a", "exit 3"), 1),
    ):
        words = ("run", "--id", name, write_plan(task))
        called(*words, code=3) if code is None else called(*words, "--yes", code=code)
        why, show = commands(called("why", name)), commands(called("show", name))
        assert why
        assert why <= show, name
    assert "planfold fork failed --set a.FIELD=VALUE" in commands(called("why", "failed"))


def test_a_completed_plan_can_be_forked() -> None:
    called("run", "--yes", "--id", "p", write_plan(sh("a", "true")))
    assert "planfold fork p --at TASK" in commands(called("show", "p"))


def test_a_map_without_a_list_is_to_be_revised(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("finder.py").write_text(
        "import planfold\nfrom typing import Any\n\n"
        '@planfold.tool(effect="safe")\n'
        'async def find() -> Any:\n    """F"""\n    return {"rows": [1], "n": 1}\n'
    )
    monkeypatch.syspath_prepend(".")
    Path("plan.md").write_text(
        '1. @find {} {#find}\n2. Run `echo $item` {#each effect=safe for_each="$find"}\n'
    )
    called("run", "--yes", "--id", "p", "--tools", "finder", "plan.md", code=1)
    for view in ("show", "why"):
        out = called(view, "p")
        assert 'revise the plan with for_each "$find.rows"' in " ".join(out.split())
        assert commands(out) >= {"planfold revise p PLAN"}
        assert not any("retry" in each for each in commands(out)), "it would find the same"


def test_a_plan_that_waits_for_approval_shows_each_task_once() -> None:
    called("run", "--id", "p", write_plan(sh("a", "true"), sh("b", "true", "a")), code=3)
    out = called("show", "p")
    assert [out.count(f"{name} it") for name in "ab"] == [1, 1]
    assert "What would run" in out


def test_resume_is_named_with_the_modules_that_it_needs() -> None:
    Path("own.py").write_text(OWN)
    task = {"label": "train", "description": "x", "tool": "train", "arguments": {"n": 1}}
    called("run", "--yes", "--detach", "--id", "p", "--tools", "own", write_plan(task))
    resume = "planfold resume p --tools MODULE"
    assert resume in commands(called("show", "p"))
    assert resume in commands(called("why", "p"))
    Path("planfold.toml").write_text('tools = ["own"]\n')
    assert "planfold resume p" in commands(called("show", "p"))
    assert "planfold resume p" in commands(called("why", "p"))


def test_resume_without_the_tool_does_not_say_that_its_task_continues() -> None:
    Path("own.py").write_text(OWN)
    train = {"label": "train", "description": "x", "tool": "train", "arguments": {"n": 1}}
    plan = write_plan(train, sh("test", "true"))
    called("run", "--yes", "--detach", "--id", "p", "--tools", "own", plan)
    out = called("resume", "p", code=1)
    assert "waits 1 train: for a worker with the tool 'train'\n" in out
    assert "continues 2 test\n" in out
    assert "continues 1" not in out


def test_the_wait_for_an_answer_is_not_shown_as_the_time_that_a_task_ran() -> None:
    called("run", "--yes", "--id", "p", write_plan(question("go")), code=3)
    called("answer", "p", "go", "yes")
    assert "answered after" in called("show", "p")


def test_the_tools_that_every_worker_has() -> None:
    async def names() -> set[str]:
        async with planfold.open_app("sqlite:///:memory:") as app:
            return {tool.name for tool in app.executors.toolbox}

    assert asyncio.run(names()) == BUILT_IN


def test_why_does_not_say_that_a_queued_task_runs() -> None:
    called("run", "--yes", "--detach", "--id", "p", write_plan(sh("a", "true")))
    assert called("why", "p").startswith("p  running; no task runs now\n")
    assert called("why", "p", "a").startswith("p  running; task a is queued\n")


def test_references_are_shown_by_label() -> None:
    plan = write_plan(
        sh("count", "echo 3"),
        sh("use", "true", "count", arguments={"argv": ["echo", "$count.stdout", "$count"]}),
        sh("many", "true", "count", when="int($count.stdout) > 2"),
    )
    for out in (
        called("plan", plan),
        called("run", "--id", "p", plan, code=3),
        called("show", "p"),
    ):
        assert "$count.stdout" in out
        assert "int($count.stdout) > 2" in out
        assert "$1" not in out


def test_the_approval_of_a_fork_says_what_is_reused_and_what_runs() -> None:
    plan = write_plan(
        sh("a", "true"), sh("b", "echo b", "a"), sh("c", "true", "b"), title="Three tasks"
    )
    called("run", "--yes", "--id", "p", plan)
    out = called("fork", "p", "--set", "b.script=echo other", code=3)
    fork = shown()["id"]
    assert fork in out
    told = called("show", fork).partition("What would run")[2]
    assert "echo other" in told
    assert "Runs again: 2 b, 3 c" in told
    assert "Already done, and reused: 1 a" in told
    assert "1  a:" not in told


def test_after_the_time_out_of_a_wait_a_fork_changes_its_timeout() -> None:
    wait = {"label": "paid", "description": "Wait", "wait_for": "paid", "timeout": 0.05}
    tell = sh("tell", "true", "paid")
    called("run", "--yes", "--id", "p", write_plan(wait, tell), code=1)
    for words in (("show", "p"), ("why", "p"), ("why", "p", "tell")):
        found = commands(called(*words))
        assert "planfold fork p --set paid.timeout=VALUE" in found, words
    called("fork", "p", "--set", "paid.timeout=60", "--dry-run")
    work = {"label": "ask", "description": "Find it", "route": "people"}
    called("run", "--yes", "--detach", "--id", "q", write_plan(work))
    called("cancel", "q", "--task", "ask")
    assert "planfold fork q --set ask.description=VALUE" in commands(called("why", "q", "ask"))


def test_a_worker_is_started_with_the_module_that_a_task_needs() -> None:
    Path("own.py").write_text(OWN)
    task = {"label": "learn", "description": "Train", "tool": "train", "arguments": {"n": 1}}
    called("run", "--yes", "--detach", "--id", "p", "--tools", "own", write_plan(task))

    async def lose() -> None:
        async with planfold.open_app(load_settings(), load=False) as app:
            assert await app.store.queue.claim("gone-1", 1)

    asyncio.run(lose())
    out = called("why", "p")
    assert "planfold resume p --tools MODULE" in commands(out)


def test_why_names_every_task_as_its_author_did() -> None:
    tasks = [question(f"q{n}") for n in range(9)]
    called("run", "--yes", "--id", "p", write_plan(*tasks), code=3)
    called("cancel", "p")
    (reason,) = json.loads(called("why", "p", "--json"))["reasons"]
    assert len(reason["tasks"]) == 9
    labels = json.loads(called("why", "p", "--json"))["labels"]
    assert labels == {str(n + 1): f"q{n}" for n in range(9)}
