"""How long an event takes to a subscriber in another process, and what an idle worker costs."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from statistics import quantiles

import planfold
from benchmarks.postgres.raw import notify_latencies
from benchmarks.report import Figure
from benchmarks.store import METADATA
from planfold.eventstore.envelope import Query
from planfold.eventstore.port import Append
from planfold.planner.events import TaskStatusUpdated
from planfold.planner.tasks import TaskStatus

IDLE_S = 20.0


def with_parameter(address: str, parameter: str) -> str:
    return address + ("&" if "?" in address else "?") + parameter


async def feed_figures(address: str, count: int) -> list[Figure]:
    """From the end of the append to the subscriber; both processes read one machine's clock."""
    quick = with_parameter(address, "notify_ms=0")
    raw = quantiles(await notify_latencies(address, count), n=100)
    found = {}
    for name, where in (("low-latency setting", quick), ("default", address)):
        found[name] = quantiles(await _latencies(where, count), n=100)
    low, usual = found["low-latency setting"], found["default"]
    ms = 1e3
    return [
        Figure(
            "feed latency p50, low-latency setting",
            f"{low[49] * ms:.2f} ms (p99 {low[98] * ms:.2f})",
            f"LISTEN/NOTIFY {raw[49] * ms:.2f} ms (p99 {raw[98] * ms:.2f}) + 2 ms",
            low[49] / (raw[49] + 0.002),
            1.0,
            "<=",
        ),
        Figure(
            "feed latency p50, default",
            f"{usual[49] * ms:.2f} ms (p99 {usual[98] * ms:.2f})",
            "20 ms between notifications",
            usual[49] / 0.022,
            1.0,
            "<=",
        ),
    ]


async def _latencies(address: str, count: int) -> list[float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.postgres.latency",
        "follow",
        address,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    found: list[float] = []
    run = str(time.monotonic_ns())
    async with planfold.open_app(address) as app:
        for version in range(count):
            event = TaskStatusUpdated(version, TaskStatus.Completed)
            await app.store.append(Append("latency", run, version, [(event, METADATA)]))
            committed = time.monotonic()
            line = await asyncio.wait_for(process.stdout.readline(), 10)
            found.append(max(json.loads(line) - committed, 0.0))
    process.terminate()
    await process.wait()
    return found


async def idle_figure(address: str, scale: int = 1) -> Figure:
    """CPU time of a worker process that has nothing to do, with a million events in the log."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.postgres.latency",
        "idle",
        address,
        str(IDLE_S / scale),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    share = json.loads(out)
    return Figure("idle worker", f"{share:.2%} of a core", "0.5 %", share / 0.005, 1.0, "<=")


async def _follow(address: str) -> None:
    async with planfold.open_app(address) as app:
        after = await app.store.last_position()
        feed = app.store.subscribe(Query(stream_id="latency"), after=after)
        first = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0.5)  # until it listens
        print("ready", flush=True)
        await first
        print(time.monotonic(), flush=True)
        async for _ in feed:
            print(time.monotonic(), flush=True)


async def _idle(address: str, seconds: str) -> None:
    async with planfold.open_app(address) as app, app.worker():
        await asyncio.sleep(float(seconds) / 6)  # the start has ended
        begun, used = time.perf_counter(), time.process_time()
        await asyncio.sleep(float(seconds))
        print((time.process_time() - used) / (time.perf_counter() - begun))


if __name__ == "__main__":
    asyncio.run({"follow": _follow, "idle": _idle}[sys.argv[1]](*sys.argv[2:]))
