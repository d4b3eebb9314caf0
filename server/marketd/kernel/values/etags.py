"""Etags: an opaque text made of a row's version, so an update can say which state it was made for."""

from __future__ import annotations

from marketd.kernel.call.refusals import EtagMismatch


def etag_of(version: int) -> str:
    """The etag of a row at `version` (a counter that every change raises)."""
    return f"v{version:x}"


def check_etag(given: str, version: int) -> None:
    """Refuse a stale etag; an empty one is unconditional. Raises EtagMismatch with the current one."""
    current = etag_of(version)
    if given and given != current:
        raise EtagMismatch(current)
