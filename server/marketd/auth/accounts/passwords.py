"""Passwords: the rules for new ones, and hashing off the event loop with a bounded queue.

What is stored is `bcrypt(base64(HMAC-SHA256(pepper, NFKC(password))))`: bcrypt itself takes 72 bytes and no NUL, and
the pepper makes a stolen table useless without the settings.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import math
import re
import time
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

import bcrypt

from marketd.auth.accounts.common_passwords import COMMON_PASSWORDS
from marketd.auth.errors import PasswordLength, PasswordTooCommon
from marketd.kernel.call import call as calls
from marketd.kernel.call.refusals import Overloaded

T = TypeVar("T")

MIN_LENGTH = 8
MAX_LENGTH = 128
MIN_DISTINCT = 3

THREADS = 2
# Overflow rule: one more is refused as OVERLOADED at once, and so is what would not be done before the call's deadline.
MAX_WAITING = 32
# How much the latest hash counts in what we expect of the next; other processes change it all the time.
_WEIGHT = 0.2
# A hash may wait for this part of the time that the call has left; the sign-in itself needs some, too.
_PART = 0.9

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


class Turn:
    """One place in the queue, and whether its hash began; what nobody waits for any more never does."""

    __slots__ = ("_is_left", "_lock", "begun")

    def __init__(self) -> None:
        self.begun = False
        self._is_left = False
        self._lock = Lock()

    def begin(self) -> bool:
        """Said by the thread that is about to hash; False when nobody waits for it."""
        with self._lock:
            self.begun = not self._is_left
            return self.begun

    def leave(self) -> None:
        """Said by whoever waited, when the call is over."""
        with self._lock:
            self._is_left = True


class Passwords:
    """Hashes and verifies in two threads of its own; `close` ends them."""

    def __init__(self, pepper: bytes, cost: int, *, max_waiting: int = MAX_WAITING) -> None:
        self._pepper = pepper
        self._cost = cost
        self._max_waiting = max_waiting
        self._pending = 0
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._nobody = bcrypt.gensalt(cost) + _NO_DIGEST
        self._hash_seconds = 0.0
        self.hashes = 0
        """How many were let into the queue; that known and unknown users cost the same is asserted by counting."""

    async def hash(self, password: str) -> str:
        """The hash to store. Raises Overloaded when there is no room or time. Never call it inside a unit of work."""
        prepared = self._prepare(password)
        return (await self._run(lambda: bcrypt.hashpw(prepared, bcrypt.gensalt(self._cost)), Turn())).decode("ascii")

    async def verify(self, password: str, stored: str | None, turn: Turn | None = None) -> bool:
        """Whether the password is the one behind `stored`; None (no such account) takes as long and is False.

        `turn` says afterwards whether anything was hashed. Raises Overloaded when there is no room or time.
        """
        prepared = self._prepare(password)
        same = await self._run(lambda: self._check(prepared, stored), turn or Turn())
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
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, password: str) -> bytes:
        normal = unicodedata.normalize("NFKC", password).encode()
        return base64.b64encode(hmac.digest(self._pepper, normal, "sha256"))

    async def _run(self, work: Callable[[], T], turn: Turn) -> T:
        if self._pending >= THREADS + self._max_waiting or self._would_be_late():
            raise Overloaded
        self._pending += 1
        self.hashes += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._timed, work, turn)
        # Counted until the thread is done, also when the caller goes away: what has begun goes on all the same.
        future.add_done_callback(self._done)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            turn.leave()
            raise

    def _would_be_late(self) -> bool:
        """Whether the call would be over before its hash is; not asked of one that need not wait.

        That one is what measures: after a machine that stood still for a minute nobody would be let in ever again.
        """
        expected_seconds = self._hash_seconds * (1 + self._pending / THREADS)
        return self._pending >= THREADS and expected_seconds > _PART * calls.current().remaining_seconds(math.inf)

    def _timed(self, work: Callable[[], T], turn: Turn) -> T:
        if not turn.begin():
            raise Overloaded
        before = time.perf_counter()
        done = work()
        # Two threads write it without a lock: a measurement that is lost now and then is no harm.
        self._hash_seconds += _WEIGHT * (time.perf_counter() - before - self._hash_seconds)
        return done

    def _done(self, future: asyncio.Future[T]) -> None:
        self._pending -= 1
        if not future.cancelled():
            future.exception()  # retrieved: nobody may be waiting any more


def _cost_of(stored: str) -> int:
    """The cost in `$2b$<cost>$…`."""
    return int(stored.split("$")[2])
