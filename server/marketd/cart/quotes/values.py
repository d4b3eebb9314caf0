"""Quotes as values with a JSON form: PlaceOrder takes a quote as it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from marketd.cart.values import Problem
from marketd.kernel.events.events import to_json
from marketd.kernel.values.address import Address


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One item of the cart at its quoted price."""

    item_id: UUID
    variant_id: UUID
    product_id: UUID
    title: str
    sku: str
    options: Mapping[str, str]
    image_url: str
    quantity: int
    unit_price_minor: int
    discount_amount_minor: int = 0

    @property
    def line_total_minor(self) -> int:
        """Unit price times quantity."""
        return self.unit_price_minor * self.quantity


@dataclass(frozen=True, slots=True)
class QuotePackage:
    """What one seller would send. The instants are None where nobody can say when it would arrive.

    lines: 1..100, unique variant_id.
    """

    seller_id: UUID
    owner_user_id: UUID | None
    shop_name: str
    pickup: Address | None
    prep_duration: timedelta
    delivery_fee_minor: int
    earliest_time: datetime | None
    latest_time: datetime | None
    distance_meters: float | None
    lines: tuple[QuoteLine, ...]

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
        """Subtotal less discount plus delivery fee."""
        return self.subtotal_minor - self.discount_amount_minor + self.delivery_fee_minor


@dataclass(frozen=True, slots=True)
class Quote:
    """What an order of the whole cart would cost. packages: in seller_id order, unique seller_id."""

    quote_id: UUID
    currency: str
    address: Address
    packages: tuple[QuotePackage, ...]

    @property
    def total_minor(self) -> int:
        """What is to be paid in all."""
        return sum(package.total_minor for package in self.packages)

    def to_json_text(self) -> str:
        """The payload that is stored."""
        return to_json({name: getattr(self, name) for name in ("currency", "address", "packages")})

    @classmethod
    def from_json_text(cls, quote_id: UUID, text: str) -> Quote:
        """The quote of a stored payload; what a newer version has put in besides is passed over."""
        found = json.loads(text)
        return cls(
            quote_id,
            found["currency"],
            Address.from_json(found["address"]),
            tuple(_package(package) for package in found["packages"]),
        )


@dataclass(frozen=True, slots=True)
class QuoteResult:
    """The quote with its problems; `expire_time` is None, and nothing stored, while a blocking one stands."""

    quote: Quote
    problems: tuple[Problem, ...]
    expire_time: datetime | None


def _package(found: Mapping[str, Any]) -> QuotePackage:
    account, pickup = found["owner_user_id"], found["pickup"]
    earliest, latest = found["earliest_time"], found["latest_time"]
    return QuotePackage(
        seller_id=UUID(found["seller_id"]),
        owner_user_id=None if account is None else UUID(account),
        shop_name=found["shop_name"],
        pickup=None if pickup is None else Address.from_json(pickup),
        prep_duration=timedelta(seconds=found["prep_duration"]),
        delivery_fee_minor=found["delivery_fee_minor"],
        earliest_time=None if earliest is None else datetime.fromisoformat(earliest),
        latest_time=None if latest is None else datetime.fromisoformat(latest),
        distance_meters=found["distance_meters"],
        lines=tuple(_line(line) for line in found["lines"]),
    )


def _line(found: Mapping[str, Any]) -> QuoteLine:
    return QuoteLine(
        item_id=UUID(found["item_id"]),
        variant_id=UUID(found["variant_id"]),
        product_id=UUID(found["product_id"]),
        title=found["title"],
        sku=found["sku"],
        options=found["options"],
        image_url=found["image_url"],
        quantity=found["quantity"],
        unit_price_minor=found["unit_price_minor"],
        discount_amount_minor=found["discount_amount_minor"],
    )
