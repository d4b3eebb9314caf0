"""What was taken off an order, as a value: each cancellation of a part, and the one that ended it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from marketd.kernel.events.events import Json
from marketd.order.model import CancellationActor, CancellationReason

MAX_CANCELLATIONS: Final = 100
"""So many an order; the last place is kept for the one that ends it."""


@dataclass(frozen=True, slots=True)
class CancelledPieces:
    """Pieces of one line. `amount_minor` is their price less their share of the line's discount."""

    item_id: UUID
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What one cancellation took off, and why.

    `amount_minor` is what the order costs less: that of the lines, at most what was left of its money; with the
    delivery fee when the order ended. lines: unique item_id. An empty note is none.
    """

    lines: tuple[CancelledPieces, ...]
    reason: CancellationReason
    note: str = field(repr=False)
    actor: CancellationActor
    amount_minor: int
    cancel_time: datetime

    def to_json(self) -> dict[str, Json]:
        """Its JSON in the database."""
        return {
            "lines": [[str(line.item_id), line.quantity, line.amount_minor] for line in self.lines],
            "reason": self.reason.value,
            "note": self.note,
            "actor": self.actor.value,
            "amount_minor": self.amount_minor,
            "cancel_time": self.cancel_time.isoformat(),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The value of `to_json`."""
        return cls(
            lines=tuple(
                CancelledPieces(UUID(item_id), quantity, amount) for item_id, quantity, amount in found["lines"]
            ),
            reason=CancellationReason(found["reason"]),
            note=found["note"],
            actor=CancellationActor(found["actor"]),
            amount_minor=found["amount_minor"],
            cancel_time=datetime.fromisoformat(found["cancel_time"]),
        )
