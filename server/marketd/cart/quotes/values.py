"""Quotes as values with a JSON form: PlaceOrder takes a quote as it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from marketd.cart.values import Problem
from marketd.kernel.events.events import to_json
from marketd.kernel.values.address import Address
from marketd.kernel.values.tax import tax_in
from marketd.promotion.values import Promotion


@dataclass(frozen=True, slots=True)
class QuoteKey:
    """What a quote token names: the quote, and when it ends, to the second."""

    quote_id: UUID
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One item of the cart at its quoted price. tax_rate: see kernel.values.tax."""

    item_id: UUID
    variant_id: UUID
    product_id: UUID
    title: str
    sku: str
    options: Mapping[str, str]
    image_url: str
    image_media_id: UUID | None
    quantity: int
    unit_price_minor: int
    tax_rate: int
    requires_shipping: bool
    discount_amount_minor: int = 0

    @property
    def line_total_minor(self) -> int:
        """Unit price times quantity."""
        return self.unit_price_minor * self.quantity

    @property
    def tax_amount_minor(self) -> int:
        """The tax that the line total less the discount includes."""
        return tax_in(self.line_total_minor - self.discount_amount_minor, self.tax_rate)


@dataclass(frozen=True, slots=True)
class QuotePackage:
    """What one seller would send. The instants are None where nobody can say when it would arrive, and where nothing is
    sent.

    open_time: when the shop opens; None while it is open. delivery_tax_rate: see kernel.values.tax.
    lines: 1..100, unique variant_id.
    """

    seller_id: UUID
    owner_user_id: UUID | None
    shop_name: str
    pickup: Address | None
    prep_duration: timedelta
    open_time: datetime | None
    delivery_fee_minor: int
    delivery_tax_rate: int
    earliest_time: datetime | None
    latest_time: datetime | None
    distance_meters: float | None
    lines: tuple[QuoteLine, ...]
    delivery_discount_amount_minor: int = 0

    @property
    def is_sent(self) -> bool:
        """Whether anything of it needs a courier, and so an address."""
        return any(line.requires_shipping for line in self.lines)

    @property
    def subtotal_minor(self) -> int:
        """The sum of the lines."""
        return sum(line.line_total_minor for line in self.lines)

    @property
    def discount_amount_minor(self) -> int:
        """What is taken off the lines."""
        return sum(line.discount_amount_minor for line in self.lines)

    @property
    def total_minor(self) -> int:
        """Subtotal less discount plus delivery fee less its discount."""
        return self.subtotal_minor - self.discount_amount_minor + self.delivery_cost_minor

    @property
    def delivery_cost_minor(self) -> int:
        """What the buyer pays for bringing it."""
        return self.delivery_fee_minor - self.delivery_discount_amount_minor

    @property
    def delivery_tax_amount_minor(self) -> int:
        """The tax that this includes."""
        return tax_in(self.delivery_cost_minor, self.delivery_tax_rate)

    @property
    def tax_amount_minor(self) -> int:
        """The tax that the total includes: rounded line by line, as each line shows it."""
        return sum(line.tax_amount_minor for line in self.lines) + self.delivery_tax_amount_minor


