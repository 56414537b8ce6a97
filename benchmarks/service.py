"""Requests to ``planfold serve``, a process of its own, from 4 clients at a time: requests per
second, the 99th percentile, and what one costs the service's processor, which a busy machine
changes less; with few and with many plans in the database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx2

import planfold
from benchmarks.large_store import ASKED, fill
from benchmarks.report import Figure, reduced
from planfold.service.credentials import Credentials
from planfold.service.runtime_file import RuntimeFile, read_runtime_file, runtime_path
from planfold.types import Scope

FEW, MANY, CLIENTS, LIMIT_S = 1_000, 100_000, 4, 0.050
REQUESTS = 380  # of one token, which may send 400 at once
WARM_UP = 10
PATIENCE_S = 60.0
PLAN = {"text": "1. Run `true` {#a}\n2. Run `true` {#b}"}
PAGE = "/v1/plans?limit=50"
Request = Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]]


@contextmanager
def service(database: str) -> Iterator[RuntimeFile]:
    """The service of a database, at a free port."""
    command = [sys.executable, "-m", "planfold", "--db", database, "serve", "--port", "0"]
    process = subprocess.Popen([*command, "--no-worker"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while (found := read_runtime_file(runtime_path(database))) is None or not found.address:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the service does not start")
            time.sleep(0.02)
        yield found
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _processor_s(pid: int) -> float:
    """Seconds of the processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _took(address: str, token: str, request: Request, requests: int) -> tuple[float, float]:
    """Requests per second, and the 99th percentile in seconds."""
    seconds: list[float] = []
    headers = {"Authorization": f"Bearer {token}"}

    async def work(http: httpx2.AsyncClient, number: int) -> None:
        for _ in range(number):
            begun = time.perf_counter()
            answer = await request(http)
            seconds.append(time.perf_counter() - begun)
            answer.raise_for_status()

    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_S) as http:
        await work(http, WARM_UP)
        seconds.clear()
        await asyncio.gather(*(work(http, requests // CLIENTS) for _ in range(CLIENTS)))
    ordered = sorted(seconds)
    rate = CLIENTS * len(seconds) / sum(seconds)
    return rate, ordered[int(len(ordered) * 0.99)]


async def service_figures(
    address_of: Callable[[str], Awaitable[str]], scale: int = 1
) -> list[Figure]:
    """``address_of`` makes an empty database with this name."""
    figures = []
    for plans in (reduced(FEW, scale), reduced(MANY, scale)):
        database = await address_of(f"service_{plans}")
        await fill(database, plans)
        requests = _requests()
        async with planfold.open_app(database) as app:
            config = app.planner_config(project="own")
            await app.submit("1. Run `true`", config=config)
            credentials, scopes = Credentials(app.store, app.dispatcher), list(Scope)[:3]
            tokens = [
                (await credentials.issue("x", scopes, lasts_s=3_600, projects=projects)).secret
                for _, projects, _ in requests
            ]
        with service(database) as runtime:
            for (name, _, request), token in zip(requests, tokens, strict=True):
                about = f"service: {name}; {plans:,} plans"
                number = reduced(REQUESTS, scale, 2 * CLIENTS)
                figures.append(await _figure(about, runtime, token, request, number))
    return figures


async def _figure(
    about: str, runtime: RuntimeFile, token: str, request: Request, number: int
) -> Figure:
    before = _processor_s(runtime.pid)
    rate, slowest = await _took(runtime.address, token, request, number)
    cost = (_processor_s(runtime.pid) - before) / (number + WARM_UP)
    shown = f"{rate:,.0f} requests/s, p99 {slowest * 1e3:.1f} ms"
    shown += f", {cost * 1e3:.2f} ms of processor"
    ratio, limit = slowest / LIMIT_S, f"{LIMIT_S * 1e3:.0f} ms"
    return Figure(about, shown, limit, ratio, 1.0, "<=")


async def sqlite_service_figures(folder: Path, scale: int = 1) -> list[Figure]:
    async def address_of(name: str) -> str:
        return f"sqlite:///{folder / name}.db"

    return await service_figures(address_of, scale)


def _requests() -> list[tuple[str, list[str], Request]]:
    """What is asked, and the projects of the token that asks it."""
    numbers = count()

    async def submit(http: httpx2.AsyncClient) -> httpx2.Response:
        key = {"Idempotency-Key": f"key-{next(numbers)}"}
        return await http.post("/v1/plans", json=PLAN, headers=key)

    return [
        ("whose token it is", [], lambda http: http.get("/v1/me")),  # what any request costs
        ("show", [], lambda http: http.get(f"/v1/plans/{ASKED}")),
        ("list", [], lambda http: http.get(PAGE)),
        ("list of failed plans", [], lambda http: http.get(f"{PAGE}&status=failed")),
        ("list of a project with one plan", ["own"], lambda http: http.get(PAGE)),
        ("submit", [], submit),
    ]
