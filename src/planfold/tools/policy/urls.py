"""URLs as planfold reads them: one reader for what is fetched and for what a policy decides."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from planfold.errors import Permanent

HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
PATH_SAFE = "/%:=&?~+!$,;'@()*[]|^{}\"<>`"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Target(NamedTuple):
    """A URL that may be asked for, if its addresses may. ``host`` is ASCII, without brackets."""

    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


_DEFAULT_PORT = {"http": 80, "https": 443}


def parse_url(url: str) -> Target:
    """Read an http or https URL. Raises Permanent, with the reason, for all others."""
    if _CONTROL.search(url) or "\\" in url or url != url.strip():
        raise Permanent(f"the URL {_shown(url)} holds a control character, a backslash or a blank")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Permanent(f"the URL {_shown(url)} is malformed: {error}") from None
    if parts.scheme not in _DEFAULT_PORT:
        raise Permanent(f"the URL {_shown(url)} is neither http nor https")
    if "@" in parts.netloc:
        raise Permanent("the URL holds a user name or password; send a header instead")
    if port == 0:
        raise Permanent(f"the URL {_shown(url)} names port 0")
    if "[" in parts.netloc and ":" not in (parts.hostname or ""):
        raise Permanent(
            f"the URL {_shown(url)} has brackets around something that is not an IPv6 address"
        )
    path = quote(parts.path or "/", safe=PATH_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=PATH_SAFE)
    return Target(
        parts.scheme, _host(parts.hostname or ""), port or _DEFAULT_PORT[parts.scheme], path
    )


def _host(host: str) -> str:
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host if "%" not in host else "").compressed
        except ValueError:
            raise Permanent(f"{_shown(host)} is not an IPv6 address") from None
    try:
        host = host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except UnicodeError:
        raise Permanent(f"the host {_shown(host)} is not a valid name") from None
    host = host.removesuffix(".")
    if not HOST.fullmatch(host) or len(host) > 253:
        raise Permanent(f"the host {_shown(host)} is not a valid name")
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        # 127.1, 0x7f000001 and 2130706433 are all 127.0.0.1 to a resolver: only a.b.c.d may pass.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise Permanent(f"the host {_shown(host)} is an address in disguise") from None
    return host


def _shown(text: str) -> str:
    return ascii(text[:200])
