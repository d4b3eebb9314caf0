"""Passwords: the rules for new ones, and hashing off the event loop with a bounded queue.

What is stored is `bcrypt(base64(HMAC-SHA256(pepper, NFKC(password))))`: bcrypt itself takes 72 bytes and no NUL, and
the pepper makes a stolen table useless without the settings.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from marketd.auth.common_passwords import COMMON_PASSWORDS
from marketd.auth.errors import PasswordLength, PasswordTooCommon
from marketd.kernel.refusals import Overloaded

T = TypeVar("T")

MIN_LENGTH = 8
MAX_LENGTH = 128
MIN_DISTINCT = 3

THREADS = 2
# Overflow rule: one more is refused as OVERLOADED at once. At cost 12 a full queue is some 4 s of work.
MAX_WAITING = 32

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
    own = {name.casefold() for name in names if name}
    own |= {name.partition("@")[0] for name in own}
    if folded in COMMON_PASSWORDS or folded in own or len(set(folded)) < MIN_DISTINCT:
        raise PasswordTooCommon(field)


class Passwords:
    """Hashes and verifies in two threads of its own; `close` ends them."""

    def __init__(self, pepper: bytes, cost: int, *, max_waiting: int = MAX_WAITING) -> None:
        self._pepper = pepper
        self._cost = cost
        self._max_waiting = max_waiting
        self._pending = 0
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._nobody = bcrypt.gensalt(cost) + _NO_DIGEST
        self.hashes = 0
        """How many times bcrypt has run; that known and unknown users cost the same is asserted by counting."""

    async def hash(self, password: str) -> str:
        """The hash to store. Raises Overloaded when the queue is full. Never call it inside a unit of work."""
        prepared = self._prepare(password)
        return (await self._run(lambda: bcrypt.hashpw(prepared, bcrypt.gensalt(self._cost)))).decode("ascii")

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password is the one behind `stored`; None (no such account) takes as long and is False."""
        prepared = self._prepare(password)
        against = stored.encode("ascii") if stored else self._nobody
        same = await self._run(lambda: bcrypt.checkpw(prepared, against))
        return same and bool(stored)

    def needs_upgrade(self, stored: str) -> bool:
        """Whether the hash was made at another cost than today's (`$2b$<cost>$…`)."""
        return stored.split("$")[2] != f"{self._cost:02d}"

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, password: str) -> bytes:
        normal = unicodedata.normalize("NFKC", password).encode()
        return base64.b64encode(hmac.digest(self._pepper, normal, "sha256"))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= THREADS + self._max_waiting:
            raise Overloaded
        self._pending += 1
        self.hashes += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        # Counted until the thread is done, also when the caller goes away: the work goes on all the same.
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._pending -= 1
        if not future.cancelled():
            future.exception()  # retrieved: nobody may be waiting any more
