"""The token in the `authorization` metadata. How tokens are verified is auth's."""

from __future__ import annotations

from marketd.transport.refusals import NO_BEARER, BearerTokenInvalid

_MAX_TOKEN = 8192


def bearer(header: str) -> str:
    """The token in an `authorization` value (RFC 6750). Raises BearerTokenInvalid for what is none."""
    scheme, _, token = header.partition(" ")
    if not token or (scheme != "Bearer" and scheme.lower() != "bearer"):
        raise BearerTokenInvalid(NO_BEARER)
    if len(token) > _MAX_TOKEN:
        raise BearerTokenInvalid
    return token
