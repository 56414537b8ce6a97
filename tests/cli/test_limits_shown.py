"""Shared limits on the command line: dry run, show, why, graph, and ``planfold limits``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from command_line import called, shown
from terminals import Terminal

import planfold
from planfold.cli.terminal import MARKS

SETTINGS = '[limits.api]\nrate = "1/h"\n[limits.lock]\nconcurrency = 1\n'


def test_a_limit_that_is_not_declared_is_refused_and_nothing_is_recorded() -> None:
    Path("plan.md").write_text("1. Run `true` {limit=api}\n")
    for command in (["plan"], ["run", "--yes"]):
        said = called(*command, "plan.md", code=2)
        assert "the limit 'api' is not declared" in said
        assert "declare it in planfold.toml: [limits.api] with rate" in said
    assert not Path(".planfold").exists()


def test_a_task_that_waits_for_a_limit_does_not_look_like_running() -> None:
    Path("planfold.toml").write_text(SETTINGS)
    Path("plan.md").write_text("1. Run `true` {limit=api}\n2. Run `true` {limit=api}\n")
    with Terminal("run", "--yes", "plan.md", columns=120) as terminal:
        terminal.expect("running, 1 of 2 tasks completed, 1 queued")
        terminal.expect("waits for the limit 'api': 1 of 1 starts")
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.end()


def test_commands_show_limits() -> None:
    Path("planfold.toml").write_text(SETTINGS)
    text = (
        "1. Run `true` {#first limit=api}\n2. Run `true` {#second limit=api,lock} (after: none)\n"
    )
    Path("plan.md").write_text(text)
    assert "under the limits api, lock" in " ".join(called("plan", "plan.md").split())

    async def work() -> str:
        async with planfold.open_app() as app, app.worker():
            plan_id = await app.submit(text, approved_by="me")
            async with asyncio.timeout(20):
                while (await app.view(plan_id)).task("first").status != "completed":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await app.store.queue.close(["api"], 60.0)
            assert "waits for the limit 'api'" in await asyncio.to_thread(called, "why", plan_id)
            why = await asyncio.to_thread(called, "why", plan_id, "second")
            assert "waiting for a shared limit, so far" in why
            show = await asyncio.to_thread(called, "show", plan_id)
            assert "running, 1 of 2 tasks completed, 1 queued" in show
            assert f"{MARKS['planned']} 2 second" in show, (
                "a queued task has the mark of one that waits"
            )
            assert f"planfold watch {plan_id}" in show
            assert "planfold resume" not in show, "a worker lives, and waits for the limit"
            return plan_id

    plan_id = asyncio.run(work())
    assert "under the limits api, lock" in called("graph")
    assert shown(plan_id)["tasks"][1]["status"] == "running"
    lines = called("limits").splitlines()
    assert lines[0].startswith("api  1 of 1 starts in 1 h")
    assert "  closed by a server until " in lines[0]
    assert lines[1] == "lock  0 of 1 at once"
    called("limits", "--open", "api")
    api, lock = json.loads(called("limits", "--json"))
    assert (api["name"], api["starts"], api["period"], api["started"]) == ("api", 1, 3600.0, 1)
    assert api["closed_until"] is None
    assert api["opens"] is not None
    assert (lock["concurrency"], lock["held"], lock["starts"]) == (1, 0, None)
    assert "there is no limit 'x'" in called("limits", "--open", "x", code=2)