@dataclass(frozen=True, slots=True)
class Quote:
    """What an order of the whole cart would cost. packages: in seller_id order, unique seller_id.

    address: None where nothing is sent. promotions: in the order of their use, each with something to take off; lines
    and packages have what they take off together.
    """

    quote_id: UUID
    currency: str
    address: Address | None
    packages: tuple[QuotePackage, ...]
    promotions: tuple[Promotion, ...] = ()

    @property
    def total_minor(self) -> int:
        """What is to be paid in all."""
        return sum(package.total_minor for package in self.packages)

    @property
    def tax_amount_minor(self) -> int:
        """The tax that this includes."""
        return sum(package.tax_amount_minor for package in self.packages)

    @property
    def fees(self) -> dict[UUID, int]:
        """What bringing each package costs before discounts, by seller_id."""
        return {package.seller_id: package.delivery_fee_minor for package in self.packages if package.is_sent}

    def discounted(self, promotions: Sequence[Promotion]) -> Quote:
        """This quote, which has no promotions yet, with these; those that take nothing off are left out."""
        used = tuple(each for each in promotions if each.discount_minor or each.delivery_discount_minor)
        return replace(self, promotions=used, packages=tuple(_discounted(package, used) for package in self.packages))

    def to_json_text(self) -> str:
        """The payload that is stored.

        What promotions take off stands with them alone. A worker of the version before, which would use no code, comes
        to a higher total than the buyer expects, and refuses to place the order.
        """
        payload: dict[str, object] = {name: getattr(self, name) for name in ("currency", "address", "packages")}
        if self.promotions:
            payload["packages"] = [_discounted(package, ()) for package in self.packages]
            payload["promotions"] = [promotion.to_json() for promotion in self.promotions]
        return to_json(payload)

    @classmethod
    def from_json_text(cls, quote_id: UUID, text: str) -> Quote:
        """The quote of a stored payload; what a newer version has put in besides is passed over."""
        found = orjson.loads(text)
        address = found["address"]
        quote = cls(
            quote_id,
            found["currency"],
            None if address is None else Address.from_json(address),
            tuple(_package(package) for package in found["packages"]),
        )
        # A worker of the version before knows of no promotions.
        promotions = found.get("promotions")
        return quote.discounted([Promotion.from_json(each) for each in promotions]) if promotions else quote


@dataclass(frozen=True, slots=True)
class QuoteResult:
    """The quote with its problems; `expire_time` is None, and nothing stored, while a blocking one stands."""

    quote: Quote
    problems: tuple[Problem, ...]
    expire_time: datetime | None


def _discounted(package: QuotePackage, promotions: Sequence[Promotion]) -> QuotePackage:
    lines = tuple(
        replace(line, discount_amount_minor=sum(each.line_shares.get(line.variant_id, 0) for each in promotions))
        for line in package.lines
    )
    off_delivery = sum(each.delivery_shares.get(package.seller_id, 0) for each in promotions)
    return replace(package, lines=lines, delivery_discount_amount_minor=off_delivery)


def _package(found: Mapping[str, Any]) -> QuotePackage:
    account, pickup = found["owner_user_id"], found["pickup"]
    return QuotePackage(
        seller_id=UUID(found["seller_id"]),
        owner_user_id=None if account is None else UUID(account),
        shop_name=found["shop_name"],
        pickup=None if pickup is None else Address.from_json(pickup),
        prep_duration=timedelta(seconds=found["prep_duration"]),
        open_time=_instant(found["open_time"]),
        delivery_fee_minor=found["delivery_fee_minor"],
        delivery_tax_rate=found["delivery_tax_rate"],
        earliest_time=_instant(found["earliest_time"]),
        latest_time=_instant(found["latest_time"]),
        distance_meters=found["distance_meters"],
        lines=tuple(_line(line) for line in found["lines"]),
    )


def _instant(found: str | None) -> datetime | None:
    return None if found is None else datetime.fromisoformat(found)


def _line(found: Mapping[str, Any]) -> QuoteLine:
    return QuoteLine(
        item_id=UUID(found["item_id"]),
        variant_id=UUID(found["variant_id"]),
        product_id=UUID(found["product_id"]),
        title=found["title"],
        sku=found["sku"],
        options=found["options"],
        image_url=found["image_url"],
        # A worker of the version before knows of no uploads.
        image_media_id=UUID(found["image_media_id"]) if found.get("image_media_id") else None,
        quantity=found["quantity"],
        unit_price_minor=found["unit_price_minor"],
        tax_rate=found["tax_rate"],
        # A worker of the version before has not asked; until then all was sent.
        requires_shipping=found.get("requires_shipping", True),
        discount_amount_minor=found["discount_amount_minor"],
    )
