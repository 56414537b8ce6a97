"""``TraceExporter``: sends plans that end as traces to OpenTelemetry, over OTLP/HTTP.

It is the handler of a durable consumer: what has not been sent is sent later, by any process. The
ids of a trace and its spans are those of :mod:`planfold.readmodels.trace`, so that what is sent
twice is the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import version
from urllib.parse import urlsplit

import msgspec

from planfold.errors import ConfigurationError, Transient
from planfold.eventstore.envelope import Envelope
from planfold.eventstore.port import EventStore
from planfold.executors.threads import run_in_thread
from planfold.readmodels.trace import trace_of
from planfold.readmodels.trace_formats import otlp

ANSWER_S = 10.0  # for one trace
PAGE = 1_000  # events that are read at a time
PAUSE_S = 0.02
BUSY = 0.5  # share of its time that a busy event loop works
TRACES_PATH = "/v1/traces"


@cache
def _version() -> str:
    return version("planfold")  # it reads files each time


async def _give_way(seconds: float) -> None:
    """Leave the event loop to others for so long, or until it has not much to do: traces can
    wait, so they take a twentieth of the time of a loop that is busy."""
    while seconds > 0:
        pause = min(seconds, PAUSE_S)
        worked, began = time.thread_time(), time.monotonic()
        await asyncio.sleep(pause)
        if time.thread_time() - worked < BUSY * (time.monotonic() - began):
            return
        seconds -= pause


class TraceExporter:
    """``endpoint`` is the address of an OTLP/HTTP receiver, such as ``http://localhost:4318``; a
    path after it replaces ``/v1/traces``. ``headers`` go with each request. ``content``: see
    :func:`planfold.readmodels.trace.trace_of`.

    Raises:
        ConfigurationError: the endpoint is not an address of HTTP.
    """

    def __init__(
        self,
        store: EventStore,
        endpoint: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bool = False,
    ) -> None:
        try:
            parts = urlsplit(endpoint)
            self._port = parts.port
        except ValueError as fault:
            raise ConfigurationError(f"{endpoint!r} is not an address: {fault}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"{endpoint!r} is not an address of an OTLP receiver; write http://HOST:4318"
            )
        self._secure, self._host = parts.scheme == "https", parts.hostname
        self._path = parts.path if parts.path.strip("/") else TRACES_PATH
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._store = store
        self._content = content

    async def handle(self, envelope: Envelope) -> None:
        """Send the plan that ends with this event, as it was then.

        Raises:
            CorruptLog: this version cannot read it.
            Transient: the receiver cannot be reached, or did not accept it.
        """
        begun = time.thread_time()
        plan_id, log = envelope.aggregate_id, list[Envelope]()
        while len(log) < envelope.version:
            most = min(PAGE, envelope.version - len(log))
            page = await self._store.read_versions(plan_id, after=len(log), limit=most)
            if not page:  # it was archived in the meantime
                return
            log += page
        trace = trace_of(plan_id, log, content=self._content)
        body = msgspec.json.encode(otlp(trace, _version()))
        spent = time.thread_time() - begun
        await run_in_thread(lambda: self._send(body), "planfold-traces")
        await _give_way(19 * spent)

    def _send(self, body: bytes) -> None:
        connect = HTTPSConnection if self._secure else HTTPConnection
        connection = connect(self._host, self._port, timeout=ANSWER_S)
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            said = answer.read(200)
        except (OSError, HTTPException) as fault:
            raise Transient(f"the OTLP receiver at {self._host} does not answer: {fault}") from None
        finally:
            connection.close()
        if answer.status >= 300:
            words = said.decode("utf-8", "replace")
            raise Transient(f"the OTLP receiver did not accept a trace: {answer.status} {words}")
