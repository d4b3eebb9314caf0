"""From the `authorization` metadata to a Caller. How tokens are verified is auth's; this is what the edge asks."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.transport.refusals import TokenInvalid

_MAX_TOKEN = 8192


class Authenticator(Protocol):
    """Who knows tokens. Refusals it raises (TOKEN_EXPIRED, SESSION_REVOKED, ACCOUNT_BLOCKED…) go to the client."""

    def cached(self, token: str) -> Caller | None:
        """The caller of a token that was verified before and still holds, or None; never waits."""
        ...

    async def authenticate(self, token: str) -> Caller:
        """Verify the token, or raise a Refusal."""
        ...

    def cached_service(self, service_account_id: UUID) -> Caller | None:
        """The service account that a client's certificate stands for, when it was asked for before and still holds."""
        ...

    async def authenticate_service(self, service_account_id: UUID) -> Caller:
        """That service account, or a Refusal: a certificate is worth nothing once the account is revoked."""
        ...


def bearer(header: str) -> str:
    """The token in an `authorization` value (RFC 6750, any case of the scheme). Raises TokenInvalid for others."""
    scheme, _, token = header.partition(" ")
    if not token or len(token) > _MAX_TOKEN or (scheme != "Bearer" and scheme.lower() != "bearer"):
        raise TokenInvalid
    return token
