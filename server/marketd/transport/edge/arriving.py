"""Calls whose headers are here and whose one message is not.

Honest clients send both together, so whoever waits long is slow, broken, or holds places on purpose. Where there is no
room, the one that waits longest makes some, and not the newest, which is most likely honest: of the same address when
that has all it may have, else of the address that has most. So no number of such calls keeps others out, not even from
the same address, and a slow client pays for nobody else's.
"""

from __future__ import annotations

from collections import Counter

from marketd.kernel.call.refusals import Overloaded
from marketd.transport.passage import Passage


class Arriving:
    """At most `most` calls in all and `most_of_address` of one address.

    They are counted by address only when there are many: every call passes here, and nearly none waits.
    """

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._calls: dict[Passage, None] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, passage: Passage) -> None:
        """Take the call in; for want of room another one is ended as OVERLOADED."""
        if len(self._calls) >= self._most_of_address:
            self._make_room(passage.network)
        self._calls[passage] = None

    def discard(self, passage: Passage) -> None:
        """Its message is here, or it is over; without effect for a call that is not waiting."""
        self._calls.pop(passage, None)

    def _make_room(self, network: str) -> None:
        of_address = Counter(call.network for call in self._calls)
        if of_address[network] >= self._most_of_address:
            crowded: str | None = network
        elif len(self._calls) >= self._most:
            ((crowded, most),) = of_address.most_common(1)
            crowded = crowded if most > 1 else None
        else:
            return
        oldest = next(call for call in self._calls if crowded is None or call.network == crowded)
        self.discard(oldest)
        oldest.end(Overloaded())
