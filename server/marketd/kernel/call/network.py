"""Whom an address stands for when calls are counted by address."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

HOUSEHOLD_BITS: Final = 64
SITE_BITS: Final = 56
"""The network that a provider gives a customer: 256 of the former (RFC 6177). What is guessed at counts by it."""


@lru_cache(maxsize=20_000)
def network_of(address: str, bits: int = HOUSEHOLD_BITS) -> str:
    """An IPv4 address itself, and of IPv6 the network of so many bits: the /64 that one household or server has.

    Whoever has one IPv6 address has 2^64 of them, so counting each would limit nobody. What is no address stands for
    itself.
    """
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 128 - bits << 128 - bits))
