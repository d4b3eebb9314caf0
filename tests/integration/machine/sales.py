"""What should be of what was ordered: orders, their money and their pieces, kept in memory beside the marketplace."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeAlias

from tests.integration.machine.model import (
    ACCEPT_LIFETIME,
    UNPAID_LIFETIME,
    VARIANTS,
    Owner,
    Package,
    Quote,
    Shelves,
)

HELD: Final = ("PENDING_PAYMENT", "PAID", "ACCEPTED", "READY")
WITH_SELLER: Final = ("PAID", "ACCEPTED", "READY")
OVER: Final = ("DELIVERED", "CANCELLED", "REJECTED", "EXPIRED", "REFUNDED")
OPEN_PAYMENT: Final = ("PENDING", "ACTION_REQUIRED", "DECLINED")

OrderView: TypeAlias = tuple[str, int, int, int, int, int, tuple[tuple[int, int, int, int, int], ...]]
"""State, total, due, set aside, given back, cancelled; of each line the variant, pieces, cancelled ones, price and
discount.
"""


@dataclass
class SoldLine:
    """A line of an order, and how many pieces of it are cancelled."""

    variant: int
    pieces: int
    price: int
    discount: int
    gone: int = 0

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
        return (self.state, self.total, self.due, self.reserved, self.refunded, self.cancelled, lines)

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

    @property
    def waiting(self) -> list[Sold]:
        """The orders that wait for money."""
        return [order for order in self.orders if order.state == "PENDING_PAYMENT"]


class Sales(Shelves):
    """Orders on top of what they are made of. Each move gives the reason of its refusal, or `OK` when it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[Group] = []
        self.refunds: list[Refund] = []

    @property
    def orders(self) -> list[Sold]:
        """All of them, oldest first."""
        return [order for group in self.groups for order in group.orders]

    # -- placing

    def place(self, quote: Quote, buyer: Owner, expected: int) -> set[str]:
        """Order a quote: every reason that there is not to, or what was quoted is a new group."""
        if quote.is_used or quote.end <= self.now or quote.owner != buyer:
            return {"QUOTE_EXPIRED"}
        lines = [line for package in quote.packages for line in package.lines]
        reasons = set()
        if expected != quote.total or any(line.price != self.prices[line.variant] for line in lines):
            reasons.add("PRICE_CHANGED")
        if any(line.pieces > self.stock[line.variant].available for line in lines):
            reasons.add("INSUFFICIENT_STOCK")
        if reasons:
            return reasons
        quote.is_used = True
        group = Group(buyer, self.now + UNPAID_LIFETIME)
        group.orders = [self._sold(group, package) for package in quote.packages]
        group.amount = quote.total
        self.groups.append(group)
        basket = self.baskets[buyer].lines
        for line in lines:
            self.stock[line.variant].reserved += line.pieces
            if line.variant in basket:
                basket[line.variant].pieces -= line.pieces
                if basket[line.variant].pieces <= 0:
                    del basket[line.variant]
        return set()

    def _sold(self, group: Group, package: Package) -> Sold:
        lines = [SoldLine(line.variant, line.pieces, line.price, line.discount) for line in package.lines]
        return Sold(group, package.shop, lines, package.fee, package.total, due=package.total)

    # -- money

    def pay(self, group: Group, method: str) -> str:
        """The buyer pays."""
        if group.payment == "CAPTURED" and method == "ok":
            return "OK"
        if group.payment not in OPEN_PAYMENT or not group.waiting or self.now >= group.end:
            return "ILLEGAL_TRANSITION"
        if method != "ok":
            group.payment = "DECLINED" if method == "decline" else "ACTION_REQUIRED"
            return "PAYMENT_DECLINED" if method == "decline" else "PAYMENT_ACTION_REQUIRED"
        group.payment, group.captured = "CAPTURED", group.amount
        for order in group.waiting:
            order.state, order.is_paid, order.accept_end = "PAID", True, self.now + ACCEPT_LIFETIME
        return "OK"

    def refund(self, group: Group, order: Sold | None, amount: int | None) -> str:
        """An admin or the seller gives money back: of an order, or all that is left of the group."""
        orders = group.orders if order is None else [order]
        left = sum(each.refundable for each in orders)
        if not left:
            return "ILLEGAL_TRANSITION"
        wanted = left if amount is None else amount
        if wanted > left:
            return "VALIDATION_FAILED"
        shares: dict[int, int] = {}
        for each in orders:
            part = min(wanted, each.refundable)
            if not part:
                continue
            wanted -= part
            shares[group.orders.index(each)] = part
            each.reserved += part
            group.reserved += part
            if not each.refundable and each.state in WITH_SELLER:
                each.cancelled += part
                self._end(each, "CANCELLED")
        self._settle(Refund(group, shares))
        return "OK"

    def _give_back(self, order: Sold, amount: int) -> None:
        """Money of a paid order is set aside; a job gives it back."""
        order.reserved += amount
        order.group.reserved += amount
        if amount:
            self.refunds.append(Refund(order.group, {order.group.orders.index(order): amount}))

    def _settle(self, refund: Refund) -> None:
        group = refund.group
        for index, amount in refund.shares.items():
            order = group.orders[index]
            order.refunded += amount
            group.refunded += amount
            if order.state == "DELIVERED" and order.refunded == order.due:
                order.state = "REFUNDED"
        group.payment = "REFUNDED" if group.refunded == group.captured else "PARTIALLY_REFUNDED"

    # -- ends

    def cancel(self, order: Sold, lines: dict[int, int], who: str) -> str:
        """Somebody cancels the order, or pieces of some lines by their places."""
        if not lines and (order.state, order.ended_by) == ("CANCELLED", who):
            return "OK"
        if order.state not in ("PENDING_PAYMENT", *WITH_SELLER):
            return "ILLEGAL_TRANSITION"
        if any(pieces > order.lines[place].left for place, pieces in lines.items()):
            return "VALIDATION_FAILED"
        pieces = lines or {place: line.left for place, line in enumerate(order.lines) if line.left}
        is_all = all(line.left == pieces.get(place, 0) for place, line in enumerate(order.lines))
        worth = sum(order.lines[place].given_back(count) for place, count in pieces.items())
        if order.needs_courier and not self._sends_after(order, pieces):
            worth += order.fee
        worth = min(worth, order.due - order.reserved)
        if is_all or (order.is_paid and 0 < worth == order.refundable):
            self._end_with_money(order, "CANCELLED")
            order.ended_by = who
            return "OK"
        for place, count in pieces.items():
            order.lines[place].gone += count
            self.stock[order.lines[place].variant].reserved -= count
        self._take_off(order, worth)
        if order.state == "READY" and not order.needs_courier:
            self._hand_over(order)
        return "OK"

    def _sends_after(self, order: Sold, pieces: dict[int, int]) -> bool:
        return any(
            line.left > pieces.get(place, 0) and VARIANTS[line.variant].is_sent
            for place, line in enumerate(order.lines)
        )

    def _take_off(self, order: Sold, worth: int) -> None:
        order.cancelled += worth
        if order.is_paid:
            self._give_back(order, worth)
        else:
            order.due -= worth
            self._ask_for_less(order.group)

    def _ask_for_less(self, group: Group) -> None:
        if group.waiting:
            group.amount = sum(order.due for order in group.waiting)
        elif group.payment in OPEN_PAYMENT:
            group.payment = "CANCELLED"

    def _end_with_money(self, order: Sold, state: str, *, back: bool = True) -> None:
        """The order ends, and all that is left of its money goes back; the pieces too, unless they are on their way."""
        left = order.due - order.reserved
        self._end(order, state, back=back)
        self._take_off(order, left)

    def _end(self, order: Sold, state: str, *, back: bool = True) -> None:
        for line in order.lines:
            if back:
                self.stock[line.variant].reserved -= line.left
            line.gone = line.pieces
        order.state = state

    def reject(self, order: Sold) -> str:
        """The seller refuses it."""
        if order.state == "REJECTED":
            return "OK"
        if order.state != "PAID":
            return "ILLEGAL_TRANSITION"
        self._end_with_money(order, "REJECTED")
        return "OK"

    # -- the way to the buyer

    def accept(self, order: Sold) -> str:
        """The seller takes it on."""
        if order.state == "ACCEPTED":
            return "OK"
        if order.state != "PAID" or order.is_given_back:
            return "ILLEGAL_TRANSITION"
        order.state = "ACCEPTED"
        return "OK"

    def ready(self, order: Sold) -> str:
        """The seller has prepared it; what nobody brings the buyer has."""
        if order.state == "READY" or (order.state == "DELIVERED" and not order.was_brought):
            return "OK"
        if order.state != "ACCEPTED" or order.is_given_back:
            return "ILLEGAL_TRANSITION"
        if order.needs_courier:
            order.state = "READY"
        else:
            self._hand_over(order)
        return "OK"

    def _hand_over(self, order: Sold) -> None:
        order.state = "DELIVERED"
        self._ship(order)

    def _ship(self, order: Sold) -> None:
        for line in order.lines:
            self.stock[line.variant].on_hand -= line.left
            self.stock[line.variant].reserved -= line.left

    def assign(self, order: Sold) -> str:
        """An admin gives the delivery to the courier."""
        if order.delivery == "ASSIGNED":
            return "OK"
        if order.delivery != "CREATED" or order.state != "READY" or order.is_given_back:
            return "ILLEGAL_TRANSITION"
        order.delivery, order.was_assigned = "ASSIGNED", True
        return "OK"

    def pick_up(self, order: Sold) -> str:
        """The courier has it."""
        if order.delivery == "PICKED_UP":
            return "OK"
        if order.delivery != "ASSIGNED" or order.state != "READY" or order.is_given_back:
            return "ILLEGAL_TRANSITION"
        order.delivery, order.state, order.was_brought = "PICKED_UP", "OUT_FOR_DELIVERY", True
        self._ship(order)
        return "OK"

    def complete(self, order: Sold) -> str:
        """The buyer has it."""
        if not order.was_assigned:
            return "NOT_FOUND"
        if order.delivery != "PICKED_UP":
            return "OK" if order.state in ("DELIVERED", "REFUNDED") and order.was_brought else "ILLEGAL_TRANSITION"
        order.delivery = "CLOSED"
        order.state = "REFUNDED" if 0 < order.due == order.refunded else "DELIVERED"
        return "OK"

    def fail(self, order: Sold, *, comes_back: bool) -> str:
        """The courier cannot deliver what is picked up; the goods come back to the shop or are lost."""
        if not order.was_assigned:
            return "NOT_FOUND"
        outcome = "RETURNED" if comes_back else "FAILED"
        if order.delivery != "PICKED_UP":
            if (order.outcome, outcome) == ("FAILED", "RETURNED"):
                self._return(order.lost)
                order.outcome = outcome
            return "OK" if order.outcome == outcome else "ILLEGAL_TRANSITION"
        order.lost = {line.variant: line.left for line in order.lines}
        self._end_with_money(order, "CANCELLED", back=False)
        order.delivery, order.outcome = "CLOSED", outcome
        if comes_back:
            self._return(order.lost)
        return "OK"

    def _return(self, pieces: dict[int, int]) -> None:
        for variant, count in pieces.items():
            self.stock[variant].on_hand += count

    # -- what happens by itself

    def work(self) -> None:
        """Jobs that are due and events that wait have had their effect."""
        for group in self.groups:
            if group.waiting and group.end <= self.now:
                group.payment = "CANCELLED"
                for order in group.waiting:
                    # What expires keeps its pieces, and is not cancelled.
                    for line in order.lines:
                        self.stock[line.variant].reserved -= line.left
                    order.state, order.due = "EXPIRED", 0
        for order in self.orders:
            if order.state == "PAID" and order.accept_end <= self.now:
                self._end_with_money(order, "CANCELLED")
        for refund in self.refunds:
            self._settle(refund)
        self.refunds.clear()
        for order in self.orders:
            if order.state == "READY" and not order.delivery and not order.is_given_back:
                order.delivery = "CREATED"
            elif order.state in OVER and order.delivery in ("CREATED", "ASSIGNED"):
                order.delivery = "CLOSED"
