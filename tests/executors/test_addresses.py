from __future__ import annotations

import ipaddress

import pytest

from planfold.errors import ConfigurationError, Permanent
from planfold.executors.addresses import AddressPolicy, is_public, parse_url


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",  # IPv4-compatible
        "::808:808",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",  # local-use NAT64
        "100::1",
        "2001::1",  # Teredo
        "2001:db8::1",
        "2002:7f00:1::1",  # 6to4 of 127.0.0.1
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111"),
        *("2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"),
    ],
)
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com.:8080/", "http://example.com:8080/"),
        ("http://bücher.example/é?q=ü x", "http://xn--bcher-kva.example/%C3%A9?q=%C3%BC%20x"),
        ("http://[2606:4700:0::1]/", "http://[2606:4700::1]/"),
        ("http://a_b.example/%2e%2e", "http://a_b.example/%2e%2e"),
        ("http://127.0.0.1:99999", None),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),  # noqa: RUF001 - full-width digits
    ],
)
def test_urls_are_normalised(url: str, normal: str | None) -> None:
    if normal is None:
        with pytest.raises(Permanent, match="malformed"):
            parse_url(url)
    else:
        assert str(parse_url(url)) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://",
        "http:///path",
        "http://.",
        "http://a..b/",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nHost: x",
        "http://example.com/\0",
        "http://exa\tmple.com/",
        " http://example.com/",
        "http://example.com:0/",
        "http://example.com:x/",
        "http://exa mple.com/",
        "http://ex%61mple.com/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://127.1/",
        "http://127.0.1/",
        "http://0/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://example.0x10/",
        "http://" + "a" * 64 + ".com/",
        "http://example.com/\ud800",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(Permanent):
        parse_url(url)


class TestPolicy:
    def test_one_bad_address_among_good_ones_is_enough(self) -> None:
        with pytest.raises(Permanent, match=r"10\.0\.0\.1, which is not public"):
            AddressPolicy().check("x.test", ["93.184.216.34", "10.0.0.1"])

    def test_public_ones_pass(self) -> None:
        addresses = ["93.184.216.34", "2606:4700::1111"]
        assert AddressPolicy().check("x.test", addresses) == addresses

    def test_exemptions(self) -> None:
        policy = AddressPolicy(["Intra.test", "10.1.0.0/16", "127.0.0.1", "fd00::/8"])
        policy.check("intra.test", ["192.168.0.1", "::1"])
        policy.check("other.test", ["10.1.2.3", "127.0.0.1", "fd00::1"])
        for host, address in [
            ("other.test", "10.2.0.1"),
            ("other.test", "127.0.0.2"),
            ("sub.intra.test", "192.168.0.1"),
        ]:
            with pytest.raises(Permanent):
                policy.check(host, [address])

    def test_a_wrong_exemption_is_named(self) -> None:
        with pytest.raises(ConfigurationError, match="neither a host nor a network"):
            AddressPolicy(["10.0.0.0/99"])
