"""The tokens of guests' carts: a cart's id, signed, so that the edge knows a guest without the database.

A token does not end by itself. It is good for as long as its cart is there, which the cart's own statements find out.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from marketd.config import Settings
from marketd.kernel.call.tokens import TAG_BYTES, SignedToken

# Base64url without padding. No access token is as short, nor is there a dot in these, which each of those has.
_CHARACTERS: Final = (4 * (16 + TAG_BYTES) + 2) // 3


class GuestTokens:
    """Makes and reads the tokens of guests' carts."""

    def __init__(self, secret: bytes) -> None:
        self._tokens = SignedToken(secret, "guest-carts")

    def issue(self, cart_id: UUID) -> str:
        """The token of a cart; the same each time."""
        return self._tokens.issue(cart_id.bytes).decode("ascii")

    def read(self, token: str) -> UUID | None:
        """The cart's id; None for what is no token of ours. Whether the cart is still there, it does not know."""
        if len(token) != _CHARACTERS:
            return None
        body = self._tokens.read(token)
        return None if body is None else UUID(bytes=body)


def guest_tokens_of(settings: Settings) -> GuestTokens:
    """The guest tokens of a marketplace with these settings."""
    return GuestTokens(settings.derive("guest-carts"))
