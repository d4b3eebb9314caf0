"""The signing keys: Ed25519, made once under a lock, sealed in Postgres by the settings' secret, the same for all.

A rotation makes a new key SIGNING and the former one VERIFYING. Every ring knows a new key within KEYS_SECONDS
(principals.py), but tokens signed with it could reach a ring that has not looked yet; so rings sign with the former key
until the new one has been out for PUBLISHED, and the former one verifies until the last token it may have signed is
over.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marketd.audit import log
from marketd.audit.call import Act
from marketd.auth.sessions.model import KeyState
from marketd.auth.sessions.repository import signing_keys
from marketd.auth.sessions.values import PublicKey, SigningKey
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.call.seal import Seal, SealBroken
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.slice import CannotStart

PUBLISHED: Final = timedelta(minutes=1)
# The new key is out for a minute, some rings take a moment more to look, the longest token lives 15 minutes and
# is taken half a minute longer; the rest is for clocks that differ.
VERIFYING_ON: Final = timedelta(minutes=20)
# A token that names an unknown key makes us look again, but no oftener than this: names are free to invent.
_RELOAD_PAUSE_SECONDS = 1.0


class SigningKeysUnreadable(CannotStart):
    """The secret in the settings is not the one that sealed the signing keys: an operator's error, not a refusal."""

    def __init__(self) -> None:
        super().__init__(
            "The signing keys in the database were sealed with another MARKETD_SECRET, and nothing was changed; "
            "set the one that the servers have run with."
        )


class KeyRing:
    """The keys as this process knows them. `load` at start-up, then `reload` now and then and for unknown names."""

    def __init__(self, sealing_key: bytes) -> None:
        self._seal = Seal(sealing_key)
        self._signer: tuple[str, Ed25519PrivateKey] | None = None
        self._verifiers: dict[str, Ed25519PublicKey] = {}
        self._loaded = 0.0

    async def load(self, tx: Transactor) -> None:
        """Read the keys, and make the first one when there is none. Raises SigningKeysUnreadable."""
        self.adopt(*await tx.run("auth.keys", self._ensure))

    async def reload(self, tx: Transactor) -> bool:
        """Read the keys again; False when that was done a moment ago.

        Raises SigningKeysUnreadable, and then goes on with what it knew.
        """
        if time.monotonic() - self._loaded < _RELOAD_PAUSE_SECONDS:
            return False
        self._loaded = time.monotonic()
        self.adopt(*await tx.read(_list))
        return True

    @property
    def signer(self) -> tuple[str, Ed25519PrivateKey]:
        """The name and the private half of the key that signs now."""
        if self._signer is None:
            raise RuntimeError("the signing keys have not been loaded")
        return self._signer

    def verifier(self, kid: str) -> Ed25519PublicKey | None:
        """The public half of the key with this name, if tokens of it are still good."""
        return self._verifiers.get(kid)

    def public_keys(self) -> list[PublicKey]:
        """Every key that tokens in use may be signed with, the one that signs now first."""
        current = self.signer[0]
        kids = sorted(self._verifiers, key=lambda kid: (kid != current, kid))
        return [PublicKey(kid, _encode(self._verifiers[kid].public_bytes_raw())) for kid in kids]

    async def _ensure(self, uow: UnitOfWork) -> tuple[list[SigningKey], datetime]:
        # Servers that start together wait here; the second one finds the first one's key.
        await signing_keys.lock_all(uow.connection)
        if not any(key.state is KeyState.SIGNING for key in await signing_keys.list_all(uow.connection)):
            await signing_keys.insert(uow.connection, self.make(uow.now))
        return await signing_keys.list_all(uow.connection), uow.now

    def make(self, now: datetime) -> SigningKey:
        """A fresh key, sealed; it signs once a ring adopts it."""
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        kid = thumbprint(public)
        sealed = self._seal.close(private.private_bytes_raw(), kid)
        return SigningKey(kid, KeyState.SIGNING, public, sealed, now)

    def adopt(self, keys: Sequence[SigningKey], now: datetime) -> None:
        """Know these keys and no others, as of now. Raises SigningKeysUnreadable, and then knows what it knew."""
        good = [key for key in keys if _is_good(key, now)]
        verifiers = {key.kid: Ed25519PublicKey.from_public_bytes(key.public_key) for key in good}
        signer = self._signer
        if good:
            # The youngest that everybody knows; where none is that old (the first key, or all were retired at once),
            # the oldest.
            known = [key for key in good if key.create_time <= now - PUBLISHED]
            signing = max(known, key=_age) if known else min(good, key=_age)
            if signer is None or signer[0] != signing.kid:
                # Before anything is replaced: verifiers without their signer would refuse the tokens we go on signing.
                signer = (signing.kid, self._open(signing))
        self._verifiers, self._signer = verifiers, signer
        self._loaded = time.monotonic()

    def _open(self, key: SigningKey) -> Ed25519PrivateKey:
        try:
            raw = self._seal.open(key.sealed_private_key, key.kid)
        except SealBroken as error:
            raise SigningKeysUnreadable from error
        return Ed25519PrivateKey.from_private_bytes(raw)


async def rotate(uow: UnitOfWork, ring: KeyRing, *, at_once: bool) -> SigningKey:
    """Make a new key that signs, and let the former ones verify until their tokens are over.

    `at_once` is for a key that got out: every former key is worthless from now on, and so are the tokens it signed;
    whoever holds a refresh token gets new ones. Raises SigningKeysUnreadable, before anything is written.
    """
    await signing_keys.lock_all(uow.connection)
    # Under the lock, and before the first write: a key sealed with another secret would be one that no server can
    # open, neither those that run nor the next one that starts.
    ring.adopt(await signing_keys.list_all(uow.connection), uow.now)
    if at_once:
        await signing_keys.retire_all(uow.connection, uow.now)
    else:
        await signing_keys.stop_signing(uow.connection, uow.now + VERIFYING_ON)
    made = ring.make(uow.now)
    await signing_keys.insert(uow.connection, made)
    how = "the former keys are worthless at once" if at_once else "the former keys verify on"
    await log.record(uow, SYSTEM, "signing_key", made.kid, how, act=Act.ROTATE_KEYS)
    return made


async def _list(unit: ReadUnit) -> tuple[list[SigningKey], datetime]:
    return await signing_keys.list_all(unit.connection), unit.now


def _age(key: SigningKey) -> tuple[datetime, bool, str]:
    return key.create_time, key.state is KeyState.SIGNING, key.kid


def _is_good(key: SigningKey, now: datetime) -> bool:
    return key.state is not KeyState.RETIRED and (key.retire_time is None or key.retire_time > now)


def thumbprint(public: bytes) -> str:
    """The key's name: the RFC 7638 thumbprint of its JWK, so it says nothing and cannot clash."""
    jwk = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _encode(public)}, separators=(",", ":"))
    return _encode(hashlib.sha256(jwk.encode()).digest())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
