"""``planfold trace``: a plan that has ended, as a file."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import called, question, sh, shown, write_plan


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
