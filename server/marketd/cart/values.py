"""Carts as values: lines with what stands in their way, judged from the offers and the stock of the moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from marketd.catalog.values import Offer
from marketd.kernel.values.money import Money, total


class ProblemKind(StrEnum):
    """The kinds of problems, as in the contract."""

    INSUFFICIENT_STOCK = "INSUFFICIENT_STOCK"
    VARIANT_UNAVAILABLE = "VARIANT_UNAVAILABLE"
    PRICE_CHANGED = "PRICE_CHANGED"
    SELLER_CLOSED = "SELLER_CLOSED"
    ADDRESS_NOT_SERVICEABLE = "ADDRESS_NOT_SERVICEABLE"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the way, or to be known; `is_blocking` when no order can be placed before it is solved."""

    kind: ProblemKind
    message: str
    is_blocking: bool = True
    item_id: UUID | None = None
    variant_id: UUID | None = None
    seller_id: UUID | None = None
    available_quantity: int | None = None
    previous_price: Money | None = None
    current_price: Money | None = None


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line as the database holds it; `price` is the price when it was last changed."""

    item_id: UUID
    variant_id: UUID
    quantity: int
    price: Money
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class StoredCart:
    """A cart as the database holds it, its lines in the order in which they were first added."""

    cart_id: UUID
    is_guest: bool
    version: int
    create_time: datetime
    update_time: datetime
    lines: tuple[StoredLine, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its price and title as they are now; `offer` is None when the variant is gone from the catalog."""

    stored: StoredLine
    offer: Offer | None
    available: int
    problems: tuple[Problem, ...]

    @property
    def unit_price(self) -> Money:
        """The price now; of a variant that is gone, the last one known."""
        return self.offer.price if self.offer is not None else self.stored.price

    @property
    def line_total(self) -> Money:
        """Unit price times quantity."""
        return self.unit_price.times(self.stored.quantity)


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart as its owner sees it."""

    stored: StoredCart
    lines: tuple[Line, ...]
    currency: str

    @property
    def subtotal(self) -> Money:
        """The sum of the lines."""
        return total((line.line_total for line in self.lines), self.currency)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of all lines."""
        return tuple(problem for line in self.lines for problem in line.problems)


def judge(stored: StoredLine, offer: Offer | None, available: int) -> Line:
    """The line with its problems. A changed price is told but does not block: the quote shows the new one."""
    if offer is None or not offer.is_buyable:
        gone = Problem(
            ProblemKind.VARIANT_UNAVAILABLE,
            "This is not for sale any more.",
            item_id=stored.item_id,
            variant_id=stored.variant_id,
            seller_id=offer.seller_id if offer is not None else None,
        )
        return Line(stored, offer, available, (gone,))
    problems: list[Problem] = []
    if available < stored.quantity:
        problems.append(
            Problem(
                ProblemKind.INSUFFICIENT_STOCK,
                f"Only {available} left." if available > 0 else "This is sold out.",
                item_id=stored.item_id,
                variant_id=stored.variant_id,
                seller_id=offer.seller_id,
                available_quantity=max(0, available),
            )
        )
    if offer.price != stored.price:
        problems.append(
            Problem(
                ProblemKind.PRICE_CHANGED,
                f"The price changed from {stored.price} to {offer.price}.",
                is_blocking=False,
                item_id=stored.item_id,
                variant_id=stored.variant_id,
                seller_id=offer.seller_id,
                previous_price=stored.price,
                current_price=offer.price,
            )
        )
    return Line(stored, offer, available, tuple(problems))


def view(stored: StoredCart, offers: Mapping[UUID, Offer], available: Mapping[UUID, int], currency: str) -> Cart:
    """The cart with every line judged."""
    lines = tuple(judge(line, offers.get(line.variant_id), available.get(line.variant_id, 0)) for line in stored.lines)
    return Cart(stored, lines, currency)


def has_blocking(problems: Iterable[Problem]) -> bool:
    """Whether one of the problems keeps an order from being placed."""
    return any(problem.is_blocking for problem in problems)
