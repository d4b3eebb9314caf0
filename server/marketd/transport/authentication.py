"""The token in the `authorization` metadata. How tokens are verified is auth's."""

from __future__ import annotations

from marketd.transport.refusals import TokenInvalid

_MAX_TOKEN = 8192


def bearer(header: str) -> str:
    """The token in an `authorization` value (RFC 6750, any case of the scheme). Raises TokenInvalid for others."""
    scheme, _, token = header.partition(" ")
    if not token or len(token) > _MAX_TOKEN or (scheme != "Bearer" and scheme.lower() != "bearer"):
        raise TokenInvalid
    return token
