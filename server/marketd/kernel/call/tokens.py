"""Signed tokens: what a client carries for us and gives back, opaque to it and not to be made up.

A token is `body || tag` in base64url without padding. The tag is a keyed hash of the purpose, the context (who or what
the token is bound to) and the body, so a token of one kind or context is none of another. The body is not secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

TAG_BYTES = 16


class SignedToken:
    """Makes and reads tokens of one kind. `secret`: the same on every worker; `purpose`: at most 16 bytes of ASCII."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        key = hashlib.blake2b(secret, digest_size=32, person=purpose.encode("ascii")).digest()
        # Copied for each token: the key is hashed once.
        self._keyed = hashlib.blake2b(key=key, digest_size=TAG_BYTES)

    def issue(self, body: bytes, context: bytes = b"") -> bytes:
        """The token of a body in a context, as ASCII bytes."""
        return base64.urlsafe_b64encode(body + self._tag(body, context)).rstrip(b"=")

    def read(self, token: str, context: bytes = b"") -> bytes | None:
        """The body of a token; None for what is not ours or of another context, and for any other spelling of ours."""
        try:
            raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        body, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
        if len(raw) < TAG_BYTES or not hmac.compare_digest(tag, self._tag(body, context)):
            return None
        # The last character has bits that decoding passes over; what is stored or compared is the text.
        return body if base64.urlsafe_b64encode(raw).rstrip(b"=") == token.encode("ascii") else None

    def _tag(self, body: bytes, context: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(len(context).to_bytes(4, "big") + context + body)
        return keyed.digest()
