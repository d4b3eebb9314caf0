"""What of an uplink's numbers is settled: the memory behind `acked_seq`.

Pure bookkeeping, one object for each uplink that this worker hears, shared by all streams and reports of it, so that a
number waits for one commit however often it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Protocol, TypeAlias
from uuid import UUID

from marketd.tracking.uplink.density import Density

Rejections: TypeAlias = Sequence[tuple[int, int]]
"""Numbers and why each was rejected (judge.Rejection)."""


class Listener(Protocol):
    """Who wants to know what becomes of an uplink's positions: a stream, or a report."""

    @property
    def untold(self) -> int:
        """How many rejections it keeps for the courier."""

    def settled(self, rejected: Rejections, repeated: Rejections) -> None:
        """Some numbers were committed; these were rejected now, and these are duplicates of ones rejected before."""

    def failed(self, error: Exception) -> None:
        """Some positions cannot be stored because of a bug; whoever sent them must not wait for an answer."""


class Uplink:
    """One row of numbers of one courier.

    `highest` is the highest number ever received, `settled_seq` the highest that is committed (stored or rejected).
    `pending` are the numbers that wait for their commit. `density` is the courier's, the same for all their uplinks.
    `told` is set when a listener has told some of its rejections, or has left.
    """

    __slots__ = (
        "courier_id",
        "density",
        "highest",
        "listeners",
        "pending",
        "settled_seq",
        "told",
        "uplink_id",
        "users",
    )

    def __init__(self, courier_id: UUID, uplink_id: UUID, density: Density, settled_seq: int = 0) -> None:
        self.courier_id = courier_id
        self.uplink_id = uplink_id
        self.density = density
        self.settled_seq = settled_seq
        self.highest = settled_seq
        self.pending: set[int] = set()
        self.listeners: list[Listener] = []
        self.told = asyncio.Event()
        self.users = 0

    def restore(self, settled_seq: int) -> None:
        """The database knows of numbers up to this one."""
        self.settled_seq = max(self.settled_seq, settled_seq)
        self.highest = max(self.highest, settled_seq)

    def admit(self, seq: int) -> bool:
        """Take a number that is to be committed; False when it waits already, so this one is a duplicate."""
        if seq in self.pending:
            return False
        self.pending.add(seq)
        self.highest = max(self.highest, seq)
        return True

    def leave(self, listener: Listener) -> None:
        """It listens no more; whoever waits for what it did not tell goes on."""
        self.listeners.remove(listener)
        self.told.set()

    @property
    def untold(self) -> int:
        """The most rejections that one listener keeps."""
        return max((listener.untold for listener in self.listeners), default=0)

    def settle(self, seqs: Iterable[int], rejected: Rejections, repeated: Rejections = ()) -> None:
        """These numbers are committed; `rejected` and `repeated` name those of them that are not stored."""
        for seq in seqs:
            self.pending.discard(seq)
            if seq > self.settled_seq:
                self.settled_seq = seq
        for listener in tuple(self.listeners):
            listener.settled(rejected, repeated)

    def fail(self, seqs: Iterable[int], error: Exception) -> None:
        """These numbers were given up: they stay unacknowledged, and whoever sent them is told."""
        self.pending.difference_update(seqs)
        for listener in tuple(self.listeners):
            listener.failed(error)

    @property
    def acked_seq(self) -> int:
        """The highest number such that everything received up to it is committed; gaps do not hold it back."""
        return min(min(self.pending) - 1, self.settled_seq) if self.pending else self.settled_seq


class Acks:
    """What one stream was told of its uplink: acknowledgements never go back, and a rejection is told once.

    A duplicate of a rejected position is told again only while its number is not acknowledged yet on this stream: then
    the client may never have heard the first answer.
    """

    __slots__ = ("_order", "_reported", "_to_tell", "read_to", "sent_seq", "uplink")

    def __init__(self, uplink: Uplink, sent_seq: int, rejected: Rejections = ()) -> None:
        self.uplink = uplink
        self.sent_seq = sent_seq
        self.read_to: int | None = None
        self._to_tell: dict[int, int] = {}
        self._order: list[int] = []
        """A heap of the same numbers, so that no acknowledgement has to sort all of them."""
        self._reported: set[int] = set()
        self.read(rejected, None)

    def read(self, rejected: Rejections, read_to: int | None) -> None:
        """Rejections of earlier streams and reports. `read_to`: how far they are known, None when these are the last.

        Nothing above `read_to` is acknowledged before more of them are read.
        """
        self.read_to = read_to
        for seq, reason in rejected:
            self.reject(seq, reason)

    def reject(self, seq: int, reason: int) -> None:
        """The position was rejected now, for the first time."""
        if seq not in self._reported:
            if seq not in self._to_tell:
                heappush(self._order, seq)
            self._to_tell[seq] = reason

    def reject_again(self, seq: int, reason: int) -> None:
        """A duplicate of a position that was rejected before."""
        if seq > self.sent_seq:
            self.reject(seq, reason)

    @property
    def untold(self) -> int:
        """How many rejections are still to be told, or were told while their numbers cannot be acknowledged yet."""
        return len(self._to_tell) + len(self._reported)

    @property
    def reads_on(self) -> bool:
        """Whether it is time to read more rejections of earlier streams and reports."""
        return self.read_to is not None and not self._to_tell

    @property
    def is_due(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._to_tell) or self.uplink.acked_seq > self.sent_seq

    def take(self, limit: int = 1_000) -> tuple[int, list[tuple[int, int]]]:
        """The next acknowledgement: the number up to which all is settled, and rejections, lowest first.

        With more than `limit` of them the rest stays due, and the number stays below the first that is left out.
        """
        first: list[tuple[int, int]] = []
        while self._order and len(first) < limit:
            seq = heappop(self._order)
            first.append((seq, self._to_tell.pop(seq)))
        acked = self.uplink.acked_seq
        if self._order:
            acked = min(acked, self._order[0] - 1)
        if self.read_to is not None:
            acked = min(acked, self.read_to)
        self.sent_seq = acked = max(self.sent_seq, acked)
        self._reported.update(seq for seq, _ in first)
        # A duplicate at or below what is acknowledged is silent anyway; SEQ_INVALID ones (below 1) are told each time.
        self._reported = {seq for seq in self._reported if seq > acked}
        return acked, first
