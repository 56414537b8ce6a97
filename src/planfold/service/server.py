"""Serves the application over HTTP: the socket, TLS, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import msgspec
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from planfold.app import App
from planfold.errors import ConfigurationError
from planfold.runtime.worker import Worker
from planfold.service.loopback import is_loopback
from planfold.service.perimeter import names_of
from planfold.service.service import USUAL, Service, ServiceLimits

HEAD_S: Final = 20.0  # in which the head of a request must arrive
HEAD_BYTES: Final = 32 * 1024
END_S: Final = 5.0  # in which answers that were begun may end


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service listens, and how it is reached.

    ``addresses`` are those that clients use (``https://plans.example.org``); empty: the place
    where it listens. ``behind_proxy``: a reverse proxy in front of it does TLS.
    """

    host: str = "127.0.0.1"
    port: int = 0
    addresses: tuple[str, ...] = ()
    tls_certificate: str | None = None
    tls_key: str | None = None
    behind_proxy: bool = False

    @property
    def tls(self) -> bool:
        return self.tls_certificate is not None


def check_binding(binding: Binding) -> None:
    """Refuse what would expose tokens.

    Raises:
        ConfigurationError: it would be reached from other machines without TLS, or a part is
            missing.
    """
    if (binding.tls_certificate is None) != (binding.tls_key is None):
        raise ConfigurationError("TLS needs both a certificate and its key")
    if not is_loopback(binding.host) and not (binding.tls or binding.behind_proxy):
        raise ConfigurationError(
            f"{binding.host} can be reached from other machines, and tokens would be readable on "
            "the way; give a certificate and its key, or say that a reverse proxy does TLS"
        )
    if not binding.addresses and (binding.behind_proxy or not is_loopback(binding.host)):
        raise ConfigurationError(
            "say at which address clients reach the service, such as https://plans.example.org"
        )
    names_of(binding.addresses)


class Listening(msgspec.Struct, frozen=True):
    """A service that answers. ``address`` is where clients reach it."""

    address: str
    service: Service


@asynccontextmanager
async def serving(
    app: App, binding: Binding, *, worker: Worker | None = None, limits: ServiceLimits = USUAL
) -> AsyncIterator[Listening]:
    """Serve ``app`` inside the block. On leaving it, no more requests are accepted, event streams
    end, and other answers have 5 s to end.

    Raises:
        ConfigurationError: the binding is not safe, or cannot be listened at.
    """
    check_binding(binding)
    listener = _listen(binding)
    port: int = listener.getsockname()[1]
    addresses = binding.addresses or _own_addresses(binding, port)
    names = names_of(addresses)
    service = Service(
        app,
        names,
        port=binding.port or port,
        worker=worker,
        limits=limits,
        behind_proxy=binding.behind_proxy,
    )
    server = _Server(_config(service, binding))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.answering(running)
        yield Listening(addresses[0], service)
    finally:
        service.stopping.set()
        server.should_exit = True
        await running
        await service.close()


def _own_addresses(binding: Binding, port: int) -> tuple[str, ...]:
    scheme = "https" if binding.tls else "http"
    host = f"[{binding.host}]" if ":" in binding.host else binding.host
    found = dict.fromkeys((host, "127.0.0.1", "localhost", "[::1]"))
    return tuple(f"{scheme}://{each}:{port}" for each in found)


def _listen(binding: Binding) -> socket.socket:
    family = socket.AF_INET6 if ":" in binding.host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY; else an answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((binding.host, binding.port))
    except OSError as fault:
        listener.close()
        raise ConfigurationError(
            f"cannot listen at {binding.host}:{binding.port}: {fault.strerror or fault}; choose "
            "another port"
        ) from None
    return listener


def _config(service: Service, binding: Binding) -> uvicorn.Config:
    config = uvicorn.Config(
        service.application(),
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=END_S,  # type: ignore[arg-type]
        limit_concurrency=service.limits.connections,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ssl_certfile=binding.tls_certificate,
        ssl_keyfile=binding.tls_key,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not a line for each bad request
    try:
        config.load()
    except (OSError, ssl.SSLError) as fault:
        raise ConfigurationError(f"the certificate cannot be used: {fault}") from None
    return config


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the program that the service is a part of."""
        yield

    async def answering(self, running: asyncio.Task[None]) -> None:
        """Wait until requests are answered."""
        while not self.started:
            if running.done():
                await running
                raise ConfigurationError("the server did not start")
            await asyncio.sleep(0.005)


class _Protocol(H11Protocol):
    """Lets the application abort a connection, and ends one whose request does not arrive."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app: Any = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope["abort"] = transport.abort
            scope["socket"] = transport.get_extra_info("socket")
            await app(scope, receive, send)

        self.app = with_connection
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._deadline = self.loop.call_later(HEAD_S, self._end_without_request)

    def _end_without_request(self) -> None:
        self._deadline = None
        idle = self.timeout_keep_alive_task is not None  # between requests, with a limit of its own
        if not idle and (self.cycle is None or self.cycle.response_complete):
            self.transport.abort()
