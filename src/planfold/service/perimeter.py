"""``Perimeter``: what every request passes before it is routed.

A browser can be made to send requests here by any page (DNS rebinding, forged forms), so the names
in ``Host`` and ``Origin`` must be exactly those of the service, and requests that a browser marks
as coming from another site are refused, except for links to the page. There is no CORS.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planfold.errors import ConfigurationError
from planfold.service.answers import RequestBody, send_problem
from planfold.service.assets import is_page
from planfold.service.problems import Refused, refusal

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_TARGET: Final = 4_096
MOST_HEADERS: Final = 64
_PORTS: Final = {"http": 80, "https": 443}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

access_log: Final = logging.getLogger("planfold.access")


class Names(msgspec.Struct, frozen=True):
    """The values of ``Host`` and ``Origin`` that name this service; ``secure`` are the hosts that
    are reached only over HTTPS."""

    hosts: frozenset[str]
    origins: frozenset[str]
    secure: frozenset[str] = frozenset()

    @property
    def lasting(self) -> bool:
        """Whether browsers may remember to use HTTPS: on this machine that would be for all ports
        of "localhost"."""
        return bool(self.secure) and not any(host.startswith("localhost") for host in self.hosts)


def names_of(addresses: Iterable[str]) -> Names:
    """The names of a service that is reached at these addresses (``https://plans.example.org``).

    Raises:
        ConfigurationError: one is not an http or https address with a host and nothing else.
    """
    origins: set[str] = set()
    hosts: dict[str, set[str]] = {"https": set(), "http": set()}
    for address in addresses:
        parts = urlsplit(address)
        try:
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            port = 0
        if not port or not parts.hostname or parts.path.strip("/") or parts.query or "@" in address:
            raise ConfigurationError(
                f"{address!r} is not an address of a service; write it as https://plans.example.org"
            )
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        hosts[parts.scheme].add(f"{name}:{port}")
        origins.add(f"{parts.scheme}://{name}:{port}")
        if port == _PORTS[parts.scheme]:
            hosts[parts.scheme].add(name)
            origins.add(f"{parts.scheme}://{name}")
    every = frozenset(hosts["https"] | hosts["http"])
    return Names(every, frozenset(origins), frozenset(hosts["https"] - hosts["http"]))


class Perimeter:
    """``behind_proxy``: a reverse proxy adds the client's address to ``X-Forwarded-For``."""

    def __init__(self, app: ASGIApp, names: Names, *, behind_proxy: bool = False) -> None:
        self._app = app
        self._names = names
        self._behind_proxy = behind_proxy
        self._added = dict(_HEADERS)
        if names.lasting:
            self._added["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._added.items():
                    headers.setdefault(name, value)
            await send(message)

        headers, incoming = Headers(scope=scope), RequestBody(receive)
        scope["incoming"] = incoming
        scope["address"] = self._address(scope, headers)
        try:
            self._check(scope, headers)
        except Refused as refused:
            await send_problem(refused, scope, incoming.receive, sending)
        else:
            await self._app(scope, incoming.receive, sending)
        finally:
            spent = (time.monotonic() - began) * 1_000
            access_log.info(
                "%s %s %d %s %s %.1f ms",
                scope["method"],
                ascii(scope["path"])[1:-1],
                status,
                scope.get("by") or "-",
                scope["address"],
                spent,
            )

    def _address(self, scope: Scope, headers: Headers) -> str:
        client: str = scope["client"][0] if scope.get("client") else "-"
        if self._behind_proxy and (forwarded := headers.getlist("x-forwarded-for")):
            return ascii(forwarded[-1].rpartition(",")[2].strip())[1:-1][:64]
        return client

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises Refused."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._names.hosts:
            raise refusal(421, "wrong-host", "the Host of this request is not one of this service")
        if len(origins) > 1 or any(each.lower() not in self._names.origins for each in origins):
            raise refusal(403, "wrong-origin", "requests from other origins are refused")
        site = headers.get("sec-fetch-site", "same-origin")
        if _follows_a_link(scope, headers):
            site = "none"
        allowed = ("same-origin", "none") if scope["method"] in SAFE_METHODS else ("same-origin",)
        if site not in allowed:
            raise refusal(403, "other-site", "requests from other sites are refused")
        target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if target > LONGEST_TARGET or len(headers.raw) > MOST_HEADERS:
            raise refusal(400, "too-long", "the address is too long, or there are too many headers")


def _follows_a_link(scope: Scope, headers: Headers) -> bool:
    """Whether a person opens the page, perhaps from another site: its document is public, and the
    page itself is of this origin."""
    kind = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return scope["method"] == "GET" and kind == ("navigate", "document") and is_page(scope["path"])
