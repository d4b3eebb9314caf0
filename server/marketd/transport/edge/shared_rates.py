"""Rate limits that all workers share, over the buckets in Postgres, without a round trip for each call.

Each worker lets a small share of every limit pass on its own, so callers far from their limit never touch the
database. A caller who goes beyond it is served from tokens leased from the shared bucket, a fifth of a second's worth
at a time, and what passed on the worker's own account is charged along with them. LOGIN and CODE, which guard what is
guessed at, are counted in the shared bucket call by call. Questions that arise together travel in one statement.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import structlog

from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import Overloaded, Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.transport.edge import buckets
from marketd.transport.edge.buckets import Asked, Got
from marketd.transport.edge.rates import STRICT, Limits, LocalRates
from marketd.transport.rules import RateClass

_log = structlog.get_logger(__name__)

LEASE_SECONDS = 0.2
# Leased tokens that were not used go: kept, they would let a burst through later that the bucket knows nothing of.
KEEP_LEASE_SECONDS = 1.0
ANSWER_SECONDS = 1.0
# Overflow rule: a question that finds this many waiting is refused as OVERLOADED.
MAX_WAITING = 2_000
# Callers remembered for each class; full ones go first, then those not seen for longest.
MAX_KEYS = 50_000


@dataclass(slots=True)
class _Account:
    """What this worker knows of one bucket. Times are monotonic.

    `own_full_at` is when the worker's own share will be full again; how far it lies ahead is what has passed without
    being charged yet.
    """

    own_full_at: float = 0.0
    leased: int = 0
    leased_until: float = 0.0
    blocked_until: float = 0.0
    waiting: list[asyncio.Future[float]] = field(default_factory=list)


class _Class:
    """One rate class: its limit, the worker's share of it, and its callers."""

    def __init__(self, name: RateClass, per_second: float, burst: float, share: float) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError(f"the rate limit of {name} must be positive, with a burst of at least one call")
        self.name = name
        self.strict = name in STRICT
        self.interval = 1.0 / per_second
        self.burst = burst
        self.own_interval = self.interval / share
        # A share of less than one call would let nothing pass: those classes go to the shared bucket from the start.
        self.own_tolerance = (burst * share - 1.0) * self.own_interval if not self.strict else -1.0
        self.lease = max(1, min(math.ceil(per_second * LEASE_SECONDS), int(burst / 4)))
        self.accounts: dict[Hashable, _Account] = {}


