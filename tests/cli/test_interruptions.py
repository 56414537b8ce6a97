"""Signals and kills in the middle, in real processes; then the plan resumes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import (
    called,
    ended,
    lines_of,
    sh,
    shown,
    start,
    statuses,
    wait_until,
    write_plan,
)

LEDGER = "ledger.txt"


@pytest.fixture(autouse=True)
def no_orphans(folder: Path) -> Iterator[None]:
    """What a killed process left behind ends with the test."""
    yield
    (folder / "go.txt").touch()


def note(name: str) -> str:
    return f"echo {name} >> {LEDGER}"


def wait_for_task(name: str) -> None:
    wait_until(lambda: name in lines_of(LEDGER), f"{name} has begun")


def wait_for_record_of_a() -> None:
    """``b`` is safe: it may begin before the result of ``a`` is recorded."""
    wait_until(lambda: statuses(shown())[0] == "completed", "the result of a is recorded")


def waiting_plan(**more: object) -> str:
    """``b`` waits for a file; ``a`` comes before it, ``c`` after."""
    wait = f"{note('b-began')}; while [ ! -e go.txt ]; do sleep 0.02; done; {note('b')}"
    return write_plan(sh("a", note("a")), sh("b", wait, "a", **more), sh("c", note("c"), "b"))


def test_interrupt_then_resume() -> None:
    process = start("run", "--yes", waiting_plan())
    wait_for_task("b-began")
    wait_until(lambda: statuses(shown())[1] == "running", "the start of b is recorded")
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, (out, err)
    assert "interrupted: 2 b" in out
    assert f"planfold resume {shown()['id']}" in out
    assert "Traceback" not in err
    assert "1 queued" in called("show")
    Path("go.txt").touch()
    called("resume")
    assert statuses(shown()) == ["completed"] * 3
    assert lines_of(LEDGER) == ["a", "b-began", "b-began", "b", "c"]


def test_what_must_not_run_twice_is_asked_about() -> None:
    process = start("run", "--yes", waiting_plan(effect="once"))
    wait_for_task("b-began")
    wait_for_record_of_a()
    process.terminate()
    code, out, _ = ended(process)
    assert code == 130
    assert "Was this done?" in out, "without another command"
    assert f"planfold answer {shown()['id']} b done" in out
    assert called("resume", code=3).count("Was this done?") == 1
    assert "not JSON" in called("answer", "b", "done", "--result", "{id: 3}", code=2)
    called("answer", "b", "failed", "--result", "3", code=2)
    called("answer", "b", "done", "--result", '{"id": 3}')
    assert shown()["tasks"][1]["result"] == {"id": 3}
    assert "by an answer" in called("show")
    called("resume")
    assert lines_of(LEDGER) == ["a", "b-began", "c"]


def test_a_result_that_a_later_task_uses_is_asked_for() -> None:
    user = sh("c", "true", "b") | {"arguments": {"argv": ["echo", "$b.stdout"]}}
    plan = json.loads(Path(waiting_plan(effect="once")).read_text())
    process = start("run", "--yes", write_plan(*plan["tasks"][:2], user))
    wait_for_task("b-began")
    wait_for_record_of_a()
    process.kill()
    ended(process)
    out = called("resume", code=3)
    assert "# task 3 uses $2.stdout" in out
    assert "b done --result JSON" in out
    refusal = called("answer", "b", "done", code=2)
    assert "task 3 uses $2.stdout" in refusal
    assert "--result JSON" in refusal
    called("answer", "b", "1", code=2)
    assert "cannot be changed later" in called(
        "answer", shown()["id"], "b", "done", "--change", "--result", "3", code=2
    )
    assert statuses(shown())[1] == "needs_clarification"
    called("answer", "b", "done", "--result", '{"stdout": "3"}')
    called("resume")
    assert statuses(shown()) == ["completed"] * 3


def test_kill_then_resume_does_nothing_twice() -> None:
    process = start("run", "--yes", waiting_plan())
    wait_for_task("b-began")
    wait_for_record_of_a()
    process.kill()
    ended(process)
    assert "waits for another worker: " in called("show")
    assert json.loads(called("doctor", "--json"))["dead_workers"]
    Path("go.txt").touch()  # also ends what the killed process left behind
    wait_until(lambda: "b" in lines_of(LEDGER), "the orphan has ended")
    called("resume")
    assert statuses(shown()) == ["completed"] * 3
    assert lines_of(LEDGER) == ["a", "b-began", "b", "b-began", "b", "c"]


def test_cancel_after_a_kill() -> None:
    process = start("run", "--yes", waiting_plan())
    wait_for_task("b-began")
    wait_for_record_of_a()
    process.kill()
    ended(process)
    called("cancel")
    assert statuses(shown()) == ["completed", "cancelled", "cancelled"]
    Path("go.txt").touch()


def test_cancel_stops_what_runs_in_another_process() -> None:
    process = start("run", "--yes", waiting_plan())
    wait_for_task("b-began")
    called("cancel")
    assert statuses(shown()) == ["completed", "cancelled", "cancelled"]
    code, _, err = ended(process)
    assert (code, err) == (4, "")
    assert lines_of(LEDGER) == ["a", "b-began"]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_worker_drains_on_sigterm(loop: str) -> None:
    if loop == "asyncio":
        Path("uvloop.py").write_text("raise ModuleNotFoundError")  # found before the installed one
    called("run", "--yes", "--detach", waiting_plan())
    process = start("worker", "--concurrency", "1", "--route", "shell")
    wait_for_task("b-began")
    wait_for_record_of_a()
    process.terminate()
    assert process.stdout is not None
    while "stopping: 1 running task" not in process.stdout.readline():
        assert process.poll() is None
    Path("go.txt").touch()
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert "stopped" in out
    assert statuses(shown())[:2] == ["completed", "completed"]
    called("resume")
    assert lines_of(LEDGER) == ["a", "b-began", "b", "c"]


def test_a_worker_reports_as_json() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    process = start("worker", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["data"]["status"] == "completed"
    process.terminate()
    assert ended(process) == (0, "", "")


@pytest.mark.parametrize(
    ("served", "missing"),
    [
        (
            ["--route", "http"],
            "a worker with the tool 'train': 1 worker here, none serves its route",
        ),
        ([], "a worker with the tool 'train': 1 worker here, none has it"),
    ],
)
def test_a_task_that_no_worker_can_run_says_what_it_waits_for(
    served: list[str], missing: str
) -> None:
    plan = write_plan({"description": "train", "tool": "train"})
    Path("trainer.py").write_text("import planfold\n\n@planfold.tool\ndef train(): pass\n")
    called("run", "--yes", "--detach", "--tools", "trainer", plan)
    assert "waits for a worker with the tool 'train'" in called("show")
    assert missing not in called("show")
    process = start("worker", *served)
    try:
        wait_until(lambda: missing in called("show"), "the worker is there")
        (task,) = shown()["tasks"]
        assert task["waits_for"] == missing
        notes = json.loads(called("doctor", "--json"))["notes"]
        declines = any("has no tool train" in note for note in notes)
        assert declines == (not served)
    finally:
        process.terminate()
        ended(process)


def test_resume_waits_for_a_worker_that_has_the_tool() -> None:
    Path("trainer.py").write_text("import planfold\n\n@planfold.tool\ndef train(): return 1\n")
    plan = write_plan({"description": "train", "tool": "train"}, sh("wait", "sleep 2"))
    called("run", "--yes", "--detach", "--tools", "trainer", plan)
    resuming = start("resume", "--json")
    process = start("worker", "--tools", "trainer", "--route", "train")
    try:
        code, out, err = ended(resuming)
        assert (code, err) == (0, "")
        assert statuses(json.loads(out)[0]) == ["completed", "completed"]
    finally:
        process.terminate()
        ended(process)


FORKING = """
import multiprocessing, time
import planfold


