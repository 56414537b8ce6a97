"""Metrics of a worker for Prometheus, served over HTTP.

Import this module only to serve them: it needs the extra ``metrics``. Names and units follow
Prometheus' conventions (https://prometheus.io/docs/practices/naming/).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import generate_latest, start_http_server
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from planfold.errors import ConfigurationError, PlanfoldError
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import EventStore
from planfold.readmodels.histogram import Histogram
from planfold.readmodels.statistics import Figures, Statistics, StatisticsKey
from planfold.runtime.aggregate import PLAN
from planfold.runtime.kept_statistics import KeptStatistics
from planfold.runtime.worker import Worker
from planfold.subscriptions.admin import consumers_of
from planfold.subscriptions.projection import Projection, project

BOUNDS = (-10, -7, -5, -3, -1, *range(6), 6, 8, 10, 12, 14, 16)  # powers of two, in seconds
ANSWER_S = 10.0  # for one scrape
PAUSE_S = 5.0  # after a fault of the store, before the log is followed again
LABELS = ("kind", "tool", "route")

_COUNTS = {
    "attempts": "Attempts of tasks that were dispatched",
    "retries": "Attempts that failed and were tried again",
    "questions": "Questions that people were asked",
    "answers": "Questions that a person answered",
    "defaults": "Questions that their default answered at the deadline",
}
_TIMES = {
    "queued": ("planfold_task_queued_seconds", "From the dispatch of an attempt until it began"),
    "running": ("planfold_task_running_seconds", "How long attempts ran"),
    "person": ("planfold_task_person_wait_seconds", "How long questions waited for a person"),
}


@asynccontextmanager
async def serving_metrics(
    store: EventStore, worker: Worker, host: str, port: int
) -> AsyncIterator[str]:
    """Serve metrics inside the block, at the address that it yields; port 0 takes a free one.
    The log is followed in the meantime.

    Raises:
        ConfigurationError: the port cannot be listened at.
    """
    loop, statistics = asyncio.get_running_loop(), KeptStatistics(store)

    def collect() -> list[Metric]:
        found = asyncio.run_coroutine_threadsafe(metrics_of(store, worker, statistics.found), loop)
        return found.result(ANSWER_S)

    registry = CollectorRegistry()
    registry.register(_Collected(collect))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as fault:
        raise ConfigurationError(
            f"metrics cannot be served at {host}:{port}: {fault.strerror}; choose another port"
        ) from None
    following = asyncio.create_task(follow_statistics(store, statistics, worker.trouble))
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await statistics.save()
        await asyncio.to_thread(server.shutdown)
        await asyncio.to_thread(server.server_close)
        await asyncio.to_thread(thread.join)


def exposition(metrics: Sequence[Metric]) -> str:
    """Metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Collected(lambda: metrics))
    return generate_latest(registry).decode()


async def metrics_of(
    store: EventStore, worker: Worker | None, statistics: Statistics
) -> list[Metric]:
    """All metrics as they are now; ``worker`` None: without those of a worker."""
    return [
        *_plan_metrics(statistics),
        *_task_metrics(statistics.groups),
        *await _store_metrics(store, statistics),
        *(_worker_metrics(worker) if worker is not None else ()),
    ]


class _Collected(Collector):
    """A collector of the registry; it is called in a thread of the server."""

    def __init__(self, function: Callable[[], Sequence[Metric]]) -> None:
        self._function = function

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._function()


async def follow_statistics(
    store: EventStore, statistics: Projection, trouble: Callable[[PlanfoldError], None]
) -> None:
    """Keep the statistics up to date, without end."""
    while True:
        try:
            await project(store, statistics, query=Query(stream_id=PLAN.stream_id))
        except PlanfoldError as fault:
            trouble(fault)
            await asyncio.sleep(PAUSE_S)


