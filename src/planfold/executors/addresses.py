"""Which URLs and addresses may be fetched: the public internet, and what the operator exempts.

A plan's URL may come from a model or from a web page. Without these rules it could reach the
machine's own services, the intranet, or a cloud's metadata address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from planfold.errors import ConfigurationError, Permanent
from planfold.tools.policy.urls import HOST, Target, parse_url

__all__ = ["AddressPolicy", "Target", "is_public", "parse_url"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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
                if not HOST.fullmatch(entry.lower()):
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
