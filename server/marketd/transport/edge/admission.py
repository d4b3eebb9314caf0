"""Room for calls: a full or draining server says so at once, before it spends anything on the caller.

`max_concurrent_streams` of HTTP/2 would make clients wait instead, which is what an overloaded server needs least. A
call is met as soon as its headers are there: one that then sends no message waits among its like (see arriving.py), so
that it takes no place from calls that are being worked on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, Self

from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import Draining
from marketd.transport.edge.calls import Calls
from marketd.transport.edge.rooms import Room
from marketd.transport.passage import Passage
from marketd.transport.refusals import TooManyStreams

_UNARY, _STREAMS = 512, 16_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many calls of each sort one process serves at once, and after that how many of them one address may have."""

    arriving: tuple[int, int] = (512, 64)
    """Calls whose one message is not here yet. What has come of it may be 4 MiB each."""
    unary: tuple[int, int] = (_UNARY, _UNARY // 2)
    streams: tuple[int, int] = (_STREAMS, _STREAMS // 2)
    vital_arriving: tuple[int, int] = (256, 64)
    health_checks: tuple[int, int] = (256, 64)
    health_watches: tuple[int, int] = (1_000, 100)
    streams_of_account: int = 100

    @classmethod
    def of(cls, *, unary_of_address: int, streams_of_address: int, streams_of_account: int) -> Self:
        """The bounds with these that can be set."""
        return cls(
            unary=(_UNARY, unary_of_address),
            streams=(_STREAMS, streams_of_address),
            streams_of_account=streams_of_account,
        )


class Admission:
    """The rooms of a process, so that one sort of calls cannot starve another, nor one address all others.

    Anybody may ask for the health, so that has rooms of its own, which are open while the server drains. An account's
    streams are bounded as well, or a single one could take the room of all; internal services, which open streams for
    others, are not held to that.

    `turned_away` counts the calls that were refused because the server drains.
    """

    def __init__(self, calls: Calls, bounds: Bounds) -> None:
        self._calls = calls
        self._streams_of_account = bounds.streams_of_account
        self._judge = calls.unread.judge
        self._arriving = calls.arriving
        self._vital_arriving = calls.vital_arriving
        self._unary = Room(*bounds.unary)
        self._streams = Room(*bounds.streams)
        self._health_checks = Room(*bounds.health_checks)
        self._health_watches = Room(*bounds.health_watches)
        self.draining = False
        self.turned_away = 0

    def admit_arriving(self, passage: Passage) -> None:
        """A call with one message that has yet to be read. Raises Draining or Overloaded."""
        if self.draining:
            self._turn_away()
        self._judge(passage)
        self._arriving.add(passage)

    def admit_read(self, passage: Passage) -> None:
        """A plain read, whose message is here before it is asked about. Raises Draining or Overloaded."""
        if self.draining:
            self._turn_away()
        self._judge(passage)
        _enter(passage, self._unary)

    def admit_unary(self, passage: Passage) -> None:
        """A unary call whose message is here. Raises Overloaded."""
        _enter(passage, self._unary)

    def admit_stream(self, passage: Passage) -> None:
        """A stream that begins to be served. Raises Draining or Overloaded."""
        if self.draining:
            self._turn_away()
        self._judge(passage)
        _enter(passage, self._streams)

    def admit_stream_of_account(self, passage: Passage) -> None:
        """Raises TooManyStreams. The registry already counts this stream among those of its caller."""
        caller = passage.call.caller
        holder = caller.user_id or caller.guest_cart_id
        if holder is None or Role.SERVICE in caller.roles:
            return
        if self._calls.streams_of(holder) > self._streams_of_account:
            raise TooManyStreams(passage.rule.rate_class.value, self._streams_of_account)

    def admit_vital(self, passage: Passage) -> None:
        """A call of health whose message has yet to be read. Raises Overloaded."""
        self._judge(passage)
        self._vital_arriving.add(passage)

    def admit_health_check(self, passage: Passage) -> None:
        """One whose message is here. Raises Overloaded."""
        _enter(passage, self._health_checks)

    def admit_health_watch(self, passage: Passage) -> None:
        """The same. Raises Overloaded."""
        _enter(passage, self._health_watches)

    def _turn_away(self) -> NoReturn:
        self.turned_away += 1
        raise Draining


def _enter(passage: Passage, room: Room) -> None:
    room.enter(passage)
    passage.room = room
