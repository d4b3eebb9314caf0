"""Whom a limit by address counts."""

from __future__ import annotations

import pytest
from marketd.kernel.call.network import SITE_BITS, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0"),
        ("::ffff:192.0.2.7", "192.0.2.0"),
        ("2001:db8:1:2::9", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("unix:/run/marketd.sock", "unix:/run/marketd.sock"),
        ("", ""),
    ],
)
def test_a_wider_network_can_be_asked_for_of_both_kinds(address: str, network: str) -> None:
    assert network_of(address, 48, 24) == network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("2001:db8:1:3::9", "2001:db8:1:3::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix:/run/marketd.sock", "unix:/run/marketd.sock"),
        ("", ""),
    ],
)
def test_ipv6_is_counted_by_its_network_and_the_rest_as_it_is(address: str, network: str) -> None:
    assert network_of(address) == network


def test_what_is_guessed_at_counts_by_the_network_of_a_customer() -> None:
    assert (
        network_of("2001:db8:1:2fe::9", SITE_BITS) == network_of("2001:db8:1:201::1", SITE_BITS) == "2001:db8:1:200::"
    )
    assert network_of("2001:db8:1:300::9", SITE_BITS) != network_of("2001:db8:1:2ff::9", SITE_BITS)
    assert network_of("::ffff:192.0.2.7", SITE_BITS) == "192.0.2.7"
