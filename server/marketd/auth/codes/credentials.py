"""Credentials as values: verification codes, reset tokens, recovery codes, service secrets. No database.

What people type is short, so its hash has a key: without the settings a table of hashes tells nothing. What machines
carry has 256 random bits, and a plain SHA-256 is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from uuid import UUID

from marketd.auth.codes.model import VerificationChannel

# No vowels, no 0/O and 1/I/L: nothing to misread on paper. Ten of them are some 47 bits.
_RECOVERY_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXZ"
_RECOVERY_LENGTH = 10
RECOVERY_CODES = 10
SECRET_BYTES = 32


class CodeHasher:
    """Hashes short codes and names with a key, each kind apart from the others."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def verification(self, user_id: UUID, channel: VerificationChannel, code: str) -> bytes:
        """A verification code, for its account and channel."""
        return self._hash("verification", str(user_id), channel.value, code)

    def recovery(self, user_id: UUID, code: str) -> bytes:
        """A recovery code as people may type it: case and dashes do not matter."""
        return self._hash("recovery", str(user_id), code.upper().replace("-", "").replace(" ", ""))

    def name(self, kind: str, name: str) -> bytes:
        """A name whose failures are counted."""
        return self._hash("name", kind, name)

    def _hash(self, *parts: str) -> bytes:
        # Lengths before the parts: no two lists of parts make the same text.
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.digest(self._key, text.encode(), "sha256")


def new_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(1_000_000):06d}"


def new_token() -> str:
    """A secret of 256 random bits, base64url."""
    return secrets.token_urlsafe(SECRET_BYTES)


def new_recovery_codes() -> list[str]:
    """Ten recovery codes such as `7QW2M-9TXKD`."""
    return [_recovery_code() for _ in range(RECOVERY_CODES)]


def hash_token(token: str) -> bytes:
    """What is stored of a reset token or a service's secret."""
    return hashlib.sha256(token.encode()).digest()


def _recovery_code() -> str:
    text = "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(_RECOVERY_LENGTH))
    return f"{text[:5]}-{text[5:]}"
