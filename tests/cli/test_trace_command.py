"""``planfold trace``: a plan that has ended, as a file."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import called, ended, question, sh, shown, start, statuses, wait_until, write_plan


def test_a_finished_plan_is_written_as_a_trace() -> None:
    called("run", "--yes", write_plan(sh("a", "echo secret"), title="a title"))
    plan_id = shown()["id"]
    called("trace", plan_id, "--otlp", "trace.jsonl")
    written = Path("trace.jsonl").read_text()
    spans = json.loads(written)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["name"] for span in spans] == ["invoke_workflow planfold", "execute_tool shell"]
    assert "a title" not in written
    assert "--force" in called("trace", plan_id, "--otlp", "trace.jsonl", code=2)
    assert called("trace", plan_id, "--otlp", "-") == written, "two exports are equal"
    assert "a title" in called("trace", plan_id, "--otlp", "-", "--content")
    called("trace", plan_id, "--chrome", "trace.jsonl", "--force")
    assert json.loads(Path("trace.jsonl").read_text())["traceEvents"]
    called("trace", plan_id, code=2)
    called("trace", plan_id, "--chrome", "-", "--otlp", "-", code=2)


def test_a_plan_that_waits_has_no_trace() -> None:
    called("run", "--yes", write_plan(question("q")), code=3)
    assert "has not ended" in called("trace", shown()["id"], "--otlp", "-", code=2)


def test_one_trace_over_a_killed_process_another_one_and_an_answer() -> None:
    wait = "touch began.txt; until [ -e go.txt ]; do sleep 0.02; done"
    name = write_plan(sh("a", wait), question("q", "a"), sh("b", "true", "q"))
    process = start("run", "--yes", name)
    wait_until(Path("began.txt").exists, "a runs")
    process.kill()
    ended(process)
    Path("go.txt").touch()
    called("resume", code=3)
    called("answer", "q", "yes")
    called("resume")
    plan = shown()
    assert statuses(plan) == ["completed"] * 3
    message = json.loads(called("trace", plan["id"], "--otlp", "-"))
    spans = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len({span["traceId"] for span in spans}) == 1
    names = [span["name"] for span in spans]
    assert names[0] == "invoke_workflow planfold"
    assert names.count("ask_person") == 1
    assert names[-1] == "execute_tool shell"
    workers = {
        attribute["value"]["stringValue"]
        for span in spans
        for attribute in span["attributes"]
        if attribute["key"] == "planfold.worker"
    }
    assert len(workers) == 2, "the one that took a over, and the one that ran b"
