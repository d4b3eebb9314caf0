"""The forms of settings: what a text must look like, and what to write instead."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import IPv6Address
from typing import Final

from pydantic import TypeAdapter, ValidationError

_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
# Sums with today's date must stay dates.
_LONGEST: Final = timedelta(days=36_525)
_ISO: Final = TypeAdapter(timedelta)
_WEB_ADDRESS: Final = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?"
    r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
)
_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
_WITH_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")


def duration(text: str) -> timedelta:
    """Seconds or ISO 8601: pydantic takes a number in a text for a clock's time. Raises ValueError."""
    text = text.strip()
    try:
        read = timedelta(seconds=float(text)) if _SECONDS.fullmatch(text) else _ISO.validate_python(text)
    except (ValidationError, OverflowError):
        raise ValueError("is no duration; give seconds (900) or ISO 8601 (PT15M)") from None
    if not timedelta(0) <= read <= _LONGEST:
        raise ValueError("must be a duration from 0 to 100 years; give seconds (900) or ISO 8601 (PT15M)")
    return read


def bare_host(text: str) -> str:
    """A name or an address without a port, IPv6 without its brackets. Raises ValueError."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        # Brackets are for IPv6 only, and a colon stands in nothing else.
        if not bare or bare != text or ":" in bare:
            IPv6Address(bare)
    except ValueError:
        raise ValueError("must be an address or a name, without a port: 0.0.0.0, ::1, shop.example") from None
    return bare


def split_port(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, the host without brackets. Raises ValueError."""
    found = _WITH_PORT.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 65536:
        raise ValueError("must be HOST:PORT, such as 10.0.0.5:50051 or [2001:db8::7]:50051")
    return found[1] or found[2], int(found[3])


def with_port(host: str, port: int) -> str:
    """HOST:PORT as clients write it: an IPv6 address goes into brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def origins(given: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as browsers send them, or `*` alone. Raises ValueError."""
    if given != ("*",) and not all(_ORIGIN.fullmatch(origin) for origin in given):
        raise ValueError(
            "must be origins as browsers send them, in lower case and without a path, such as "
            "https://shop.example or http://localhost:5173; or * alone"
        )
    return given


def public_folder(text: str) -> str:
    """The web address of a folder, with a slash at its end. Raises ValueError."""
    if not _WEB_ADDRESS.fullmatch(text):
        raise ValueError("must be a web address without ? and #, such as https://pictures.shop.example/folder/")
    return text.rstrip("/") + "/"
