"""A receipt as a value, made of an order alone. Pure; whole minor units of the order's currency everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from marketd.kernel.values.tax import tax_in
from marketd.order.discounts import discount_of
from marketd.order.model import OrderState
from marketd.order.values import Order, OrderItem

_NOTHING_LEFT: Final = frozenset({OrderState.CANCELLED, OrderState.REJECTED})
"""Ended whole: all its money goes back, the delivery fee too, whichever pieces were counted."""


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """A line of the order with what of it is left: `quantity` pieces at `total_minor`, the discount taken off."""

    item: OrderItem
    quantity: int
    discount_amount_minor: int
    tax_amount_minor: int

    @property
    def cancelled_quantity(self) -> int:
        """Pieces that were bought and cancelled later."""
        return self.item.quantity - self.quantity

    @property
    def price_minor(self) -> int:
        """What the pieces that are left cost before the discount."""
        return self.item.unit_price_minor * self.quantity

    @property
    def total_minor(self) -> int:
        """What they cost."""
        return self.price_minor - self.discount_amount_minor


@dataclass(frozen=True, slots=True)
class ReceiptTax:
    """All of one rate (kernel.values.tax)."""

    rate: int
    gross_amount_minor: int
    tax_amount_minor: int

    @property
    def net_amount_minor(self) -> int:
        """What it is without the tax."""
        return self.gross_amount_minor - self.tax_amount_minor


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a paid order costs as it stands now.

    taxes: unique rate, highest first; they add up to the total.
    """

    order: Order
    lines: tuple[ReceiptLine, ...]
    delivery_fee_minor: int
    delivery_discount_amount_minor: int
    taxes: tuple[ReceiptTax, ...]

    @property
    def subtotal_minor(self) -> int:
        """The prices of the pieces that are left."""
        return sum(line.price_minor for line in self.lines)

    @property
    def discount_amount_minor(self) -> int:
        """What is taken off them."""
        return sum(line.discount_amount_minor for line in self.lines)

    @property
    def total_minor(self) -> int:
        """What the order costs now."""
        delivery_minor = self.delivery_fee_minor - self.delivery_discount_amount_minor
        return self.subtotal_minor - self.discount_amount_minor + delivery_minor

    @property
    def tax_amount_minor(self) -> int:
        """The tax in the total."""
        return sum(tax.tax_amount_minor for tax in self.taxes)

    @property
    def cancelled_amount_minor(self) -> int:
        """What was cancelled since the order was placed."""
        return self.order.total_minor - self.total_minor


def receipt_of(order: Order) -> Receipt:
    """The receipt of a paid order. What was cancelled is neither charged nor taxed."""
    is_over = order.state in _NOTHING_LEFT
    lines = tuple(_line(item, 0 if is_over else item.left) for item in order.items)
    is_sent = not (is_over or order.is_sent_no_more)
    fee, fee_discount = (order.delivery_fee_minor, order.delivery_discount_amount_minor) if is_sent else (0, 0)
    gross: dict[int, int] = {}
    tax: dict[int, int] = {}
    parts = [(line.item.tax_rate, line.total_minor, line.tax_amount_minor) for line in lines if line.quantity]
    if fee > fee_discount:
        parts.append((order.delivery_tax_rate, fee - fee_discount, order.delivery_tax_amount_minor))
    for rate, amount_minor, tax_minor in parts:
        gross[rate] = gross.get(rate, 0) + amount_minor
        tax[rate] = tax.get(rate, 0) + tax_minor
    taxes = tuple(ReceiptTax(rate, gross[rate], tax[rate]) for rate in sorted(gross, reverse=True))
    return Receipt(order, lines, fee, fee_discount, taxes)


def _line(item: OrderItem, left: int) -> ReceiptLine:
    """A line of which `left` pieces are left. What is whole keeps the tax that the order froze."""
    # The counterpart of OrderItem.worth_minor: what cancelled pieces gave back is rounded down on the running sum.
    discount = item.discount_amount_minor - discount_of(item.discount_amount_minor, item.quantity - left, item.quantity)
    if left == item.quantity:
        return ReceiptLine(item, left, discount, item.tax_amount_minor)
    return ReceiptLine(item, left, discount, tax_in(item.unit_price_minor * left - discount, item.tax_rate))
