"""Room for calls: a full or draining server says so at once, before it spends anything on the caller.

`max_concurrent_streams` of HTTP/2 would make clients wait instead, which is what an overloaded server needs least.
"""

from __future__ import annotations

from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import Draining, Overloaded
from marketd.transport.edge.calls import Calls
from marketd.transport.passage import Passage
from marketd.transport.refusals import TooManyStreams
from marketd.transport.rules import Kind


class Admission:
    """Two limits, one for unary calls and one for streams, so that neither can starve the other.

    A third one is for the streams of one account, or a single one could take the room of all; internal services, which
    open streams for others, are not held to it.

    `turned_away` counts the calls that were refused because the server drains.
    """

    def __init__(
        self, calls: Calls, *, max_unary: int, max_streams: int, max_streams_of_account: int, max_health_watches: int
    ) -> None:
        self._calls = calls
        self._max_unary = max_unary
        self._max_streams = max_streams
        self._max_streams_of_account = max_streams_of_account
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

    def admit_stream_of_account(self, passage: Passage) -> None:
        """Raises TooManyStreams. The registry already counts this stream among those of its caller."""
        caller = passage.call.caller
        if caller.user_id is None or Role.SERVICE in caller.roles:
            return
        if self._calls.streams_of(caller.user_id) > self._max_streams_of_account:
            raise TooManyStreams(passage.rule.rate_class.value, self._max_streams_of_account)

    def admit_health_watch(self, _passage: Passage) -> None:
        """Raises Overloaded. Strangers may watch the health, so they have room of their own and take nobody else's."""
        if len(self._calls.health_watches) > self._max_health_watches:
            raise Overloaded
