"""Metrics of a worker, as Prometheus reads them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import apsw
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import planfold
from planfold.errors import ConfigurationError
from planfold.planner.tasks import NodeKind
from planfold.runtime.kept_statistics import statistics_of
from planfold.runtime.metrics import exposition, metrics_of, serving_metrics
from plans import PLAN_ID, Until, running, submit, task
from testbed.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
ALLOWED = {"kind", "tool", "route", "status", "le"}


async def scraped(address: str) -> str:
    def read() -> str:
        with urlopen(address, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(read)


def samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def value(text: str, name: str, **labels: str) -> float:
    found = [s.value for s in samples(text) if s.name == name and s.labels == labels]
    assert len(found) == 1, (name, labels, found)
    return found[0]


async def test_what_prometheus_reads(each_database: str, until: Until) -> None:
    gate = asyncio.Event()

    @planfold.tool(effect="safe")
    async def wait(line: str) -> str:
        await gate.wait()
        if line == "bad":
            raise ValueError("boom")
        return line

    async with planfold.open_app(each_database, tools=[wait]) as app:
        worker = app.worker(concurrency=2)
        async with worker, serving_metrics(app.store, worker, "127.0.0.1", 0) as at:
            asked = planfold.TaskDraft(description="Which?", kind=NodeKind.Clarification)
            waits = [
                task("wait", route='a "b"\n', arguments={"line": x}) for x in ("1", "bad", "3")
            ]
            await submit(app, asked, *waits)
            await until(lambda: running(app, 3))
            await until(lambda: _is(at, "planfold_queue_tasks", 1, status="waiting"))
            await until(lambda: _is(at, "planfold_queue_tasks", 2, status="leased"))
            assert value(await scraped(at), "planfold_worker_tasks") == 2
            gate.set()
            await app.answer(PLAN_ID, 1, "this")
            await app.result(PLAN_ID)
            await until(lambda: _is(at, "planfold_plans_ended_total", 1, status="failed"))
            await until(lambda: _is(at, "planfold_statistics_lag_positions", 0))
            text = await scraped(at)
    group = {"kind": "tool_call", "tool": "wait", "route": 'a "b"\n'}
    assert value(text, "planfold_tasks_ended_total", status="completed", **group) == 2
    assert value(text, "planfold_tasks_ended_total", status="failed", **group) == 1
    assert value(text, "planfold_task_attempts_total", **group) == 3
    assert value(text, "planfold_task_running_seconds_count", **group) == 3
    assert value(text, "planfold_task_queued_seconds_bucket", le="+Inf", **group) == 3
    assert value(text, "planfold_plans_begun_total") == 1
    assert value(text, "planfold_worker_report_seconds_count") == 3
    assert value(text, "planfold_append_seconds_count") >= 2  # commits share
    assert value(text, "planfold_append_seconds_sum") > 0
    assert value(text, "planfold_workers") == 1
    answered = {"kind": "clarification", "tool": "", "route": "clarification"}
    assert value(text, "planfold_task_answers_total", **answered) == 1
    with pytest.raises(OSError, match=r"refused|closed"):
        await scraped(at)


async def _is(address: str, name: str, wanted: float, **labels: str) -> bool:
    text = await scraped(address)
    return any((s.name, s.labels, s.value) == (name, labels, wanted) for s in samples(text))


async def test_names_units_and_labels_follow_the_conventions(database: str) -> None:
    async with planfold.open_app(database) as app:
        worker = app.worker()
        async with serving_metrics(app.store, worker, "127.0.0.1", 0) as at:
            text = await scraped(at)
    names = set()
    for family in text_string_to_metric_families(text):
        names.add(family.name)
        assert re.fullmatch(r"planfold_[a-z_]+", family.name)
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        assert family.name.endswith("_seconds") or family.type != "histogram"
        for sample in family.samples:
            assert sample.labels.keys() <= ALLOWED
            assert family.type != "counter" or sample.name.endswith("_total")
    board = json.loads((ROOT / "docs/howto/grafana.json").read_text())
    asked = set(re.findall(r"planfold_[a-z_]+", json.dumps(board)))
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked} == names
    page = (ROOT / "docs/howto/metrics.md").read_text()
    for name in names:
        assert f"`{name}" in page, name


async def test_use_of_connections(postgres_database: str) -> None:
    async with planfold.open_app(postgres_database) as app:
        readers = app.store._readers  # type: ignore[attr-defined]
        held, leave = asyncio.Semaphore(0), asyncio.Event()

        async def hold(_: object) -> None:
            held.release()
            await leave.wait()

        before = app.store.connections()
        most = before["idle"] + before["free"]
        assert (before["used"], before["waiting"]) == (0, 0)
        holding = [asyncio.create_task(readers.run(hold)) for _ in range(most + 2)]
        for _ in range(most):
            await held.acquire()
        assert app.store.connections() == {"used": most, "idle": 0, "free": 0, "waiting": 2}
        leave.set()
        await asyncio.gather(*holding)
        assert app.store.connections() == {"used": 0, "idle": most, "free": 0, "waiting": 0}
        text = exposition(await metrics_of(app.store, None, statistics_of(app.store)))
        assert value(text, "planfold_database_connections", status="idle") == most


async def test_a_refused_report_is_counted(database: str, until: Until) -> None:
    gate = asyncio.Event()

    @planfold.tool(effect="safe")
    async def wait() -> None:
        await gate.wait()

    async with planfold.open_app(database, tools=[wait]) as app, app.worker() as worker:
        await submit(app, task("wait"))
        await until(lambda: running(app))
        with closing(apsw.Connection(database.removeprefix("sqlite:///"))) as connection:
            connection.set_busy_timeout(10_000)
            connection.execute("UPDATE task_queue SET owner = 'other', epoch = epoch + 1")
        gate.set()
        await until(lambda: worker.fenced)
        assert worker.report_durations.count == 0


async def test_a_port_that_is_taken(database: str) -> None:
    async with planfold.open_app(database) as app:
        worker = app.worker()
        async with serving_metrics(app.store, worker, "127.0.0.1", 0) as at:
            port = int(re.findall(r":(\d+)/", at)[0])
            with pytest.raises(ConfigurationError, match="choose another port"):
                async with serving_metrics(app.store, worker, "127.0.0.1", port):
                    raise AssertionError("two servers at one port")
