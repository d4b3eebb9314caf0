"""The books of an uplink: which positions wait for an acknowledgement, and what became of the others."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from marketplace.tracking.v1 import position_pb2


@dataclass(frozen=True)
class Outcome:
    """What became of a position: stored, or rejected for a reason."""

    seq: int
    rejection: position_pb2.RejectionReason.ValueType | None

    @property
    def is_stored(self) -> bool:
        """Whether the server has stored it."""
        return self.rejection is None


class Ledger:
    """At most `capacity` unacknowledged positions, in the order of their numbers."""

    def __init__(self, capacity: int, on_outcome: Callable[[Outcome], None] | None = None) -> None:
        self._capacity = capacity
        self._on_outcome = on_outcome
        self._waiting: list[position_pb2.Position] = []
        # Rejections come with the acknowledgement that covers them or before it, never after.
        self._rejections: dict[int, position_pb2.RejectionReason.ValueType] = {}
        self._next_seq = 1
        self.acked_seq = 0
        self.stored = 0
        self.rejected = 0

    def __len__(self) -> int:
        """How many positions wait."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no further position can be taken."""
        return len(self._waiting) >= self._capacity

    def take(self, position: position_pb2.Position) -> int:
        """Number a position and keep it until it is acknowledged."""
        kept = position_pb2.Position()
        kept.CopyFrom(position)
        kept.seq = self._next_seq
        self._next_seq += 1
        self._waiting.append(kept)
        return kept.seq

    def has_after(self, seq: int) -> bool:
        """Whether a position with a higher number waits."""
        return bool(self._waiting) and self._waiting[-1].seq > seq

    def after(self, seq: int, limit: int) -> list[position_pb2.Position]:
        """The waiting positions with higher numbers, at most `limit`."""
        first = bisect_right(self._waiting, seq, key=lambda position: position.seq)
        return self._waiting[first : first + limit]

    def acknowledge(self, ack: position_pb2.Ack) -> None:
        """Give everything up to the acknowledged number its outcome, once."""
        for rejection in ack.rejected:
            if rejection.seq > self.acked_seq:
                self._rejections[rejection.seq] = rejection.reason
        done = bisect_right(self._waiting, ack.acked_seq, key=lambda position: position.seq)
        settled, self._waiting = self._waiting[:done], self._waiting[done:]
        self.acked_seq = max(self.acked_seq, ack.acked_seq)
        for position in settled:
            outcome = Outcome(position.seq, self._rejections.pop(position.seq, None))
            if outcome.is_stored:
                self.stored += 1
            else:
                self.rejected += 1
            if self._on_outcome is not None:
                self._on_outcome(outcome)
