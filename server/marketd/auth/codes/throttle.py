"""Failures are counted for each name before anything is hashed, in the database, so all workers count together.

An attempt counts as failed from its beginning: a hundred at once could otherwise all pass before the first has failed.
Success forgets the count; an attempt whose hash never began is given back. An attempt that is a second too early waits
a moment instead of being refused, so whoever signs in from many places at once is let in by the first that succeeds.
The name is what was typed, known or not: counting by account instead would tell strangers, by the first refusal, that
two names belong to one account. An account has three names to sign in with. Two counts are by account, for whoever has
shown more than a name: ChangePassword, and sign-ins with a device and a network that the account signed in with before;
so strangers cannot shut that door for its owner. LIMIT keeps an account at a hundred hashes between successes (NIST SP
800-63B: no more than 100 consecutive failures).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from marketd.auth.accounts.hash_queue import Turn
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.repository import attempts
from marketd.auth.codes.values import AttemptRules, CountedName
from marketd.auth.errors import TooManyFailures
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork

_log = structlog.get_logger(__name__)

FREE: Final = 10
"""So many attempts may fail, or be under way, without a pause."""
LIMIT: Final = 20
"""After so many nothing but a day's pause, or a new password, helps."""
FORGET: Final = timedelta(hours=24)
PATIENCE_SECONDS: Final = (0.25, 0.5, 1.25)
"""While a pause is not longer than these together, a call tries again after each of them."""
WAITERS: Final = 64
"""Overflow rule: while so many of a worker's calls wait, further ones are refused at once."""
_RETURN_SECONDS: Final = 2.0
_RULES: Final = AttemptRules(free=FREE, limit=LIMIT, forget=FORGET)


class Throttle:
    """Counts failures by name. `patience_seconds` and `waiters` say how long a call waits, and how many may."""

    def __init__(
        self,
        tx: Transactor,
        hasher: CodeHasher,
        *,
        patience_seconds: Sequence[float] = PATIENCE_SECONDS,
        waiters: int = WAITERS,
    ) -> None:
        self._tx = tx
        self._hasher = hasher
        self._patience_seconds = patience_seconds
        self._waiters = waiters
        self._waiting = 0
        self.waited = 0
        """How many calls have waited a pause out."""

    def login(self, login: str) -> CountedName:
        """What was typed to sign in, without regard to case."""
        return CountedName(self._hasher.name("login", login.lower()))

    def account(self, user_id: UUID) -> CountedName:
        """Somebody who has signed in and proves the password once more."""
        return CountedName(self._hasher.name("account", str(user_id)))

    def home(self, user_id: UUID) -> CountedName:
        """Somebody who signs in with a device and a network that the account signed in with before, by any name."""
        return CountedName(self._hasher.name("home", str(user_id)))

    def factor(self, user_id: UUID) -> CountedName:
        """Whoever presents a second factor, by whatever name and way.

        Only a right one forgets this count: who has the password, or the mailbox that resets it, must not get fresh
        guesses at the code with it.
        """
        return CountedName(self._hasher.name("factor", str(user_id)))

    async def count(self, name: CountedName) -> None:
        """Count an attempt as failed, in a transaction of its own. Raises TooManyFailures, and then counts nothing."""
        pause = await self._try(name)
        if pause is not None and pause <= sum(self._patience_seconds) and self._waiting < self._waiters:
            self._waiting += 1
            self.waited += 1
            try:
                pause = await self._try_again(name)
            finally:
                self._waiting -= 1
        if pause is not None:
            raise TooManyFailures(pause)

    async def _try_again(self, name: CountedName) -> float | None:
        pause = None
        for seconds in self._patience_seconds:
            await asyncio.sleep(seconds)
            pause = await self._try(name)
            if pause is None:
                break
        return pause

    async def _try(self, name: CountedName) -> float | None:
        """Count an attempt; None when it may go on, else the seconds until one may."""

        async def work(uow: UnitOfWork) -> float | None:
            if await attempts.count(uow.connection, name.hash, uow.now, _RULES):
                return None
            next_time = await attempts.next_time(uow.connection, name.hash)
            # Gone in between: somebody has just succeeded, and a second later is soon enough.
            return 1.0 if next_time is None else max((next_time - uow.now).total_seconds(), 1.0)

        return await self._tx.run("auth.attempt", work)

    @asynccontextmanager
    async def attempt(self, name: CountedName) -> AsyncIterator[Turn]:
        """Around a hash that answers a guess: counted as failed from here on, and given back when it never began.

        A full queue, a deadline or a client that went away before its turn says nothing about the guess; once the hash
        runs it counts, or whoever hangs up in time would guess for nothing. Raises TooManyFailures.
        """
        await self.count(name)
        turn = Turn()
        try:
            yield turn
        except BaseException:
            if not turn.begun:
                # In a task of its own: the call may be cancelled, and its deadline over.
                await asyncio.shield(asyncio.create_task(self._return(name)))
            raise

    async def _return(self, name: CountedName) -> None:
        calls.enter(Call(deadline=time.monotonic() + _RETURN_SECONDS))
        try:
            await self.give_back(name)
        except Refusal as refusal:
            # The database is away; one failure too many is no harm.
            _log.info("attempt_not_given_back", reason=refusal.reason.value)

    async def give_back(self, name: CountedName) -> None:
        """Take one attempt back that did not fail, without forgetting the failures before it."""
        await self._tx.run(
            "auth.attempt_back",
            lambda uow: attempts.take_back(uow.connection, name.hash, FREE),
        )


async def forget(uow: UnitOfWork, *names: CountedName) -> None:
    """Forget the failures of these names with this transaction: a success."""
    await attempts.delete(uow.connection, sorted(name.hash for name in names))
