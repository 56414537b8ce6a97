"""Which URLs and addresses may be fetched: the public internet, and what the operator exempts.

A plan's URL may come from a model or from a web page. Without these rules it could reach the
machine's own services, the intranet, or a cloud's metadata address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from planfold.errors import ConfigurationError, Permanent

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH_SAFE = "/%:=&?~+!$,;'@()*[]|^{}\"<>`"

# Python's is_global differs between versions and calls multicast and some of these global.
_NOT_PUBLIC_V4 = [
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [
    ipaddress.IPv6Network(text)
    for text in (
        *("2001::/23", "2001:db8::/32", "3fff::/20"),  # protocols (Teredo too), documentation
        *("2002::/16", "2620:4f:8000::/48"),  # 6to4, AS112
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


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
        raise Permanent(f"the URL {_shown(url)} has brackets around what is no IPv6 address")
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_PATH_SAFE)
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
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise Permanent(f"the host {_shown(host)} is not a valid name")
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        # 127.1, 0x7f000001 and 2130706433 are all 127.0.0.1 to a resolver: only a.b.c.d may pass.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise Permanent(f"the host {_shown(host)} is an address in disguise") from None
    return host


class AddressPolicy:
    """``allow_private`` exempts hosts (by name) and networks (CIDR or single addresses).

    Raises ConfigurationError for an entry that is neither.
    """

    def __init__(self, allow_private: Sequence[str] = ()) -> None:
        self._hosts: set[str] = set()
        self._networks: list[_Network] = []
        for entry in allow_private:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                if not _HOST.fullmatch(entry.lower()):
                    raise ConfigurationError(
                        f"allow_private: {entry!r} is neither a host nor a network"
                    ) from None
                self._hosts.add(entry.lower())

    def check(self, host: str, addresses: Iterable[str]) -> list[str]:
        """``addresses`` if every one may be connected to. Raises Permanent if any may not."""
        checked = list(addresses)
        for text in checked:
            address = ipaddress.ip_address(text)
            if host in self._hosts or any(address in network for network in self._networks):
                continue
            if not is_public(address):
                raise Permanent(
                    f"{host} is at {address}, which is not public; an operator can allow it "
                    "(allow_private)"
                )
        return checked


def is_public(address: IPAddress) -> bool:
    """Whether ``address`` is one host on the public internet, also when it wraps an IPv4 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _PUBLIC_V6 or address.scope_id is not None:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


def _shown(text: str) -> str:
    return ascii(text[:200])
