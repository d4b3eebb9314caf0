"""Whom an address stands for when calls are counted by address."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

HOUSEHOLD_BITS: Final = 64
SITE_BITS: Final = 56
"""The network that a provider gives a customer: 256 of the former (RFC 6177). What is guessed at counts by it."""


@lru_cache(maxsize=20_000)
def network_of(address: str, bits: int = HOUSEHOLD_BITS, ipv4_bits: int = 32) -> str:
    """Of IPv6 the network of so many bits, the /64 that one household or server has; an IPv4 address itself, or its.

    Whoever has one IPv6 address has 2^64 of them, so counting each would limit nobody. What is no address stands for
    itself.
    """
    if ipv4_bits == 32 and ":" not in address:
        return address
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    host_bits = parsed.max_prefixlen - (bits if parsed.version == 6 else ipv4_bits)
    return str(type(parsed)(int(parsed) >> host_bits << host_bits))
