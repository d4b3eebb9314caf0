"""Passwords: the rules for new ones, and hashing off the event loop; hash_queue.py says who is hashed next.

What is stored is `bcrypt(base64(HMAC-SHA256(pepper, NFKC(password))))`: bcrypt itself takes 72 bytes and no NUL, and
the pepper makes a stolen table useless without the settings.
"""

from __future__ import annotations

import base64
import hmac
import re
import unicodedata
from collections.abc import Iterable

import bcrypt

from marketd.auth.accounts.common_passwords import COMMON_PASSWORDS
from marketd.auth.accounts.hash_queue import MAX_WAITING, STRANGER, Asker, HashQueue, Turn
from marketd.auth.errors import PasswordLength, PasswordTooCommon

MIN_LENGTH = 8
MAX_LENGTH = 128
MIN_DISTINCT = 3

_WORDS = re.compile(r"[^\W\d_]+")

# 31 characters of bcrypt's alphabet: with a salt before them they look like a hash, and nothing hashes to them.
_NO_DIGEST = b"/" * 31


def check_new_password(password: str, *names: str, field: str = "password") -> None:
    """Refuse what is guessed first; `names` are the account's own (e-mail, username…), empty ones skipped.

    `field` is what the request calls the password.

    No composition rules (NIST SP 800-63B): length and a blocklist. Raises PasswordLength and PasswordTooCommon.
    """
    normal = unicodedata.normalize("NFKC", password)
    if not MIN_LENGTH <= len(normal) <= MAX_LENGTH:
        raise PasswordLength(field)
    folded = normal.casefold()
    if folded in COMMON_PASSWORDS or len(set(folded)) < MIN_DISTINCT or _is_own_name(folded, names):
        raise PasswordTooCommon(field)


def _is_own_name(folded: str, names: Iterable[str]) -> bool:
    """Whether the password is one of the names, or of their words, with nothing but digits and signs added."""
    own: set[str] = set()
    for name in (each.casefold() for each in names if each):
        local, _, domain = name.partition("@")
        own |= {name, name.removeprefix("+"), local, f"{local}@{domain.rpartition('.')[0]}", *_WORDS.findall(name)}
    letters = _letters(folded)
    return folded in own or (letters != "" and letters in {_letters(each) for each in own})


def _letters(text: str) -> str:
    return "".join(_WORDS.findall(text))


class Passwords:
    """Hashes and verifies in the threads of a queue of its own; `close` ends them."""

    def __init__(self, pepper: bytes, cost: int, *, max_waiting: int = MAX_WAITING) -> None:
        self._pepper = pepper
        self._cost = cost
        self._queue = HashQueue(max_waiting=max_waiting)
        self._nobody = bcrypt.gensalt(cost) + _NO_DIGEST

    @property
    def hashes(self) -> int:
        """How many were let into the queue so far; that known and unknown users cost the same is shown by counting."""
        return self._queue.entered

    def check_room(self, asker: Asker) -> None:
        """Before anything else is spent on it: raises Overloaded when nothing more would be hashed for these now."""
        self._queue.check_room(asker)

    async def hash(self, password: str, asker: Asker = STRANGER) -> str:
        """The hash to store. Raises Overloaded when there is no room or time. Never call it inside a unit of work."""
        prepared = self._prepare(password)
        made = await self._queue.run(lambda: bcrypt.hashpw(prepared, bcrypt.gensalt(self._cost)), Turn(), asker)
        return made.decode("ascii")

    async def verify(
        self, password: str, stored: str | None, turn: Turn | None = None, asker: Asker = STRANGER
    ) -> bool:
        """Whether the password is the one behind `stored`; None (no such account) takes as long and is False.

        `turn` says afterwards whether anything was hashed. Raises Overloaded when there is no room or time.
        """
        prepared = self._prepare(password)
        same = await self._queue.run(lambda: self._check(prepared, stored), turn or Turn(), asker)
        return same and bool(stored)

    def _check(self, prepared: bytes, stored: str | None) -> bool:
        against = stored.encode("ascii") if stored else self._nobody
        if bcrypt.checkpw(prepared, against):
            return True
        # A hash of a lower cost took less time, which would tell that there is an account. From its cost to today's
        # every power of two once: together with what has run that is today's.
        for cost in range(_cost_of(stored) if stored else self._cost, self._cost):
            bcrypt.checkpw(prepared, bcrypt.gensalt(cost) + _NO_DIGEST)
        return False

    def needs_upgrade(self, stored: str) -> bool:
        """Whether the hash was made at another cost than today's."""
        return _cost_of(stored) != self._cost

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._queue.close()

    def _prepare(self, password: str) -> bytes:
        normal = unicodedata.normalize("NFKC", password).encode()
        return base64.b64encode(hmac.digest(self._pepper, normal, "sha256"))


def _cost_of(stored: str) -> int:
    """The cost in `$2b$<cost>$…`."""
    return int(stored.split("$")[2])
