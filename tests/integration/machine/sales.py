"""What should be of what was ordered: orders, their money and their pieces, kept in memory beside the marketplace."""

from __future__ import annotations

from tests.integration.machine.model import (
    ACCEPT_LIFETIME,
    UNPAID_LIFETIME,
    VARIANTS,
    Owner,
    Package,
    Quote,
    Shelves,
)
from tests.integration.machine.promos import Judged
from tests.integration.machine.sold import (
    OPEN_PAYMENT,
    OVER,
    UNFULFILLED,
    WITH_SELLER,
    Group,
    Refund,
    Sold,
    SoldLine,
)


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

    def has_ordered(self, owner: Owner) -> bool:
        """Whether somebody has an order that stands."""
        return any(order.state not in UNFULFILLED for order in self.orders if order.group.buyer == owner)

    def place(self, quote: Quote, buyer: Owner, expected: int) -> set[str]:
        """Order a quote: every reason that there is not to, or what was quoted is a new group."""
        if quote.is_used or quote.end <= self.now or quote.owner != buyer:
            return {"QUOTE_EXPIRED"}
        lines = [line for package in quote.packages for line in package.lines]
        reasons = {reason for number in quote.versions if (reason := self._not_redeemed(number, quote, buyer))}
        if expected != quote.total or any(line.price != self.prices[line.variant] for line in lines):
            reasons.add("PRICE_CHANGED")
        if any(line.pieces > self.stock[line.variant].available for line in lines):
            reasons.add("INSUFFICIENT_STOCK")
        if reasons:
            return reasons
        quote.is_used = True
        group = Group(buyer, self.now + UNPAID_LIFETIME, codes=set(quote.versions))
        group.orders = [self._sold(group, package, quote.judged) for package in quote.packages]
        group.amount = quote.total
        self.groups.append(group)
        for number in quote.versions:
            self.codes[number].uses[buyer] = self.codes[number].uses.get(buyer, 0) + 1
        basket = self.baskets[buyer]
        basket.codes = [number for number in basket.codes if number not in quote.versions]
        for line in lines:
            self.stock[line.variant].reserved += line.pieces
            if line.variant in basket.lines:
                basket.lines[line.variant].pieces -= line.pieces
                if basket.lines[line.variant].pieces <= 0:
                    del basket.lines[line.variant]
        if not group.amount:
            self._paid(group)
        return set()

    def _not_redeemed(self, number: int, quote: Quote, buyer: Owner) -> str:
        """Why a code of a quote cannot be used for its order any more."""
        code = self.codes[number]
        if code.is_disabled or code.version != quote.versions[number]:
            return "QUOTE_EXPIRED"
        if code.end is not None and self.now >= code.end:
            return "PROMO_EXPIRED"
        if code.limit is not None and code.used >= code.limit:
            return "PROMO_EXHAUSTED"
        if code.each is not None and code.uses.get(buyer, 0) >= code.each:
            return "PROMO_EXHAUSTED"
        return "PROMO_NOT_APPLICABLE" if code.is_first_only and self.has_ordered(buyer) else ""

    def _sold(self, group: Group, package: Package, judged: Judged) -> Sold:
        lines = [
            SoldLine(
                line.variant,
                line.pieces,
                line.price,
                {each.code: each.lines[line.variant] for each in judged.taken if line.variant in each.lines},
            )
            for line in package.lines
        ]
        off = {each.code: each.deliveries[package.shop] for each in judged.taken if package.shop in each.deliveries}
        return Sold(group, package.shop, lines, package.fee, off, package.total, due=package.total)

    def _give_back_codes(self, group: Group) -> None:
        """What no order of the group holds any more can be used again."""
        holding = [order for order in group.orders if order.state not in (*UNFULFILLED, "REFUNDED")]
        for number in sorted(group.codes):
            if not any(number in order.codes for order in holding):
                group.codes.remove(number)
                self.codes[number].uses[group.buyer] -= 1

    # -- money

    def pay(self, group: Group, method: str) -> str:
        """The buyer pays. What costs nothing is paid by whatever method."""
        if group.payment == "CAPTURED" and (method == "ok" or not group.captured):
            return "OK"
        if group.payment not in OPEN_PAYMENT or not group.waiting or self.now >= group.end:
            return "ILLEGAL_TRANSITION"
        if not group.amount:
            self._paid(group)
            return "OK"
        if method != "ok":
            group.payment = "DECLINED" if method == "decline" else "ACTION_REQUIRED"
            return "PAYMENT_DECLINED" if method == "decline" else "PAYMENT_ACTION_REQUIRED"
        self._paid(group)
        return "OK"

    def _paid(self, group: Group) -> None:
        group.payment, group.captured = "CAPTURED", group.amount
        for order in group.waiting:
            order.state, order.is_paid, order.accept_end = "PAID", True, self.now + ACCEPT_LIFETIME

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
                self._give_back_codes(group)
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
            worth += order.fee - sum(order.fee_discounts.values())
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
        self._give_back_codes(order.group)

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
        self._give_back_codes(order.group)
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
                self._give_back_codes(group)
            elif group.waiting and not group.amount:
                self._paid(group)
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
