"""What traces cost: tasks per second of CPU with and without a consumer that sends them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median

import planfold
from benchmarks.report import Figure, reduced
from benchmarks.throughput import chain, effect, noop

RECEIVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
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


async def _tasks_per_second(path: Path, plans: int, address: str | None) -> float:
    async with planfold.open_app(f"sqlite:///{path}", tools=[noop, effect]) as app:
        ids = [await app.submit(chain(10)) for _ in range(plans)]
        async with app.worker(concurrency=128), _traces(app, address):
            begun = time.process_time()
            await asyncio.gather(*(app.approve(plan_id) for plan_id in ids))
            await asyncio.gather(*(app.result(plan_id) for plan_id in ids))
            return 10 * plans / (time.process_time() - begun)


@asynccontextmanager
async def _traces(app: planfold.App, address: str | None):  # type: ignore[no-untyped-def]
    if address is None:
        yield
        return
    async with app.log.export_traces(address):
        yield


def tracing_figures(folder: Path, rounds: int, scale: int = 1) -> list[Figure]:
    plans = reduced(100, scale)
    ratios, speeds = [], []
    with receiver() as address:
        for number in range(rounds + 1):
            found = [
                asyncio.run(_tasks_per_second(folder / f"traces-{number}-{on}.db", plans, where))
                for on, where in enumerate((None, address))
            ]
            ratios.append(found[1] / found[0])
            speeds.append(found[1])
    return [
        Figure(
            "tasks with traces being sent",
            f"{median(speeds[1:]):,.0f} tasks per CPU second",
            "without",
            median(ratios[1:] or ratios),
            0.95,
        )
    ]
