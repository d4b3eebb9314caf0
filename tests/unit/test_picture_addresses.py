"""Which addresses a fetch of a picture may connect to."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from marketd.catalog.pictures.addresses import may_connect


@pytest.mark.parametrize(
    "host", ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"]
)
@pytest.mark.parametrize("port", [80, 443, 8443])
def test_the_public_internet_may_be_fetched_from(host: str, port: int) -> None:
    assert may_connect(host, port)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.1",
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
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "",
    ],
)
def test_nothing_but_the_public_internet_is_connected_to(host: str) -> None:
    assert not may_connect(host, 443)


@pytest.mark.parametrize("port", [0, 22, 25, 587, 993])
def test_ports_of_other_protocols_are_not_connected_to(port: int) -> None:
    assert not may_connect("93.184.215.14", port)


def test_an_operator_may_allow_networks_of_its_own() -> None:
    allowed = (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))
    assert may_connect("10.20.3.4", 8080, allowed)
    assert may_connect("::ffff:10.20.3.4", 8080, allowed)
    assert may_connect("fd00::5", 8080, allowed)
    assert not may_connect("10.21.3.4", 8080, allowed)
    assert not may_connect("10.20.3.4", 25, allowed)
