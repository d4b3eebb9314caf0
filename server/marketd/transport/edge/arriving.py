"""Calls whose headers are here and whose one message is not.

Honest clients send both together, so whoever waits long is slow, broken, or holds places on purpose. Where there is no
room, the one that waits longest makes some, and not the newest, which is most likely honest: of the same address when
that has all it may have, else of the address that has most. So no number of such calls keeps others out, not even from
the same address, and a slow client pays for nobody else's.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

from marketd.kernel.call.network import network_of
from marketd.kernel.call.refusals import Overloaded, Refusal
from marketd.transport.addresses import address_of


class Waiter(Protocol):
    """A call, as those who wait see it."""

    @property
    def network(self) -> str: ...

    @property
    def message_due(self) -> float: ...

    def end(self, refusal: Refusal) -> None: ...


class Waiting:
    """A call that waits for its message before anything else is done for it, which is what plain reads do.

    `started` and `message_due` are on the monotonic clock; `ending` is why it was ended from outside, which cancels the
    task.
    """

    __slots__ = ("_context", "_network", "_proxy_hops", "ending", "message_due", "started", "task")

    def __init__(self, context: Any, seconds: float, proxy_hops: int) -> None:
        self.started = time.monotonic()
        self.message_due = self.started + seconds
        self.task = asyncio.current_task()
        self.ending: Refusal | None = None
        self._context = context
        self._proxy_hops = proxy_hops
        self._network: str | None = None

    @property
    def network(self) -> str:
        """Whom the call's address stands for; see network_of.

        Found once: while places are scarce, every call that comes asks all that wait, and each may have brought
        hundreds of headers.
        """
        if self._network is None:
            forwarded = [value for name, value in self._context.invocation_metadata() if name == "x-forwarded-for"]
            peer = self._context.peer()
            self._network = network_of(address_of(peer, ",".join(map(str, forwarded)), self._proxy_hops))
        return self._network

    def end(self, refusal: Refusal) -> None:
        """End the call with this status; the first reason given stays."""
        if self.ending is None and self.task is not None:
            self.ending = refusal
            self.task.cancel()


class Arriving:
    """At most `most` calls in all and `most_of_address` of one address.

    They are counted by address only when there are many: every call passes here, and nearly none waits.
    """

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._calls: dict[Waiter, None] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._calls)

    def add(self, call: Waiter) -> None:
        """Take the call in; for want of room another one is ended as OVERLOADED."""
        if len(self._calls) >= self._most_of_address:
            self._make_room(call.network)
        self._calls[call] = None

    def discard(self, call: Waiter) -> None:
        """Its message is here, or it is over; without effect for a call that is not waiting."""
        self._calls.pop(call, None)

    def late(self, now: float) -> list[Waiter]:
        """Those whose time is over at `now` (monotonic); they came in order, but not all may wait as long."""
        return [call for call in self._calls if call.message_due < now]

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
