"""Refresh tokens as values: how one is made, recognised and succeeded. No database.

A token's body is `session id || secret`. It is signed, so tokens of ours are told from inventions before anything is
looked up, and nobody can end a session by guessing at its id. The successor's secret is an HMAC of the presented token:
the same token always has the same successor, though only SHA-256 of tokens is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

from marketd.auth.errors import TokenInvalid
from marketd.kernel.call.tokens import SignedToken

_ID_BYTES = 16
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class RefreshToken:
    """A token of ours; `text` is the secret itself, which is never stored or logged (no repr for that reason)."""

    session_id: UUID
    text: str

    @property
    def hash(self) -> bytes:
        """What is stored of it."""
        return hashlib.sha256(self.text.encode("ascii")).digest()


class RefreshTokens:
    """Makes and recognises refresh tokens with one secret, the same on every worker."""

    def __init__(self, secret: bytes) -> None:
        self._tokens = SignedToken(secret, "refresh-tokens")
        self._successor_key = hmac.digest(secret, b"successor", "sha256")

    def first(self, session_id: UUID) -> RefreshToken:
        """A new family's first token."""
        return self._make(session_id, secrets.token_bytes(_SECRET_BYTES))

    def successor(self, token: RefreshToken) -> RefreshToken:
        """The one token that follows this one."""
        return self._make(token.session_id, hmac.digest(self._successor_key, token.text.encode("ascii"), "sha256"))

    def read(self, text: str) -> RefreshToken:
        """A presented token. Raises TokenInvalid for what is not ours, and for another spelling of one that is.

        One spelling only: what is stored is the hash of the text.
        """
        body = self._tokens.read(text)
        if body is None:
            raise TokenInvalid
        return RefreshToken(UUID(bytes=body[:_ID_BYTES]), text)

    def _make(self, session_id: UUID, secret: bytes) -> RefreshToken:
        return RefreshToken(session_id, self._tokens.issue(session_id.bytes + secret).decode("ascii"))
