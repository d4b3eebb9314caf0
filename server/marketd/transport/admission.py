"""Room for calls: a full or draining server says so at once, before it spends anything on the caller.

`max_concurrent_streams` of HTTP/2 would make clients wait instead, which is what an overloaded server needs least.
"""

from __future__ import annotations

from marketd.kernel.refusals import Draining, Overloaded
from marketd.transport.calls import Calls
from marketd.transport.passage import Passage
from marketd.transport.rules import Kind


class Admission:
    """Two limits, one for unary calls and one for streams, so that neither can starve the other.

    `turned_away` counts the calls that were refused because the server drains.
    """

    def __init__(self, calls: Calls, *, max_unary: int, max_streams: int, max_health_watches: int) -> None:
        self._calls = calls
        self._max_unary = max_unary
        self._max_streams = max_streams
        self._max_health_watches = max_health_watches
        self.draining = False
        self.turned_away = 0

    def admit(self, passage: Passage) -> None:
        """Raises Draining or Overloaded. The registry already counts this call, so its size is the semaphore."""
        if self.draining:
            self.turned_away += 1
            raise Draining
        if passage.rule.kind is Kind.UNARY:
            if len(self._calls.unary) > self._max_unary:
                raise Overloaded
        elif len(self._calls.streams) - len(self._calls.health_watches) > self._max_streams:
            raise Overloaded

    def admit_health_watch(self, _passage: Passage) -> None:
        """Raises Overloaded. Strangers may watch the health, so they have room of their own and take nobody else's."""
        if len(self._calls.health_watches) > self._max_health_watches:
            raise Overloaded
