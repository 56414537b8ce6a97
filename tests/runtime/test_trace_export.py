"""Plans that end are sent as traces, each once or with the same ids; read back from a receiver."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as opentelemetry_trace

import planfold
from planfold.errors import ConfigurationError
from planfold.eventstore.envelope import Query
from planfold.planner.tasks import NodeKind, RetryPolicy
from planfold.readmodels.trace import span_id_of, trace_id_of
from planfold.runtime.trace_export import TraceExporter
from plans import PLAN_ID, Until, finish, submit, task


class Receiver:
    """An OTLP/HTTP receiver; ``answers`` are the status codes of the next requests, then 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[int] = []
        self.said = b"{}"
        self.address = ""

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Of all requests, in order."""
        return [
            span
            for _, _, message in self.requests
            for resource in message["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.send_header("Content-Length", str(len(receiver.said)))
            self.end_headers()
            self.wfile.write(receiver.said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def asks(*depends_on: int) -> planfold.TaskDraft:
    return planfold.TaskDraft(
        description="which?", kind=NodeKind.Clarification, depends_on=list(depends_on)
    )


def shell(script: str, **more: Any) -> planfold.TaskDraft:
    return task("shell", arguments={"script": script}, effect="safe", **more)


async def test_a_plan_is_sent_when_it_ends_as_it_is_exported(
    each_database: str, receiver: Receiver, until: Until
) -> None:
    async with planfold.open_app(each_database) as app:
        consumer = app.log.export_traces(receiver.address, headers={"X-Key": "k"})
        async with consumer:
            await submit(app, shell("echo secret"), asks(1))
            await finish(app)
            assert receiver.requests == []
            await app.answer(PLAN_ID, 2, "this")
            await until(lambda: receiver.requests)
        ((path, headers, message),) = receiver.requests
        assert (path, headers["X-Key"]) == ("/v1/traces", "k")
        assert headers["Content-Type"] == "application/json"
        assert message == await app.trace(PLAN_ID)
        assert "secret" not in json.dumps(message)


async def test_what_ended_before_and_while_nothing_listened_is_sent_once(
    each_database: str, receiver: Receiver, until: Until
) -> None:
    async with planfold.open_app(each_database) as app:
        await submit(app, shell("true"), plan_id="before")
        await finish(app, "before")
        async with app.log.export_traces(receiver.address):
            await until(lambda: len(receiver.requests) == 1)
        await submit(app, shell("false"), plan_id="between")
        await finish(app, "between")
    async with planfold.open_app(each_database) as app:
        async with app.log.export_traces(receiver.address):
            await until(lambda: len(receiver.requests) == 2)
        roots = [span for span in receiver.spans if "parentSpanId" not in span]
        assert [span["traceId"] for span in roots] == [
            trace_id_of("before"),
            trace_id_of("between"),
        ]
        assert [span["status"] for span in roots] == [{}, {"code": 2}]


async def test_spans_that_the_receiver_did_not_keep_are_said_and_not_sent_again(
    each_database: str, receiver: Receiver, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    refused = {"rejectedSpans": "2", "errorMessage": "too old"}
    receiver.said = json.dumps({"partialSuccess": refused}).encode()
    async with planfold.open_app(each_database) as app:
        await submit(app, shell("true"))
        await finish(app)
        async with app.log.export_traces(receiver.address) as consumer:
            await until(lambda: caplog.messages)
            assert consumer.fault is None
        async with app.log.export_traces(receiver.address):
            await submit(app, shell("true"), plan_id="next")
            await finish(app, "next")
            await until(lambda: len(receiver.requests) == 2)
    assert caplog.messages[0] == "the OTLP receiver did not keep 2 spans: too old"


@pytest.mark.parametrize("said", [b"", b"\x12\x00", b"null", b'{"partialSuccess": {}}', b"[1]"])
async def test_any_answer_of_a_receiver_that_accepts_is_understood(
    database: str, receiver: Receiver, until: Until, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.said = said
    async with planfold.open_app(database) as app:
        await submit(app, shell("true"))
        await finish(app)
        async with app.log.export_traces(receiver.address) as consumer:
            await until(lambda: receiver.requests)
        assert consumer.fault is None
    assert caplog.messages == []


async def test_plans_that_ended_before_are_sent_in_one_request(
    each_database: str, receiver: Receiver, until: Until
) -> None:
    """Also a fork; a plan that cannot be sent with the others is sent alone."""
    receiver.answers = [503]
    names = [f"plan-{number}" for number in range(4)]
    async with planfold.open_app(each_database) as app:
        for name in names:
            await submit(app, shell("true"), plan_id=name)
            await finish(app, name)
        names.append((await app.fork(names[0], at=1)).plan_id)
        await finish(app, names[-1])
        async with app.log.export_traces(receiver.address):
            await until(lambda: len(receiver.requests) == 6)
        first, *alone = [message for _, _, message in receiver.requests]
        assert alone == [await app.trace(name) for name in names]
        await app.store.checkpoints.consumers.forget("traces")
        receiver.requests.clear()
        async with app.log.export_traces(receiver.address):
            await until(lambda: receiver.requests)
        assert [message for _, _, message in receiver.requests] == [first]
    found = {span["traceId"] for span in receiver.spans}
    assert found == {trace_id_of(name) for name in names}


async def test_a_refused_trace_is_sent_again_with_the_same_ids(
    database: str, receiver: Receiver, until: Until
) -> None:
    receiver.answers = [503]
    async with planfold.open_app(database) as app:
        await submit(app, shell("true"))
        await finish(app)
        consumer = app.log.consumer(
            "traces",
            TraceExporter(app.store, receiver.address).handle,
            Query("plan", "PlanningCompleted"),
            retries=RetryPolicy(attempts=3, base=0.01),
        )
        async with consumer:
            await until(lambda: len(receiver.requests) == 2)
    (_, _, first), (_, _, second) = receiver.requests
    assert first == second


async def test_a_plan_that_continues_after_its_end_keeps_the_ids_of_its_spans(
    database: str, receiver: Receiver, until: Until
) -> None:
    async with planfold.open_app(database) as app, app.log.export_traces(receiver.address):
        await submit(app, shell("false"))
        await finish(app)
        await until(lambda: len(receiver.requests) == 1)
        await app.retry(PLAN_ID, 1)
        await finish(app)
        await until(lambda: len(receiver.requests) == 2)
    first, second = (
        [span["spanId"] for span in message["resourceSpans"][0]["scopeSpans"][0]["spans"]]
        for _, _, message in receiver.requests
    )
    assert second[: len(first)] == first
    assert len(second) == len(first) + 1


@pytest.mark.parametrize("address", ["localhost:4318", "ftp://x", "http://", "http://x:port"])
async def test_a_wrong_address_is_refused(database: str, address: str) -> None:
    async with planfold.open_app(database) as app:
        with pytest.raises(ConfigurationError, match="is not an address"):
            app.log.export_traces(address)


async def test_spans_of_a_tool_are_below_its_attempt(
    each_database: str, receiver: Receiver, until: Until
) -> None:
    """In the trace that is exported later, also from a thread."""
    seen: list[tuple[int, int]] = []

    @planfold.tool(name="sync", effect="safe")
    def sync() -> None:
        found = opentelemetry_trace.get_current_span().get_span_context()
        assert found.is_remote
        assert found.trace_flags.sampled
        seen.append((found.trace_id, found.span_id))

    @planfold.tool(name="later", effect="safe")
    async def later() -> None:
        found = opentelemetry_trace.get_current_span().get_span_context()
        seen.append((found.trace_id, found.span_id))

    async with (
        planfold.open_app(each_database, tools=[sync, later]) as app,
        app.log.export_traces(receiver.address),
    ):
        await submit(app, task("sync"), task("later", depends_on=[1]))
        await finish(app)
        await until(lambda: receiver.requests)
    attempts = [span for span in receiver.spans if "parentSpanId" in span]
    assert [(f"{trace:032x}", f"{span:016x}") for trace, span in seen] == [
        (span["traceId"], span["spanId"]) for span in attempts
    ]
    assert not opentelemetry_trace.get_current_span().get_span_context().is_valid


def _planfold(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "planfold", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def test_one_trace_over_a_kill_another_process_and_a_later_answer(
    tmp_path: Path, receiver: Receiver, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = "test -e began || { touch began; sleep 60; }; echo done"
    tasks = [shell(script), asks(1), shell("true", depends_on=[2])]
    draft = planfold.PlanDraft(title="a plan", tasks=tasks)
    database = f"sqlite:///{tmp_path}/plans.db"
    async with planfold.open_app(database) as app:
        await app.submit(draft, plan_id=PLAN_ID, approved_by="test")
    first = _planfold("resume", PLAN_ID, "--db", database)
    await until(lambda: Path("began").exists())
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    worker = _planfold("worker", "--otlp", receiver.address, "--db", database)
    try:
        async with planfold.open_app(database) as app:

            async def asked() -> bool:
                return bool((await app.view(PLAN_ID)).questions)

            await until(asked)
            assert receiver.requests == []
            await app.answer(PLAN_ID, 2, "this")
            await until(lambda: receiver.requests)
            expected = await app.trace(PLAN_ID)
            dispatched = [e async for e in app.history(PLAN_ID) if e.event_type == "TaskDispatched"]
    finally:
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait, 20)
    ((_, _, message),) = receiver.requests
    assert message == expected
    spans = receiver.spans
    assert {span["traceId"] for span in spans} == {trace_id_of(PLAN_ID)}
    assert sorted(span["name"] for span in spans) == [
        "ask_person",
        "execute_tool shell",
        "execute_tool shell",
        "invoke_workflow planfold",
    ]
    assert {span["parentSpanId"] for span in spans[1:]} == {spans[0]["spanId"]}
    assert {span_id_of(e.event_id) for e in dispatched} <= {span["spanId"] for span in spans}
