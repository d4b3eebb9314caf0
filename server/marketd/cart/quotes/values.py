"""Quotes as values with a JSON form, and the tokens that name them. PlaceOrder takes a quote as it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from marketd.cart.errors import QuoteTokenInvalid
from marketd.config import Settings
from marketd.kernel.call.tokens import SignedToken
from marketd.kernel.events.events import to_json
from marketd.kernel.values.address import Address


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One line at its quoted price."""

    item_id: UUID
    variant_id: UUID
    product_id: UUID
    title: str
    sku: str
    options: Mapping[str, str]
    image_url: str
    quantity: int
    unit_price_minor: int
    discount_minor: int = 0

    @property
    def line_total_minor(self) -> int:
        """Unit price times quantity."""
        return self.unit_price_minor * self.quantity


@dataclass(frozen=True, slots=True)
class QuotePackage:
    """What one seller would send. The instants are None where nobody can say when it would arrive."""

    seller_id: UUID
    owner_user_id: UUID | None
    shop_name: str
    pickup: Address | None
    prep_minutes: int
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
    def discount_minor(self) -> int:
        """What is taken off the lines."""
        return sum(line.discount_minor for line in self.lines)

    @property
    def total_minor(self) -> int:
        """Subtotal less discount plus delivery fee."""
        return self.subtotal_minor - self.discount_minor + self.delivery_fee_minor


@dataclass(frozen=True, slots=True)
class Quote:
    """What an order of the whole cart would cost, by seller."""

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
        return to_json(
            {
                "currency": self.currency,
                "address": self.address.to_json(),
                "packages": [
                    {
                        "seller_id": package.seller_id,
                        "owner_user_id": package.owner_user_id,
                        "shop_name": package.shop_name,
                        "pickup": None if package.pickup is None else package.pickup.to_json(),
                        "prep_minutes": package.prep_minutes,
                        "delivery_fee_minor": package.delivery_fee_minor,
                        "earliest_time": package.earliest_time,
                        "latest_time": package.latest_time,
                        "distance_meters": package.distance_meters,
                        "lines": package.lines,
                    }
                    for package in self.packages
                ],
            }
        )

    @classmethod
    def from_json_text(cls, quote_id: UUID, text: str) -> Quote:
        """The quote of a stored payload."""
        found = json.loads(text)
        return cls(
            quote_id,
            found["currency"],
            Address.from_json(found["address"]),
            tuple(_package(package) for package in found["packages"]),
        )


def _package(found: Mapping[str, Any]) -> QuotePackage:
    account, pickup = found["owner_user_id"], found["pickup"]
    earliest, latest = found["earliest_time"], found["latest_time"]
    return QuotePackage(
        seller_id=UUID(found["seller_id"]),
        owner_user_id=None if account is None else UUID(account),
        shop_name=found["shop_name"],
        pickup=None if pickup is None else Address.from_json(pickup),
        prep_minutes=found["prep_minutes"],
        delivery_fee_minor=found["delivery_fee_minor"],
        earliest_time=None if earliest is None else datetime.fromisoformat(earliest),
        latest_time=None if latest is None else datetime.fromisoformat(latest),
        distance_meters=found["distance_meters"],
        lines=tuple(
            QuoteLine(
                UUID(line["item_id"]),
                UUID(line["variant_id"]),
                UUID(line["product_id"]),
                line["title"],
                line["sku"],
                line["options"],
                line["image_url"],
                line["quantity"],
                line["unit_price_minor"],
                line["discount_minor"],
            )
            for line in found["lines"]
        ),
    )


def quote_tokens_of(settings: Settings) -> QuoteTokens:
    """The quote tokens of a marketplace with these settings."""
    return QuoteTokens(settings.derive("quotes"))


class QuoteTokens:
    """Makes and reads quote tokens: a quote's id, signed, so nobody tries ids that were never given out."""

    def __init__(self, secret: bytes) -> None:
        self._tokens = SignedToken(secret, "quote-tokens")

    def issue(self, quote_id: UUID) -> str:
        """The token of a quote."""
        return self._tokens.issue(quote_id.bytes).decode("ascii")

    def read(self, token: str) -> UUID:
        """The quote's id. Raises QuoteTokenInvalid."""
        body = self._tokens.read(token)
        if body is None or len(body) != 16:
            raise QuoteTokenInvalid
        return UUID(bytes=body)