def _plan_metrics(statistics: Statistics) -> Iterator[Metric]:
    total = statistics.figures().get("", Figures())
    yield _counter("planfold_plans_begun", "Plans that were recorded", total.plans_begun)
    ended = CounterMetricFamily("planfold_plans_ended", "Ends of plans", labels=["status"])
    for status, count in sorted(total.plans.items()):
        ended.add_metric([status], count)
    yield ended
    lasted = HistogramMetricFamily(
        "planfold_plan_duration_seconds", "From a plan's first event to its end"
    )
    lasted.add_metric([], *_buckets(total.lasted))
    yield lasted
    spent = total.spent
    yield _counter("planfold_spent_tokens", "Tokens of language models", spent.tokens)
    yield _counter("planfold_spent_dollars", "US dollars spent on language models", spent.cost)
    yield _counter("planfold_spent_calls", "Calls of models and of agents' tools", spent.calls)


def _task_metrics(groups: dict[StatisticsKey, Figures]) -> Iterator[Metric]:
    labels = [*LABELS, "status"]
    ended = CounterMetricFamily("planfold_tasks_ended", "Ends of tasks", labels=labels)
    for group, figures in sorted(groups.items()):
        for status, count in sorted(figures.tasks.items()):
            ended.add_metric([*group, status], count)
    yield ended
    for name, about in _COUNTS.items():
        counter = CounterMetricFamily(f"planfold_task_{name}", about, labels=LABELS)
        for group, figures in sorted(groups.items()):
            counter.add_metric(group, getattr(figures, name))
        yield counter
    for name, (called, about) in _TIMES.items():
        histogram = HistogramMetricFamily(called, about, labels=LABELS)
        for group, figures in sorted(groups.items()):
            histogram.add_metric(group, *_buckets(getattr(figures, name)))
        yield histogram


async def _store_metrics(store: EventStore, statistics: Statistics) -> Iterator[Metric]:
    last, checkpoint = await store.last_position(), await statistics.load()
    lag = last - (checkpoint.position if checkpoint is not None else 0)
    size = await store.queue.size()
    tasks = GaugeMetricFamily("planfold_queue_tasks", "Tasks in the task queue", labels=["status"])
    for status in ("waiting", "leased", "expired"):
        tasks.add_metric([status], getattr(size, status))
    behind = max((view.behind for view in await consumers_of(store)), default=0)
    parked = await store.checkpoints.consumers.parked()
    gauges = {
        "planfold_statistics_lag_positions": ("Positions of the log not counted here yet", lag),
        "planfold_consumer_lag_positions": (
            "Positions of the slowest consumer",
            behind,
        ),
        "planfold_streams_parked": ("Streams that consumers have parked", len(parked)),
        "planfold_streams_quarantined": (
            "Plans that this version cannot read",
            len(statistics.unreadable),
        ),
        "planfold_workers": ("Workers that live", len(await store.queue.workers())),
    }
    found = [GaugeMetricFamily(name, *about) for name, about in gauges.items()]
    about = "Connections of this process for reading from a server, and calls that wait for one"
    pool = GaugeMetricFamily("planfold_database_connections", about, labels=["status"])
    for status, count in store.connections().items():
        pool.add_metric([status], count)
    return iter([tasks, *found, pool])


def _worker_metrics(worker: Worker) -> Iterator[Metric]:
    yield GaugeMetricFamily("planfold_worker_tasks", "Tasks that this worker runs", worker.running)
    about = "Reports of this worker that were refused because the task had passed to another"
    yield _counter("planfold_worker_reports_fenced", about, worker.fenced)
    about = "How long this worker's reports took until they were recorded"
    reports = HistogramMetricFamily("planfold_worker_report_seconds", about)
    reports.add_metric([], *_buckets(worker.report_durations))
    yield reports
    about = "How long appends of this process took until they were durable"
    appends = HistogramMetricFamily("planfold_append_seconds", about)
    appends.add_metric([], *_buckets(worker.append_durations))
    yield appends


def _counter(name: str, about: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, about, value)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Counts up to each bound, and the sum in seconds."""
    found: list[tuple[str, float]] = [
        (repr(2.0**bound), float(histogram.up_to(bound))) for bound in BOUNDS
    ]
    return [*found, ("+Inf", float(histogram.count))], histogram.seconds
