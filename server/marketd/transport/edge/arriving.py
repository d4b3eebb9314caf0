"""Calls whose headers are here and whose one message is not.

Honest clients send both together, so whoever waits long is slow, broken, or holds places on purpose. Where there is no
room, the one that waits longest makes some, and not the newest, which is most likely honest: of the same address when
that has all it may have, else of the address that has most. So no number of such calls keeps others out, not even from
the same address, and a slow client pays for nobody else's.
"""

from __future__ import annotations

from marketd.kernel.call.refusals import Overloaded
from marketd.transport.passage import Passage


class Arriving:
    """At most `most` calls in all and `most_of_address` of one address."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._calls: dict[Passage, None] = {}  # in the order in which they came, and so below
        self._of_address: dict[str, dict[Passage, None]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, passage: Passage) -> None:
        """Take the call in; for want of room another one is ended as OVERLOADED."""
        mine = self._of_address.get(passage.network)
        if mine is not None and len(mine) >= self._most_of_address:
            self._end(next(iter(mine)))
        elif len(self._calls) >= self._most:
            crowd = max(self._of_address.values(), key=len)
            self._end(next(iter(crowd if len(crowd) > 1 else self._calls)))
        self._calls[passage] = None
        self._of_address.setdefault(passage.network, {})[passage] = None

    def discard(self, passage: Passage) -> None:
        """Its message is here, or it is over; without effect for a call that is not waiting."""
        if passage in self._calls:
            del self._calls[passage]
            mine = self._of_address[passage.network]
            del mine[passage]
            if not mine:
                del self._of_address[passage.network]

    def _end(self, passage: Passage) -> None:
        self.discard(passage)
        passage.end(Overloaded())
