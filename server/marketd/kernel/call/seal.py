"""Sealing: short secrets that must be read again (a TOTP secret, a code in a job that waits) encrypted at rest.

AES-256-GCM with a fresh nonce for each seal. The context is authenticated with it, so what was sealed for one account
or one letter does not open in the place of another.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class SealBroken(Exception):
    """What was sealed does not open: another secret in the settings, another context, or a changed row."""

    def __init__(self) -> None:
        super().__init__("a sealed value does not open; MARKETD_SECRET is not the one that sealed it, or it was moved.")


class Seal:
    """Seals and opens with one 32-byte key, made for one purpose by `Settings.derive`."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, plain: bytes, context: str) -> bytes:
        """The sealed form; the same context opens it again."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed in this context. Raises SealBroken."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken from error
