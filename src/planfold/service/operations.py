"""``Operation`` and ``EventFeed``: what a client sends, and how it copes with faults of the
connection. ``Connection``: to one service, for asynchronous and synchronous code."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from planfold.errors import (
    CommandRejected,
    ConfigurationError,
    Conflict,
    InvalidPlan,
    NotFound,
    Permanent,
    PlanfoldError,
    Transient,
    extra_missing,
)
from planfold.service import messages as m
from planfold.service.loopback import is_loopback

if TYPE_CHECKING:
    from httpx2 import Response

T = TypeVar("T")
PATIENCE_S: Final = 30.0
PAUSES_S: Final = (0.1, 0.4, 1.6)  # before the second attempt, and so on
QUIET_S: Final = 60.0  # after which a stream without heartbeats counts as cut
_AGAIN: Final = frozenset({429, 503})
_IN_PROGRESS: Final = "urn:planfold:problem:in-progress"


class Connection:
    """To the service at an address. The HTTP clients are made when they are first used."""

    def __init__(self, address: str, token: str) -> None:
        if not (token.isascii() and token.isprintable()):
            raise ConfigurationError(f"the token for {address} is not the text of a token")
        self.address = address
        self._options = {
            "base_url": address,
            "headers": {"Authorization": f"Bearer {token}"},
            "timeout": PATIENCE_S,
            # A proxy would read the token, and reach another machine than this one.
            "trust_env": not is_loopback(_host_of(address)),
        }
        self._async_client: Any = None
        self._sync_client: Any = None

    def sync(self) -> Any:
        """The client for synchronous code."""
        if self._sync_client is None:
            self._sync_client = _http().Client(**self._options)
        return self._sync_client

    def asynchronous(self) -> Any:
        """The client for asynchronous code."""
        if self._async_client is None:
            self._async_client = _http().AsyncClient(**self._options)
        return self._async_client

    def close(self) -> None:
        """Close what synchronous code opened."""
        if self._sync_client is not None:
            self._sync_client.close()

    async def aclose(self) -> None:
        """Close everything."""
        if self._async_client is not None:
            await self._async_client.aclose()
        self.close()

    def not_understood(self, why: str) -> str:
        """What is said of an answer that is none of a service."""
        return (
            f"what {self.address} answered is not from a service of this version ({why}); check "
            "the address, and upgrade the older of both"
        )

    def check(self, fault: Exception, *, last: bool) -> None:
        """Raise what is not a passing fault of the connection, or was the last attempt."""
        http = _http()
        if isinstance(fault, http.InvalidURL):
            raise ConfigurationError(f"{self.address} is not an address: {fault}") from None
        if isinstance(fault, http.DecodingError):
            raise Permanent(self.not_understood(str(fault))) from None
        if not isinstance(fault, http.TransportError):
            raise fault
        if last:
            raise Transient(f"{self.address} cannot be reached: {fault}") from None


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _http() -> Any:
    try:
        import httpx2
    except ModuleNotFoundError as fault:
        raise extra_missing("the client of the service", "client", fault) from None
    return httpx2


class Operation(Generic[T]):
    """A request that is not sent yet: ``await`` it, or call :meth:`run`. Sending it again repeats
    the same request, which the service carries out once."""

    def __init__(
        self, connection: Connection, method: str, path: str, sent: dict[str, Any], type_: Any
    ) -> None:
        self._connection = connection
        self._method = method
        self._path = path
        self._sent = sent
        self._type = type_

    def __await__(self) -> Generator[Any, None, T]:
        return self._send().__await__()

    def run(self) -> T:
        """Send it and wait for the answer, without an event loop."""
        for pause in (*PAUSES_S, None):
            try:
                response = self._connection.sync().request(self._method, self._path, **self._sent)
            except Exception as fault:
                self._connection.check(fault, last=pause is None)
            else:
                if pause is None or not _try_again(response):
                    return self._read(response)
            time.sleep((pause or 0.0) * random.uniform(0.5, 1.0))
        raise AssertionError

    async def _send(self) -> T:
        for pause in (*PAUSES_S, None):
            try:
                response = await self._connection.asynchronous().request(
                    self._method, self._path, **self._sent
                )
            except Exception as fault:
                self._connection.check(fault, last=pause is None)
            else:
                if pause is None or not _try_again(response):
                    return self._read(response)
            await asyncio.sleep((pause or 0.0) * random.uniform(0.5, 1.0))
        raise AssertionError

    def _read(self, response: Response) -> T:
        if response.status_code >= 300:
            raise error_from_problem(response.status_code, response.content)
        try:
            found: T = msgspec.json.decode(response.content, type=self._type)
        except msgspec.DecodeError as fault:
            raise Permanent(self._connection.not_understood(str(fault))) from None
        return found


def _try_again(response: Response) -> bool:
    if response.status_code == 409:
        return _IN_PROGRESS in response.text
    return response.status_code in _AGAIN


def error_from_problem(status: int, body: bytes) -> PlanfoldError:
    """The error of the library for a problem document."""
    try:
        problem = msgspec.json.decode(body, type=m.Problem)
    except msgspec.DecodeError:
        problem = m.Problem(
            type="", title=f"the server answered with status {status}", status=status
        )
    text = problem.detail or problem.title
    if problem.faults:
        return InvalidPlan(problem.faults)
    kinds: dict[int, type[PlanfoldError]] = {
        401: ConfigurationError,
        403: CommandRejected,
        404: NotFound,
        409: CommandRejected,
        412: Conflict,
        422: CommandRejected,
        429: Transient,
        503: Transient,
    }
    return kinds.get(status, Permanent)(text).about(problem.field)


class EventFeed:
    """Events as they happen, for ``async for`` or ``for``. Each comes once and in order, also when
    the connection is cut in between. The feed of a plan ends with it, that of all plans never."""

    def __init__(self, connection: Connection, path: str, after: int) -> None:
        self._connection = connection
        self._path = path
        self._after = after

    async def __aiter__(self) -> AsyncIterator[m.EventRecord]:
        cuts = 0
        while True:
            try:
                async with self._connection.asynchronous().stream(**self._request()) as response:
                    if self._is_over(response.status_code, await _problem_of(response)):
                        return
                    async for line in response.aiter_lines():
                        if (event := self._take(line)) is not None:
                            cuts = 0
                            yield event
            except Exception as fault:
                self._connection.check(fault, last=False)
            await asyncio.sleep(_pause(cuts))
            cuts += 1

    def __iter__(self) -> Iterator[m.EventRecord]:
        cuts = 0
        while True:
            try:
                with self._connection.sync().stream(**self._request()) as response:
                    problem = response.read() if response.status_code >= 300 else b""
                    if self._is_over(response.status_code, problem):
                        return
                    for line in response.iter_lines():
                        if (event := self._take(line)) is not None:
                            cuts = 0
                            yield event
            except Exception as fault:
                self._connection.check(fault, last=False)
            time.sleep(_pause(cuts))
            cuts += 1

    def _request(self) -> dict[str, Any]:
        headers = {"Last-Event-ID": str(self._after)} if self._after else {}
        return {"method": "GET", "url": self._path, "headers": headers, "timeout": QUIET_S}

    def _is_over(self, status: int, problem: bytes) -> bool:
        if status >= 300 and status not in _AGAIN:
            raise error_from_problem(status, problem)
        return status == 204

    def _take(self, line: str) -> m.EventRecord | None:
        name, _, value = line.partition(": ")
        if name != "data":
            return None
        try:
            event = msgspec.json.decode(value, type=m.EventRecord)
        except msgspec.DecodeError as fault:
            raise Permanent(self._connection.not_understood(str(fault))) from None
        self._after = event.position
        return event


async def _problem_of(response: Any) -> bytes:
    return await response.aread() if response.status_code >= 300 else b""


def _pause(cuts: int) -> float:
    return PAUSES_S[min(cuts, len(PAUSES_S) - 1)] * random.uniform(0.5, 1.0)
