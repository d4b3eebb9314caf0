"""How often something may be done by one worker, whoever asks: for what strangers can make the database keep."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from marketd.kernel.call.network import network_of
from marketd.kernel.call.refusals import Overloaded

SHARES: Final = 10
"""How many wide networks it takes to use up a pace."""
# What a registry gives a site or a hoster, or what is rented together: whoever has one has every address in it.
_WIDE_BITS: Final = 48
_WIDE_IPV4_BITS: Final = 24
# Ten thousand are some 2 MB. Forgetting the one that came longest ago gives it a full share again, not more than all.
REMEMBERED: Final = 10_000


class Pace:
    """At most `per_second` in the long run, and `burst` at once; beyond that everybody is refused alike.

    One wide network (the /48 of IPv6, the /24 of IPv4) has a tenth of both, at least one at once, and is refused alone
    when that is used up. One number holds each: the time at which the whole burst may come again (the generic cell
    rate algorithm).
    """

    def __init__(self, per_second: float, burst: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._burst_seconds = burst * self._interval
        self._share_interval = self._interval * SHARES
        self._share_seconds = max(1, burst // SHARES) * self._share_interval
        self._monotonic = monotonic
        self._full_at = 0.0
        # By network, that which asked last at the end.
        self._shares: OrderedDict[str, float] = OrderedDict()

    def take(self, address: str) -> None:
        """Count one that the address asks for; what is refused counts for nobody. Raises Overloaded."""
        now, network = self._monotonic(), network_of(address, _WIDE_BITS, _WIDE_IPV4_BITS)
        full_at = max(self._full_at, now) + self._interval
        share_full_at = max(self._shares.get(network, now), now) + self._share_interval
        rounding = 1e-9  # less is no haste
        if full_at - now > self._burst_seconds + rounding or share_full_at - now > self._share_seconds + rounding:
            raise Overloaded
        self._full_at = full_at
        self._shares[network] = share_full_at
        self._shares.move_to_end(network)
        if len(self._shares) > REMEMBERED:
            self._shares.popitem(last=False)
