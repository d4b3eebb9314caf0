"""What promotions take off an order: frozen shares of its lines and of its delivery, and what of them still stands.

Pure; whole minor units of the order's currency. docs/decisions/0027 has the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self
from uuid import UUID

from marketd.kernel.events.events import Json
from marketd.promotion.model import Funding, PromoKind


class DiscountedItem(Protocol):
    """The part of an order's line that discounts look at."""

    @property
    def item_id(self) -> UUID: ...

    @property
    def quantity(self) -> int: ...

    @property
    def cancelled_quantity(self) -> int: ...


@dataclass(frozen=True, slots=True)
class OrderPromotion:
    """A promo code that an order was placed with, and its shares as they were then.

    line_shares: by item_id, each more than 0; their sum over all promotions is the line's discount.
    """

    promo_code_id: UUID
    code: str = field(metadata={"audit": False})
    kind: PromoKind
    funded_by: Funding
    line_shares: Mapping[UUID, int]
    delivery_share: int

    @property
    def discount_amount_minor(self) -> int:
        """What it took off the lines."""
        return sum(self.line_shares.values())

    def to_json(self) -> dict[str, Json]:
        """Its JSON in the database."""
        return {
            "promo_code_id": str(self.promo_code_id),
            "code": self.code,
            "kind": self.kind.value,
            "funded_by": self.funded_by.value,
            "line_shares": {str(item_id): share for item_id, share in self.line_shares.items()},
            "delivery_share": self.delivery_share,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The value of `to_json`."""
        return cls(
            promo_code_id=UUID(found["promo_code_id"]),
            code=found["code"],
            kind=PromoKind(found["kind"]),
            funded_by=Funding(found["funded_by"]),
            line_shares={UUID(item_id): share for item_id, share in found["line_shares"].items()},
            delivery_share=found["delivery_share"],
        )


@dataclass(frozen=True, slots=True)
class StandingDiscount:
    """What a promotion still takes off, of what is not cancelled: its payer bears so much."""

    promotion: OrderPromotion
    discount_amount_minor: int
    delivery_discount_amount_minor: int


def discount_of(discount_minor: int, pieces: int, quantity: int) -> int:
    """The share of a line's discount that falls on the first `pieces` of it that are cancelled, rounded down.

    It is always taken of the running count, so the shares of all pieces together are the whole discount, whatever the
    order of cancelling.
    """
    return discount_minor * pieces // quantity


def standing_discounts(
    promotions: Sequence[OrderPromotion], items: Sequence[DiscountedItem], *, is_sent: bool
) -> tuple[StandingDiscount, ...]:
    """What of each promotion stands while this much of the lines is cancelled.

    A line's discount falls with its cancelled pieces as a whole; what is left of it is shared among its promotions in
    their order, by the difference of running sums, so that the parts always add up to it. `is_sent`: whether the
    delivery fee still stands.
    """
    standing = [0] * len(promotions)
    for item in items:
        running = left_before = 0
        for place, promotion in enumerate(promotions):
            running += promotion.line_shares.get(item.item_id, 0)
            left = running - discount_of(running, item.cancelled_quantity, item.quantity)
            standing[place] += left - left_before
            left_before = left
    return tuple(
        StandingDiscount(promotion, amount, promotion.delivery_share if is_sent else 0)
        for promotion, amount in zip(promotions, standing, strict=True)
    )