def wait(begun):
    begun.set()
    time.sleep(60)


@planfold.tool(effect="safe")
def end_child() -> int | None:
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    child = context.Process(target=wait, args=(begun,))
    child.start()
    begun.wait(30)
    child.terminate()
    child.join(30)
    return child.exitcode
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_signal_for_a_child_of_a_tool_is_not_for_the_worker(loop: str) -> None:
    if loop == "asyncio":
        Path("uvloop.py").write_text("raise ModuleNotFoundError")  # found before the installed one
    Path("forking.py").write_text(FORKING)
    ending = {"label": "end", "description": "end a child", "tool": "end_child"}
    plan = write_plan(ending, sh("after", note("after"), "end"))
    called("run", "--yes", "--detach", "--tools", "forking", plan)
    process = start("worker", "--tools", "forking")
    try:
        wait_until(lambda: statuses(shown()) == ["completed"] * 2, "the plan ends")
        assert process.poll() is None
        assert shown()["tasks"][0]["result"] == -signal.SIGTERM
    finally:
        process.terminate()
        code, _, err = ended(process)
    assert (code, err) == (0, "")


def test_a_second_signal_stops_a_worker_at_once() -> None:
    called("run", "--yes", "--detach", waiting_plan())
    process = start("worker")
    wait_for_task("b-began")
    wait_for_record_of_a()
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while "stopping: 1 running task" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert (code, err) == (130, "")
    assert "b" not in lines_of(LEDGER)
    assert "1 queued" in called("show")


def test_watch_follows_a_plan_that_runs_elsewhere() -> None:
    process = start("run", "--yes", waiting_plan())
    wait_for_task("b-began")
    watching = start("watch")
    assert watching.stdout is not None
    assert "running, 1 of 3 tasks completed, 1 running" in watching.stdout.readline()
    assert "continues 2 b" in watching.stdout.readline()
    Path("go.txt").touch()
    code, out, _ = ended(watching)
    assert code == 0
    assert "completed 3 c" in out
    assert ended(process)[0] == 0


def test_log_follows_until_the_plan_ends() -> None:
    process = start("run", "--yes", waiting_plan())
    wait_for_task("b-began")
    following = start("log", "--follow", "--json")
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["event_type"] == "TasksPlanned"
    Path("go.txt").touch()
    code, out, _ = ended(following)
    assert code == 0
    assert json.loads(out.splitlines()[-1])["event_type"] == "PlanningCompleted"
    assert ended(process)[0] == 0


def test_a_worker_of_an_unknown_route_says_so() -> None:
    def warned(*routes: str) -> str:
        worker = start("worker", *(word for route in routes for word in ("--route", route)))
        assert worker.stdout is not None
        worker.stdout.readline()  # it serves
        worker.terminate()
        return ended(worker)[2]

    plan = write_plan(sh("train", "true", route="gpu"))
    assert "no executor and no waiting task has the route 'gpuu'" in warned("gpuu", "shell")
    called("run", "--yes", "--detach", plan)
    assert warned("gpu", "shell", "processing") == ""
