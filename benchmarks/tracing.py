"""What traces cost: CPU time of a task with and without a consumer that sends them."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from timeit import repeat

import planfold
from benchmarks.report import Figure, reduced
from benchmarks.throughput import chain, effect, noop
from planfold.runtime.attempt_span import OPENTELEMETRY
from planfold.subscriptions.admin import consumers_of

RECEIVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def receiver() -> Iterator[str]:
    """The address of an OTLP receiver in a process of its own, which keeps nothing."""
    process = subprocess.Popen([sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.communicate()


async def _cpu_seconds(path: Path, plans: int, address: str | None) -> tuple[float, float]:
    """CPU time of this process for a task: until the last task ended, and until the last trace was
    sent, where they are: traces give way to tasks."""
    async with planfold.open_app(f"sqlite:///{path}", tools=[noop, effect]) as app:
        ids = [await app.submit(chain(10)) for _ in range(plans)]
        async with app.worker(concurrency=128), _traces(app, address):
            await app.result(await app.submit(chain(10), approved_by="benchmark"))
            await _sent(app, address)  # what is imported for the first trace does not count
            begun = _used()
            await asyncio.gather(*(app.approve(plan_id) for plan_id in ids))
            await asyncio.gather(*(app.result(plan_id) for plan_id in ids))
            ended = _used()
            await _sent(app, address)
            return (ended - begun) / (10 * plans), (_used() - begun) / (10 * plans)


async def _sent(app: planfold.App, address: str | None) -> None:
    behind = address is not None
    while behind:
        await asyncio.sleep(0.1)
        behind = any(consumer.behind for consumer in await consumers_of(app.store))


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@asynccontextmanager
async def _traces(app: planfold.App, address: str | None):  # type: ignore[no-untyped-def]
    if address is None:
        yield
        return
    async with app.log.export_traces(address):
        yield


def _of_a_process(path: Path, plans: int, address: str | None) -> tuple[float, float]:
    words = [sys.executable, "-m", "benchmarks.tracing", str(path), str(plans), address or ""]
    found = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    ended, sent = map(float, found.stdout.split())
    return ended, sent


def _off_share(seconds: float) -> float:
    """What an attempt costs that asks whether there are traces, and finds none, as a share of
    ``seconds``: see ``runtime/runner.py``."""
    times = 100_000
    ask = f"{OPENTELEMETRY!r} in modules\nwith nullcontext(): pass"
    of = {"nullcontext": nullcontext, "modules": sys.modules}
    return min(repeat(ask, globals=of, number=times, repeat=5)) / times / seconds


def tracing_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    """Processes with and without traces take turns, so that what else runs slows both."""
    plans, ratios, without = reduced(300, scale), list[float](), list[float]()
    totals = list[float]()
    with receiver() as address:
        for number in range(2 * rounds + 1):
            ways = [None, address] if number % 2 else [address, None]
            found = {
                way: _of_a_process(folder / f"traces-{number}-{bool(way)}.db", plans, way)
                for way in ways
            }
            ratios.append(found[None][0] / found[address][0])
            totals.append(found[address][1] / found[None][0])
            without.append(found[None][0])
    seconds = median(without)
    on, off = median(ratios), 1 / (1 + _off_share(seconds))
    each = f"{seconds * 1e6:,.0f} us of CPU a task without"
    return [
        Figure(
            "tasks while traces are sent",
            f"{1 / on - 1:+.1%} CPU; {median(totals) - 1:+.0%} until the last is sent",
            *(each, on, 0.95),
        ),
        Figure("tasks with traces off", f"{1 / off - 1:+.2%} CPU", each, off, 0.99),
    ]


if __name__ == "__main__":
    file, count, to = sys.argv[1:]
    print(*asyncio.run(_cpu_seconds(Path(file), int(count), to or None)))
