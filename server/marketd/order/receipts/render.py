"""A receipt as a person reads it: plain text, and one HTML document that loads nothing.

The templates are `templates/<locale>/receipt.txt` and `.html`; those of MARKETD_MAIL_TEMPLATES go before them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import TemplateNotFound

from marketd.kernel.values.address import Address
from marketd.kernel.values.tax import percent_of
from marketd.mail.environment import environment_of, locales, visible
from marketd.order.discounts import StandingDiscount
from marketd.order.receipts.values import Receipt, ReceiptLine
from marketd.order.values import Order

WIDTH: Final = 76


@dataclass(frozen=True, slots=True)
class RenderedReceipt:
    """The receipt in words."""

    text: str
    html: str


class ReceiptRenderer:
    """Renders receipts of one marketplace, whose name stands at the foot."""

    def __init__(self, marketplace: str, own_templates: Path | None = None) -> None:
        self._environment = environment_of("marketd.order.receipts", own_templates)
        self._environment.filters["row"] = _row
        self._marketplace = marketplace

    def render(self, receipt: Receipt, locale: str = "") -> RenderedReceipt:
        """The receipt in the nearest language that there are templates for."""
        given = {**_given(receipt), "marketplace": self._marketplace}
        return RenderedReceipt(self._render(".txt", locale, given), self._render(".html", locale, given))

    def _render(self, ending: str, locale: str, given: dict[str, Any]) -> str:
        for candidate in locales(locale):
            try:
                template = self._environment.get_template(f"{candidate}/receipt{ending}")
            except TemplateNotFound:
                continue
            return template.render(given, locale=candidate).strip() + "\n"
        raise TemplateNotFound(f"receipt{ending}")


def _printed(address: Address) -> list[str]:
    place = " ".join(filter(None, (address.postal_code, address.city)))
    lines = (address.recipient, *address.lines, place, address.region, address.region_code)
    return [_one_line(line) for line in lines if line]


def _given(receipt: Receipt) -> dict[str, Any]:
    """What the templates may say. Amounts are texts such as `12.50 EUR`; empty ones have nothing to say."""
    order = receipt.order

    def money(amount_minor: int) -> str:
        return str(order.money(amount_minor))

    def unless_zero(amount_minor: int) -> str:
        return money(amount_minor) if amount_minor else ""

    return {
        "order_number": order.order_number,
        "shop_name": _one_line(order.shop_name),
        "issue_time": "" if order.pay_time is None else order.pay_time.isoformat(),
        "address": [] if order.address is None else _printed(order.address),
        "lines": [_given_line(receipt, line) for line in receipt.lines],
        "subtotal": money(receipt.subtotal_minor),
        "discount": unless_zero(-receipt.discount_amount_minor),
        "delivery_fee": "" if order.address is None else money(receipt.delivery_fee_minor),
        "delivery_discount": unless_zero(-receipt.delivery_discount_amount_minor),
        "promo_codes": _codes(order, lambda standing: standing.discount_amount_minor),
        "delivery_promo_codes": _codes(order, lambda standing: standing.delivery_discount_amount_minor),
        "total": money(receipt.total_minor),
        "taxes": [
            {
                "rate": percent_of(tax.rate),
                "net": money(tax.net_amount_minor),
                "tax": money(tax.tax_amount_minor),
                "gross": money(tax.gross_amount_minor),
            }
            for tax in receipt.taxes
        ],
        "tax": money(receipt.tax_amount_minor),
        "cancelled": unless_zero(receipt.cancelled_amount_minor),
        "paid": money(order.due_minor),
        "refunded": unless_zero(order.refunded_amount_minor),
    }


def _codes(order: Order, amount_of: Callable[[StandingDiscount], int]) -> str:
    """The promo codes that take such an amount off, by name, as far as the reader may know them."""
    named = (each for each in order.standing_discounts if each.promotion.code and amount_of(each))
    return ", ".join(each.promotion.code for each in named)


def _given_line(receipt: Receipt, line: ReceiptLine) -> dict[str, Any]:
    order, item = receipt.order, line.item
    return {
        "title": _one_line(item.title),
        "sku": _one_line(item.sku),
        "options": ", ".join(f"{_one_line(name)}: {_one_line(value)}" for name, value in item.options.items()),
        "quantity": line.quantity,
        "cancelled_quantity": line.cancelled_quantity,
        "unit_price": str(order.money(item.unit_price_minor)),
        "discount": str(order.money(-line.discount_amount_minor)) if line.discount_amount_minor else "",
        "total": str(order.money(line.total_minor)),
        "tax_rate": percent_of(item.tax_rate),
    }


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())


def _row(left: str, right: str, indent: int = 0) -> str:
    """A line of the text: words at the left, wrapped where they are many, and an amount at the right."""
    room = WIDTH - len(right) - 2
    lines = textwrap.wrap(
        left, room, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4), break_long_words=False
    ) or [""]
    first, *rest = lines
    return "\n".join([f"{first:<{room}}  {right}", *rest])
