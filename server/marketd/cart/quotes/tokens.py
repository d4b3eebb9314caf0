"""Quote tokens: a quote's id and end, signed, so nobody tries ids that were never given out."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from marketd.cart.errors import QuoteTokenInvalid
from marketd.cart.quotes.values import QuoteKey
from marketd.config import Settings
from marketd.kernel.call.tokens import SignedToken

_END: Final = struct.Struct(">q")  # seconds since the epoch


class QuoteTokens:
    """Makes and reads quote tokens."""

    def __init__(self, secret: bytes) -> None:
        self._tokens = SignedToken(secret, "quote-tokens")

    def issue(self, quote_id: UUID, expire_time: datetime) -> str:
        """The token of a quote."""
        return self._tokens.issue(quote_id.bytes + _END.pack(int(expire_time.timestamp()))).decode("ascii")

    def read(self, token: str) -> QuoteKey:
        """What the token names; its end is there to be told, the quote's own counts. Raises QuoteTokenInvalid."""
        body = self._tokens.read(token)
        if body is None or len(body) != 16 + _END.size:
            raise QuoteTokenInvalid
        (seconds,) = _END.unpack(body[16:])
        return QuoteKey(UUID(bytes=body[:16]), datetime.fromtimestamp(seconds, UTC))


def quote_tokens_of(settings: Settings) -> QuoteTokens:
    """The quote tokens of a marketplace with these settings."""
    return QuoteTokens(settings.derive("quotes"))
