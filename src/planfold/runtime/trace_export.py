"""``TraceExporter``: sends plans that end as traces to OpenTelemetry, over OTLP/HTTP; those that
wait together in one request.

It is the handler of a durable consumer: what has not been sent is sent later, by any process. The
ids of a trace and its spans are those of :mod:`planfold.readmodels.trace`, so that what is sent
twice is the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import version
from urllib.parse import urlsplit

import msgspec

from planfold.errors import ConfigurationError, Transient
from planfold.eventstore.envelope import Envelope
from planfold.eventstore.port import EventStore
from planfold.executors.threads import run_in_thread
from planfold.planner.events import PlanForked
from planfold.printable import printable
from planfold.readmodels.trace import Trace, trace_of
from planfold.readmodels.trace_formats import otlp
from planfold.runtime.origins import state_at

ANSWER_S = 10.0  # for one request
SPANS = 10_000  # of a request, about
PAGE = 1_000  # events that are read at a time
PAUSE_S = 0.02
BUSY = 0.5  # share of its time that a busy event loop works
TRACES_PATH = "/v1/traces"
ANSWER_BYTES = 4_096  # of an answer that are read

_log = logging.getLogger("planfold")


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int = 0
    error_message: str = ""


class _ExportAnswer(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess = msgspec.field(default_factory=_PartialSuccess)


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
        await self.handle_all([envelope])

    async def handle_all(self, envelopes: Sequence[Envelope]) -> None:
        """Send the plans that end with these events, in one request for about 10,000 spans. Raises
        as :meth:`handle`, which may then be called for each of them: their ids are the same."""
        traces, spans = list[Trace](), 0
        for envelope in envelopes:
            begun = time.thread_time()
            if trace := await self._trace(envelope):
                traces.append(trace)
                spans += len(trace.spans)
            if spans >= SPANS or (envelope is envelopes[-1] and traces):
                body = msgspec.json.encode(otlp(traces[0], _version(), *traces[1:]))
                traces, spans = [], 0
                spent = time.thread_time() - begun
                await run_in_thread(partial(self._send, body), "planfold-traces")
            else:
                spent = time.thread_time() - begun
            await _give_way(19 * spent)

    async def _trace(self, envelope: Envelope) -> Trace | None:
        """None where the plan was archived in the meantime."""
        plan_id, log = envelope.aggregate_id, list[Envelope]()
        while len(log) < envelope.version:
            most = min(PAGE, envelope.version - len(log))
            page = await self._store.read_versions(plan_id, after=len(log), limit=most)
            if not page:
                return None
            log += page
        first, base = log[0].event, None
        if isinstance(first, PlanForked):
            base = await state_at(self._store, first.origin, first.version, first.checksum)
        return trace_of(plan_id, log, content=self._content, base=base)

    def _send(self, body: bytes) -> None:
        connect = HTTPSConnection if self._secure else HTTPConnection
        connection = connect(self._host, self._port, timeout=ANSWER_S)
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            said = answer.read(ANSWER_BYTES)
        except (OSError, HTTPException) as fault:
            raise Transient(f"the OTLP receiver at {self._host} does not answer: {fault}") from None
        finally:
            connection.close()
        if answer.status >= 300:
            words = said[:200].decode("utf-8", "replace")
            raise Transient(f"the OTLP receiver did not accept a trace: {answer.status} {words}")
        if refused := _refused(said):
            count, why = refused.rejected_spans, printable(refused.error_message)
            _log.warning("the OTLP receiver did not keep %d spans: %s", count, why)


def _refused(answer: bytes) -> _PartialSuccess | None:
    """The spans that the receiver did not keep of a request that it accepted: as OTLP has it, they
    are not sent again."""
    try:
        found = msgspec.json.decode(answer, type=_ExportAnswer, strict=False).partial_success
    except msgspec.DecodeError:  # an empty answer, or not one of OTLP in JSON
        return None
    return found if found.rejected_spans else None
