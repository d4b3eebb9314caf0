"""Quote tokens: a quote's id, signed, so nobody tries ids that were never given out."""

from __future__ import annotations

from uuid import UUID

from marketd.cart.errors import QuoteTokenInvalid
from marketd.config import Settings
from marketd.kernel.call.tokens import SignedToken


class QuoteTokens:
    """Makes and reads quote tokens."""

    def __init__(self, secret: bytes) -> None:
        self._tokens = SignedToken(secret, "quote-tokens")

    def issue(self, quote_id: UUID) -> str:
        """The token of a quote."""
        return self._tokens.issue(quote_id.bytes).decode("ascii")

    def read(self, token: str) -> UUID:
        """The quote's id. Raises QuoteTokenInvalid."""
        body = self._tokens.read(token)
        if body is None or len(body) != 16:
            raise QuoteTokenInvalid
        return UUID(bytes=body)


def quote_tokens_of(settings: Settings) -> QuoteTokens:
    """The quote tokens of a marketplace with these settings."""
    return QuoteTokens(settings.derive("quotes"))
