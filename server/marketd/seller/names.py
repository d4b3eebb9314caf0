"""How a seller is named: the handle that is made from a shop's name, and the names of time zones. Pure."""

from __future__ import annotations

import re
import secrets
import unicodedata
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marketd.seller.errors import TimeZoneUnknown

_MAX_HANDLE = 60
_MIN_HANDLE = 3


def make_handle(shop_name: str) -> str:
    """A handle from the shop's name: `Käse & Mehr` becomes `kase-mehr`; what has no letters becomes `shop`."""
    plain = unicodedata.normalize("NFKD", shop_name).encode("ascii", "ignore").decode().lower()
    handle = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MAX_HANDLE].rstrip("-")
    return handle if len(handle) >= _MIN_HANDLE else f"{handle}-shop".lstrip("-")


def with_suffix(handle: str) -> str:
    """The handle with random letters behind it, for when it is taken."""
    return f"{handle[: _MAX_HANDLE - 7].rstrip('-')}-{secrets.token_hex(3)}"


def known_time_zone(name: str) -> str:
    """The name of an IANA time zone; empty is UTC. Raises TimeZoneUnknown."""
    if name in ("", "UTC"):
        return "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        # ValueError: names that are paths; OSError: names of folders of the database, such as Europe.
        raise TimeZoneUnknown from error
    return name
