"""Where a watch of many orders stands, and the tokens that say so.

A number would not do: steps of different orders become visible in another order than they are numbered in. A place is
what was told by then, as Postgres' own snapshot says it, so nothing is told twice and nothing is left out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from marketd.kernel.call.tokens import SignedToken
from marketd.kernel.db.horizon import Horizon
from marketd.kernel.events.watch import RESUME_LIFETIME, ResetReason
from marketd.kernel.values.clock import Clock

SLACK: Final = timedelta(hours=1)
"""How much earlier than a horizon a step may have happened that it has not seen: longer than any transaction runs, and
than clocks of servers differ.
"""
_HEAD: Final = struct.Struct(">IIIB")


@dataclass(frozen=True, slots=True)
class Place:
    """All that `since` has seen was told, and of what is new in `until` the first `told` steps.

    taken_time: when `since` was the present.
    """

    since: Horizon
    taken_time: datetime
    until: Horizon | None = None
    told: int = 0

    @property
    def oldest(self) -> datetime:
        """What happened before is not new to it."""
        return self.taken_time - SLACK


class OrdersPlaceTokens:
    """Makes and reads the tokens, bound to who watches and to the filters."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._tokens = SignedToken(secret, "orders-watch")
        self._clock = clock

    def token(self, place: Place, context: bytes) -> bytes:
        """The token of a place, as it goes into a message."""
        # A count is only good with both horizons whole; without it some of the last steps may come once more.
        until = place.until if place.since.fits and place.until is not None and place.until.fits else None
        told = place.told if until is not None else 0
        taken = int(place.taken_time.timestamp())
        body = _HEAD.pack(int(self._clock.now().timestamp()), taken, told, until is not None) + place.since.pack()
        return self._tokens.issue(body if until is None else body + until.pack(), context)

    def read(self, token: str, context: bytes) -> Place | ResetReason | None:
        """The place to go on from; None without a token, or why it is of no use."""
        if not token:
            return None
        body = self._tokens.read(token, context)
        if body is None:
            return ResetReason.TOKEN_UNKNOWN
        issued, taken, told, has_until = _HEAD.unpack_from(body)
        if self._clock.now().timestamp() - issued > RESUME_LIFETIME.total_seconds():
            return ResetReason.TOKEN_TOO_OLD
        since, end = Horizon.unpack(body, _HEAD.size)
        until = Horizon.unpack(body, end)[0] if has_until else None
        return Place(since, datetime.fromtimestamp(taken, UTC), until, told)
