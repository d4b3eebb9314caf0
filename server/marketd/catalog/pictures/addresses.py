"""Which addresses a fetch may connect to: those of the public internet, and what the operator allows besides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

# RFC 6052: the last 32 bits are an IPv4 address that a gateway translates to.
_NAT64: Final = IPv6Network("64:ff9b::/96")
# Python's list of what is not global differs from version to version, so what matters most stands here as well.
_NEVER: Final[tuple[Network, ...]] = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
# What is assigned to the public internet; loopback, link-local, unique local and multicast lie outside.
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_LOWEST_FREE_PORT: Final = 1024
_WEB_PORTS: Final = frozenset({80, 443})


def may_connect(host: str, port: int, allowed: Sequence[Network] = ()) -> bool:
    """Whether a socket may be connected to this numeric address; what is no address never.

    Ports below 1024 other than those of the web belong to other protocols, such as mail.
    """
    if port < _LOWEST_FREE_PORT and port not in _WEB_PORTS:
        return False
    try:
        # A scope such as %eth0 names one of our own interfaces.
        address = ip_address(host)
    except ValueError:
        return False
    meant = _meant(address)
    return any(meant in network for network in allowed) or _is_public(meant)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address that packets arrive at in the end."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    return address.is_global and not any(address in network for network in _NEVER)
