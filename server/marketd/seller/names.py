"""How a seller is named: the handle that is made from a shop's name, and the names of time zones. Pure."""

from __future__ import annotations

import secrets

from marketd.kernel.values.texts import slug_of
from marketd.kernel.values.time_zones import is_time_zone
from marketd.seller.errors import TimeZoneUnknown

_MAX_HANDLE = 60
_MIN_HANDLE = 3


def make_handle(shop_name: str) -> str:
    """A handle from the shop's name: `Käse & Mehr` becomes `kase-mehr`; what has no letters becomes `shop`."""
    handle = slug_of(shop_name, _MAX_HANDLE)
    return handle if len(handle) >= _MIN_HANDLE else f"{handle}-shop".lstrip("-")


def with_suffix(handle: str) -> str:
    """The handle with random letters behind it, for when it is taken."""
    return f"{handle[: _MAX_HANDLE - 7].rstrip('-')}-{secrets.token_hex(3)}"


def known_time_zone(name: str) -> str:
    """The name of an IANA time zone; empty is UTC. Raises TimeZoneUnknown."""
    if not name:
        return "UTC"
    if not is_time_zone(name):
        raise TimeZoneUnknown
    return name
