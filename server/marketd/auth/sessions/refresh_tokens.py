"""Refresh tokens as values: how one is made, recognised and succeeded. No database.

A token is `session id || secret || tag`, base64url. The tag (an HMAC) tells tokens of ours from inventions before
anything is looked up, so nobody can end a session by guessing at its id. The successor's secret is an HMAC of the
presented token: the same token always has the same successor, though only SHA-256 of tokens is stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

from marketd.auth.errors import TokenInvalid

_ID = 16
_SECRET = 32
_TAG = 16
_LENGTH = _ID + _SECRET + _TAG


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
    """Makes and recognises refresh tokens with one server key."""

    def __init__(self, secret: bytes) -> None:
        self._tag_key = hmac.digest(secret, b"tag", "sha256")
        self._successor_key = hmac.digest(secret, b"successor", "sha256")

    def first(self, session_id: UUID) -> RefreshToken:
        """A new family's first token."""
        return self._make(session_id, secrets.token_bytes(_SECRET))

    def successor(self, token: RefreshToken) -> RefreshToken:
        """The one token that follows this one."""
        return self._make(token.session_id, hmac.digest(self._successor_key, token.text.encode("ascii"), "sha256"))

    def read(self, text: str) -> RefreshToken:
        """A presented token. Raises TokenInvalid for what is not ours."""
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise TokenInvalid from error
        body, tag = raw[: _ID + _SECRET], raw[_ID + _SECRET :]
        if len(raw) != _LENGTH or not hmac.compare_digest(tag, self._tag(body)):
            raise TokenInvalid
        token = self._make(UUID(bytes=body[:_ID]), body[_ID:])
        # One spelling only: what is stored is the hash of the text.
        if token.text != text:
            raise TokenInvalid
        return token

    def _make(self, session_id: UUID, secret: bytes) -> RefreshToken:
        body = session_id.bytes + secret
        return RefreshToken(session_id, base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=").decode("ascii"))

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._tag_key, body, "sha256")[:_TAG]