class SharedRates:
    """The Rates of one worker among several. `run` answers the questions; without it, `ask` ends in OVERLOADED.

    When the database does not answer, strict classes are refused as whatever uses them would be, and all others are
    limited by this worker alone until it does.
    """

    def __init__(
        self,
        tx: Transactor,
        limits: Limits,
        *,
        secret: bytes,
        share: float = 0.125,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`secret` keys the buckets' names, which are hashes of accounts and addresses. `share`: of each limit, what a
        worker lets pass on its own; at most one in twice the number of workers.
        """
        self._tx = tx
        self._secret = secret
        self._monotonic = monotonic
        self._classes = {name: _Class(name, *limit, share) for name, limit in limits.items()}
        self._alone = LocalRates(limits, monotonic=monotonic)
        self._questions: dict[tuple[RateClass, Hashable], None] = {}
        self._waiting = 0
        self._wake = asyncio.Event()
        self.round_trips = 0

    def take(self, rate_class: RateClass, key: Hashable) -> float | None:
        known = self._classes.get(rate_class)
        if known is None:
            return 0.0
        now = self._monotonic()
        account = known.accounts.get(key)
        if account is None:
            account = known.accounts[key] = _Account()
            if len(known.accounts) > MAX_KEYS:
                _forget(known.accounts, now)
        if account.leased:
            if account.leased_until > now:
                account.leased -= 1
                return 0.0
            account.leased = 0
        if account.blocked_until > now:
            return account.blocked_until - now
        full_at = max(account.own_full_at, now)
        if full_at - now <= known.own_tolerance:
            account.own_full_at = full_at + known.own_interval
            return 0.0
        return None

    async def ask(self, rate_class: RateClass, key: Hashable) -> float:
        """Raises Overloaded, DatabaseUnavailable and their like for strict classes."""
        known = self._classes[rate_class]
        if self._waiting >= MAX_WAITING:
            raise Overloaded
        account = known.accounts.setdefault(key, _Account())
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        account.waiting.append(answer)
        self._questions[rate_class, key] = None
        self._wake.set()
        self._waiting += 1
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise Overloaded from None
        finally:
            self._waiting -= 1

    async def run(self) -> None:
        """Answer questions until cancelled. While a statement runs, new questions gather for the next."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            questions, self._questions = self._questions, {}
            asked = {self._asked(name, key): (name, key) for name, key in questions}
            calls.enter(Call(deadline=time.monotonic() + ANSWER_SECONDS))
            try:
                got = await self._ask_all(tuple(asked))
            except Refusal as refusal:
                _log.warning("rates_unreachable", reason=refusal.reason.value)
                for name, key in asked.values():
                    self._go_on_alone(name, key, refusal)
                continue
            self.round_trips += 1
            for one, (name, key) in asked.items():
                self._settle(name, key, one, got[one.bucket_key])

    async def _ask_all(self, asked: Sequence[Asked]) -> Mapping[bytes, Got]:
        return await self._tx.run("rates.take", lambda uow: buckets.take_tokens(uow.connection, asked))

    def _asked(self, name: RateClass, key: Hashable) -> Asked:
        known = self._classes[name]
        account = known.accounts.setdefault(key, _Account())
        spent = 0.0
        if not known.strict:
            spent = max(0.0, (account.own_full_at - self._monotonic()) / known.own_interval)
            account.own_full_at = 0.0
        waiting = sum(not answer.done() for answer in account.waiting)
        wanted = waiting if known.strict else max(waiting, known.lease)
        text = f"{name.value} {key}".encode()
        bucket_key = hashlib.blake2b(text, key=self._secret[:64], digest_size=16).digest()
        return Asked(bucket_key, known.interval, known.burst, spent, wanted)

    def _settle(self, name: RateClass, key: Hashable, asked: Asked, got: Got) -> None:
        """Hand the tokens to those who wait, in their order; the rest is leased, or everybody else is told to wait."""
        known = self._classes[name]
        account = known.accounts.setdefault(key, _Account())
        now, granted = self._monotonic(), got.granted
        waiting, account.waiting = account.waiting, []
        for answer in waiting:
            if answer.done():
                continue  # its call has gone; the token is spent all the same or goes to the next
            if granted:
                granted -= 1
                answer.set_result(0.0)
            elif got.wait_seconds:
                answer.set_result(got.wait_seconds)
            else:
                # It came while the statement ran, after the tokens were counted out.
                account.waiting.append(answer)
        if account.waiting:
            self._questions[name, key] = None
            self._wake.set()
        account.leased, account.leased_until = granted, now + KEEP_LEASE_SECONDS
        if got.wait_seconds and got.granted < asked.wanted:
            account.blocked_until = now + got.wait_seconds

    def _go_on_alone(self, name: RateClass, key: Hashable, refusal: Refusal) -> None:
        account = self._classes[name].accounts.setdefault(key, _Account())
        waiting, account.waiting = account.waiting, []
        for answer in waiting:
            if answer.done():
                continue
            if self._classes[name].strict:
                answer.set_exception(refusal)
            else:
                answer.set_result(self._alone.take(name, key))


def _forget(accounts: dict[Hashable, _Account], now: float) -> None:
    """Drop everybody of whom nothing is left to know, and at least a tenth of all: those who came first."""
    idle = [
        key
        for key, account in accounts.items()
        if not account.waiting and max(account.own_full_at, account.blocked_until, account.leased_until) <= now
    ]
    for key in idle:
        del accounts[key]
    excess = len(accounts) - MAX_KEYS * 9 // 10
    for key in list(islice((key for key, account in accounts.items() if not account.waiting), max(excess, 0))):
        del accounts[key]
