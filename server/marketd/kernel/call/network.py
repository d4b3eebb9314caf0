"""Whom an address stands for when calls are counted by address."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """An IPv4 address itself, and of IPv6 the /64 that one household or server has.

    Whoever has one IPv6 address has 2^64 of them (RFC 6177), so counting each would limit nobody. What is no address
    stands for itself.
    """
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
