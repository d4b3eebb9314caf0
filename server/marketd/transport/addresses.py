"""Where a call comes from: the peer's address as grpc tells it, or what trusted proxies say in `x-forwarded-for`.

One address has one spelling here, since limits, the audit log and sessions compare them: no port, no brackets, no zone,
and an IPv4 address that came through an IPv6 socket is an IPv4 address.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

_LONGEST_ENTRY: Final = 64


@lru_cache(maxsize=10_000)
def peer_address(peer: str) -> str:
    """The host of a grpc peer such as `ipv4:10.0.0.1:4711` or `ipv6:%5B::1%5D:4711`; other kinds stay as they are."""
    kind, _, rest = peer.partition(":")
    address = host_address(unquote(rest)) if kind in ("ipv4", "ipv6") else None
    return peer if address is None else address


def forwarded_address(header: str, hops: int) -> str | None:
    """The address in `x-forwarded-for` that the outermost of `hops` trusted proxies wrote; None when it is none.

    Each proxy appends whom it saw, so what a client forges stands to the left and is never read. Several such headers
    are one list, joined by commas in their order (RFC 9110).
    """
    entries = header.rsplit(",", hops)
    entry = entries[-min(hops, len(entries))]
    return _known_address(entry) if len(entry) <= _LONGEST_ENTRY else None


@lru_cache(maxsize=10_000)
def _known_address(entry: str) -> str | None:
    return host_address(entry)


def address_of(peer: str, forwarded: str, hops: int) -> str:
    """Whoever called: whom the outermost of `hops` proxies saw, as `x-forwarded-for` says (or ""), else the peer."""
    seen = forwarded_address(forwarded, hops) if hops and forwarded else None
    return peer_address(peer) if seen is None else seen


def host_address(text: str) -> str | None:
    """The address in `192.0.2.7`, `192.0.2.7:443`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:443`, or None."""
    text = text.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not _is_port(rest)):
            return None
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
        if not _is_port(colon + port):
            return None
    else:
        host = text
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address)))  # without its zone
    return str(address)


def _is_port(text: str) -> bool:
    """Whether this is a colon and a port, as some proxies write behind the address."""
    return text[:1] == ":" and text[1:].isdecimal() and text.isascii() and int(text[1:6]) <= 65535 and len(text) <= 6
