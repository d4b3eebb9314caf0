"""Rate limits: a token bucket for each (rate class, caller), kept in this process with bounded memory.

shared_rates.py shares the buckets between workers, behind the same Protocol.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import Protocol

from marketd.transport.rules import RateClass

Limits = Mapping[RateClass, tuple[float, float]]
"""Calls a second and burst (at least 1) by class; a class without an entry is not limited."""

STRICT = frozenset({RateClass.LOGIN, RateClass.CODE})
"""Classes that guard what is guessed at. An address with many accounts is held to its limit as much as an account with
many addresses; other classes count the account alone, since many honest people may share an address.
"""


class Rates(Protocol):
    """Where calls are counted."""

    def take(self, rate_class: RateClass, key: Hashable) -> float | None:
        """Count one call: 0.0 when it may pass, else the seconds until one may; None when only `ask` can tell."""
        ...

    async def ask(self, rate_class: RateClass, key: Hashable) -> float:
        """Count the call that `take` could not judge: 0.0, or the seconds to wait. May raise a Refusal."""
        ...


class LocalRates:
    """Buckets of this process alone.

    A bucket is one number, the time at which it will be full again (the generic cell rate algorithm), so a full bucket
    is the same as none, and those can be forgotten. When there are too many, those not used for longest go.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        max_buckets: int = 100_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for a limit that is not positive, or a burst that lets nobody pass."""
        self._classes: dict[RateClass, tuple[float, float, dict[Hashable, float]]] = {}
        for rate_class, (per_second, burst) in limits.items():
            if per_second <= 0 or burst < 1:
                raise ValueError(f"the rate limit of {rate_class} must be positive, with a burst of at least one call")
            # tolerance: how far ahead of now the bucket's time may run, one interval short of the whole burst
            self._classes[rate_class] = (1.0 / per_second, (burst - 1.0) / per_second, {})
        self._max_buckets = max_buckets
        self._monotonic = monotonic

    def __len__(self) -> int:
        return sum(len(buckets) for _, _, buckets in self._classes.values())

    def take(self, rate_class: RateClass, key: Hashable) -> float:
        limit = self._classes.get(rate_class)
        if limit is None:
            return 0.0
        interval, tolerance, buckets = limit
        now = self._monotonic()
        full_at = buckets.pop(key, now)
        if full_at < now:
            full_at = now
        wait = full_at - now - tolerance
        if wait > 1e-9:  # less is rounding, not haste
            buckets[key] = full_at
            return wait
        buckets[key] = full_at + interval
        if len(buckets) > self._max_buckets:
            self._forget(buckets, now)
        return 0.0

    async def ask(self, rate_class: RateClass, key: Hashable) -> float:
        return self.take(rate_class, key)

    def _forget(self, buckets: dict[Hashable, float], now: float) -> None:
        """Drop every full bucket, and at least a tenth of all: those that were used least lately."""
        for key in [key for key, full_at in buckets.items() if full_at <= now]:
            del buckets[key]
        excess = len(buckets) - self._max_buckets * 9 // 10
        for key in list(islice(buckets, max(excess, 0))):
            del buckets[key]
