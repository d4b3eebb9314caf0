"""Orders of the model as values: what was sold, to whom, and what of it still stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeAlias

from tests.integration.machine.model import VARIANTS, Owner

WITH_SELLER: Final = ("PAID", "ACCEPTED", "READY")
OVER: Final = ("DELIVERED", "CANCELLED", "REJECTED", "EXPIRED", "REFUNDED")
UNFULFILLED: Final = ("CANCELLED", "REJECTED", "EXPIRED")
OPEN_PAYMENT: Final = ("PENDING", "ACTION_REQUIRED", "DECLINED")

OrderView: TypeAlias = tuple[
    str,
    tuple[int, int, int, int, int],
    tuple[tuple[int, int, int, int, int], ...],
    Mapping[int, tuple[int, int]],
]
"""State; total, due, set aside, given back and cancelled; of each line the variant, pieces, cancelled ones, price and
discount; of each code what stands of it on lines and delivery.
"""


@dataclass
class SoldLine:
    """A line of an order, and how many pieces of it are cancelled."""

    variant: int
    pieces: int
    price: int
    discounts: dict[int, int]
    gone: int = 0

    @property
    def discount(self) -> int:
        """What all codes have taken off it."""
        return sum(self.discounts.values())

    def standing(self) -> dict[int, int]:
        """What of each code's discount is left: the parts of the line's, which falls with the cancelled pieces."""
        found, before, running = {}, 0, 0
        for code, share in self.discounts.items():
            running += share
            left = running - running * self.gone // self.pieces
            found[code], before = left - before, left
        return found

    @property
    def left(self) -> int:
        """Pieces that are not cancelled."""
        return self.pieces - self.gone

    def given_back(self, pieces: int) -> int:
        """What so many more cancelled pieces give back: their price less what their share of the discount grows by."""
        share = [self.discount * count // self.pieces for count in (self.gone, self.gone + pieces)]
        return self.price * pieces - (share[1] - share[0])


@dataclass(eq=False)
class Sold:
    """An order."""

    group: Group
    shop: int
    lines: list[SoldLine]
    fee: int
    fee_discounts: dict[int, int]
    total: int
    state: str = "PENDING_PAYMENT"
    due: int = 0
    reserved: int = 0
    refunded: int = 0
    is_paid: bool = False
    accept_end: timedelta = timedelta(0)
    delivery: str = ""
    was_assigned: bool = False
    was_brought: bool = False
    outcome: str = ""
    ended_by: str = ""
    cancelled: int = 0
    lost: dict[int, int] = field(default_factory=dict)

    def view(self) -> OrderView:
        """What of it can be compared."""
        lines = tuple((line.variant, line.pieces, line.gone, line.price, line.discount) for line in self.lines)
        money = (self.total, self.due, self.reserved, self.refunded, self.cancelled)
        return (self.state, money, lines, self.standing())

    @property
    def codes(self) -> set[int]:
        """The codes that it was placed with."""
        return {code for line in self.lines for code in line.discounts} | set(self.fee_discounts)

    def standing(self) -> dict[int, tuple[int, int]]:
        """What of each code is still taken off lines and delivery."""
        is_over = self.state in UNFULFILLED
        is_sent = self.was_brought or self.needs_courier
        found: dict[int, tuple[int, int]] = dict.fromkeys(self.codes, (0, 0))
        for line in self.lines:
            for code, left in line.standing().items():
                found[code] = (found[code][0] + (0 if is_over else left), 0)
        for code, off in self.fee_discounts.items():
            found[code] = (found[code][0], off if is_sent and not is_over else 0)
        return found

    @property
    def needs_courier(self) -> bool:
        """Whether anything that is left is to be brought."""
        return any(line.left and VARIANTS[line.variant].is_sent for line in self.lines)

    @property
    def refundable(self) -> int:
        """What can still be given back."""
        return self.due - self.reserved if self.is_paid else 0

    @property
    def is_given_back(self) -> bool:
        """Whether all of its money is."""
        return self.is_paid and self.due > 0 and not self.refundable


@dataclass(eq=False)
class Refund:
    """Money that is on its way back."""

    group: Group
    shares: dict[int, int]


@dataclass(eq=False)
class Group:
    """Everything that was ordered at once, and its payment."""

    buyer: Owner
    end: timedelta
    orders: list[Sold] = field(default_factory=list)
    payment: str = "PENDING"
    amount: int = 0
    captured: int = 0
    reserved: int = 0
    refunded: int = 0
    codes: set[int] = field(default_factory=set)

    @property
    def waiting(self) -> list[Sold]:
        """The orders that wait for money."""
        return [order for order in self.orders if order.state == "PENDING_PAYMENT"]
