"""Traces of plans that have ended: ids, parents, names, and what is left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from example_pictures import PLAN_ID, fan_out, layered, release

from planfold.errors import CommandRejected
from planfold.eventstore.envelope import Envelope
from planfold.handler import Metadata
from planfold.planner import events as e
from planfold.planner.tasks import TaskSpec, TaskStatus
from planfold.readmodels.trace import TraceSpan, span_id_of, trace_id_of, trace_of
from planfold.readmodels.trace_formats import chrome, otlp


def exported(log: Sequence[Envelope], **options: Any) -> list[dict[str, Any]]:
    message = otlp(trace_of(PLAN_ID, log, **options), "1.0")
    spans: list[dict[str, Any]] = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return spans


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}


def log_of(*events: object) -> list[Envelope]:
    """One second between one event and the next."""
    said = Metadata(worker="w", claimed_at=1.0, began_at=1.0)
    return [
        Envelope(n, "plan", PLAN_ID, n, type(event).__name__, 1, event, said, 100.0 + n)
        for n, event in enumerate(events, 1)
    ]


def an_agent(*steps: object, end: object) -> list[Envelope]:
    spec = TaskSpec(id=1, description="find out")
    summary = e.PlanSummary(total=1, completed=1)
    return log_of(
        e.TasksPlanned("secret title", "", (spec,), "hash"),
        e.PlanApproved("hash"),
        e.TaskDispatched(1, 1),
        *steps,
        end,
        e.PlanningCompleted("completed", summary),
    )


def test_attempts_and_questions_are_below_the_plan() -> None:
    spans = exported(release().envelopes)
    root = spans[0]
    assert root["name"] == "invoke_workflow planfold"
    assert "parentSpanId" not in root
    assert root["status"] == {"code": 2}
    assert attributes(root)["error.type"] == "failed"
    assert root["events"][0]["name"] == "PlanApproved"
    assert {span["parentSpanId"] for span in spans[1:]} == {root["spanId"]}
    assert Counter(span["name"] for span in spans[1:]) == {
        "execute_tool shell": 6,
        "ask_person": 1,
    }
    failed = [s for s in spans if attributes(s).get("planfold.task.id") == "5"]
    assert [attributes(s)["planfold.attempt"] for s in failed] == ["1", "2"]
    assert [s["status"] for s in failed] == [{"code": 2}] * 2
    asked = next(s for s in spans if s["name"] == "ask_person")
    assert int(asked["endTimeUnixNano"]) - int(asked["startTimeUnixNano"]) == 7_200 * 10**9
    assert "gen_ai.operation.name" not in attributes(asked)


def test_a_span_links_to_the_tasks_that_it_depended_on() -> None:
    spans = exported(release().envelopes)
    by_task = {attributes(s).get("planfold.task.id"): s["spanId"] for s in spans}
    last = spans[-1]
    assert [link["spanId"] for link in last["links"]] == [by_task["3"], by_task["4"]]


@pytest.mark.parametrize("play", [release, lambda: layered(50, 8), lambda: fan_out(20)])
def test_two_exports_are_equal_and_no_id_is_used_twice(play: Any) -> None:
    log = play().envelopes
    spans = exported(log)
    assert spans == exported(log)
    assert len({span["spanId"] for span in spans}) == len(spans)
    assert {span["traceId"] for span in spans} == {trace_id_of(PLAN_ID)}
    begin, end = int(spans[0]["startTimeUnixNano"]), int(spans[0]["endTimeUnixNano"])
    for span in spans:
        assert begin <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= end
        assert (len(span["spanId"]), len(span["traceId"])) == (16, 32)


def test_ids_are_pinned() -> None:
    assert trace_id_of("plan-1") == "4c433a9530a37e8993bebea430b4476b"
    assert span_id_of("plan-1#1") == "de745c0f3a5651c1"


def test_content_is_exported_only_when_asked_for() -> None:
    log = release().envelopes
    plain = json.dumps([exported(log), chrome(trace_of(PLAN_ID, log))])
    for text in ("Release 2.1", "make build", "Publish it?", "exit status 1", "ada"):
        assert text not in plain
    full = json.dumps(exported(log, content=True))
    for text in ("Release 2.1", "make build", "Publish it?", "exit status 1"):
        assert text in full
    names = [span["name"] for span in exported(log, content=True)]
    assert not any("Release" in name or "make" in name for name in names)


def test_calls_of_models_and_tools_are_below_their_attempt() -> None:
    usage = {"input_tokens": 70, "output_tokens": 5}
    log = an_agent(
        e.StepStarted(1, "model/1", "openai:gpt-5"),
        e.StepRecorded(1, "model/1", {"text": "", "usage": usage, "model": "openai:gpt-5-mini"}),
        e.StepStarted(1, "tool/1.1", "read_file"),
        e.StepStarted(1, "tool/1.2", "http"),
        e.StepRecorded(1, "tool/1.1", {"result": "secret"}),
        e.StepFailed(1, "tool/1.2", "secret"),
        e.StepStarted(1, "model/2", "openai:gpt-5"),
        end=e.TaskStatusUpdated(1, TaskStatus.Completed, "secret"),
    )
    spans = exported(log)
    _, agent, chat, read, http, last = spans
    assert agent["name"] == "invoke_agent processing"
    assert {span["parentSpanId"] for span in spans[2:]} == {agent["spanId"]}
    assert [s["name"] for s in (chat, read, http)] == [
        "chat openai:gpt-5",
        "execute_tool read_file",
        "execute_tool http",
    ]
    assert chat["kind"] == 3
    told = attributes(chat)
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.response.model"] == "gpt-5-mini"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == ("70", "5")
    assert attributes(http)["error.type"] == "failed"
    assert attributes(last)["error.type"] == "interrupted"
    assert last["endTimeUnixNano"] == agent["endTimeUnixNano"]
    assert "secret" not in json.dumps(spans)


def test_an_attempt_of_unknown_outcome_was_interrupted() -> None:
    log = an_agent(
        e.StepStarted(1, "model/1", "scripted"),
        e.ClarificationRequested(1, "Was it done?", then="outcome"),
        end=e.ClarificationReceived(1, "done", "ada", "complete"),
    )
    _, attempt, step, asked = exported(log)
    assert attributes(attempt)["error.type"] == "interrupted"
    assert attributes(step)["error.type"] == "interrupted"
    assert asked["status"] == {}


def test_an_attempt_begins_with_the_first_worker_that_had_it() -> None:
    log = an_agent(
        e.StepStarted(1, "model/1", "scripted"),
        e.StepStarted(1, "model/1", "scripted", again=True, epoch=2),
        e.StepRecorded(1, "model/1", {}),
        end=e.TaskStatusUpdated(1, TaskStatus.Completed),
    )
    log[-2] = msgspec.structs.replace(log[-2], metadata=Metadata(worker="w2", began_at=104.5))
    _, attempt, lost, again = exported(log)
    assert attributes(lost)["error.type"] == "interrupted"
    assert int(attempt["startTimeUnixNano"]) <= int(lost["startTimeUnixNano"])
    assert again["status"] == {}


def test_a_plan_that_has_not_ended_has_no_trace() -> None:
    log = release().envelopes[:-1]
    with pytest.raises(CommandRejected, match="has not ended"):
        trace_of(PLAN_ID, log)


def test_rows_in_chrome_hold_no_overlaps() -> None:
    log = an_agent(
        *(e.StepStarted(1, f"tool/1.{n}", "http") for n in range(3)),
        *(e.StepRecorded(1, f"tool/1.{n}", None) for n in range(3)),
        end=e.TaskStatusUpdated(1, TaskStatus.Completed),
    )
    events = chrome(trace_of(PLAN_ID, log))["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert Counter(s["name"] for s in slices)["execute_tool http"] == 3
    assert [e["args"]["name"] for e in events if e["name"] == "thread_name"] == [
        "plan",
        "task 1",
        "task 1 (2)",
        "task 1 (3)",
    ]
    for one in slices:
        for other in slices:
            if one is not other and one["tid"] == other["tid"] and one["ts"] <= other["ts"]:
                end = one["ts"] + one["dur"]
                assert other["ts"] >= end or other["ts"] + other["dur"] <= end


def test_waits_are_in_the_rows_of_chrome() -> None:
    log = release().envelopes
    events = chrome(trace_of(PLAN_ID, log))["traceEvents"]
    waits = Counter(event["name"] for event in events if event.get("cat") == "wait")
    assert waits["waits: approval"] == 5
    assert waits["waits: retry"] == 2
    assert "waits: answer" not in waits, "it is a span"


def test_a_span_is_plain_data() -> None:
    assert all(isinstance(span, TraceSpan) for span in trace_of(PLAN_ID, release().envelopes).spans)
