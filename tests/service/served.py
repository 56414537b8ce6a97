"""A service in this process, with a real server and real connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2

import planfold
from planfold.access.credential import Scope
from planfold.service.credentials import Credentials
from planfold.service.server import Binding, serving
from planfold.service.service import Service, ServiceLimits
from testbed.patience import PATIENCE_S

ANYWHERE = Binding()
HASTY = ServiceLimits(heartbeat_s=0.05, write_s=20.0, rate=1e6, burst=1e6)


@dataclass
class Served:
    """``tokens`` has one token for each scope, and "all"."""

    app: planfold.App
    service: Service
    address: str
    http: httpx2.AsyncClient
    tokens: dict[str, str]
    _keys: Any = field(default_factory=count)

    @property
    def credentials(self) -> Credentials:
        return self.service.credentials

    def headers(self, token: str = "all", **more: str) -> dict[str, str]:
        bearer = {"Authorization": f"Bearer {self.tokens.get(token, token)}"}
        return bearer | {name.replace("_", "-"): value for name, value in more.items()}

    async def get(self, path: str, token: str = "all", **headers: str) -> httpx2.Response:
        return await self.http.get(path, headers=self.headers(token, **headers))

    async def post(
        self, path: str, body: Any, token: str = "all", *, key: str = "", **headers: str
    ) -> httpx2.Response:
        key = key or f"key-{next(self._keys)}"
        found = self.headers(token, Idempotency_Key=key, **headers)
        return await self.http.post(path, json=body, headers=found)

    async def submit(self, text: str, *, approve: bool = True) -> str:
        answer = await self.post("/v1/plans", {"text": text, "approve": approve})
        assert answer.status_code == 201, answer.text
        plan_id: str = answer.json()["plan_id"]
        return plan_id


@asynccontextmanager
async def serve(
    database: str, *, work: bool = True, limits: ServiceLimits = HASTY, binding: Binding = ANYWHERE
) -> AsyncIterator[Served]:
    async with planfold.open_app(database) as app:
        worker = app.worker() if work else None
        if worker is not None:
            await worker.__aenter__()
        try:
            async with (
                serving(app, binding, worker=worker, limits=limits) as listening,
                httpx2.AsyncClient(base_url=listening.address, timeout=PATIENCE_S) as http,
            ):
                credentials = listening.service.credentials
                tokens = {"all": await make_token(credentials, "ada", *Scope)}
                for scope in Scope:
                    tokens[scope.value] = await make_token(credentials, scope.value, scope)
                yield Served(app, listening.service, listening.address, http, tokens)
        finally:
            if worker is not None:
                await worker.__aexit__(None, None, None)


async def make_token(credentials: Credentials, name: str, *scopes: Scope) -> str:
    return (await credentials.issue(name, scopes, lasts_s=3_600)).secret


async def until(check: Callable[[], Any]) -> None:
    """Wait until ``check()`` is true; it may be a coroutine function."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = check()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.005)


@dataclass
class Sse:
    """One event of a stream."""

    id: int
    data: dict[str, Any]


async def events_of(response: httpx2.Response) -> AsyncIterator[Sse]:
    """The events of an answer, to its end."""
    position = 0
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            position = int(value)
        elif name == "data":
            yield Sse(position, json.loads(value))


@asynccontextmanager
async def opened_credentials(
    database: str, clock: Callable[[], float]
) -> AsyncIterator[Credentials]:
    async with planfold.open_app(database, clock=clock) as app:
        yield Credentials(app.store, app.dispatcher)
