"""Carts as values, and what a cart comes to with the offers and the stock of the moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from marketd.catalog.values import Offer
from marketd.inventory.values import NOTHING, Availability
from marketd.kernel.values.money import Money, total
from marketd.promotion.values import Evaluation, PromoProblem


class ProblemKind(StrEnum):
    """The kinds of problems, as in the contract."""

    INSUFFICIENT_STOCK = "INSUFFICIENT_STOCK"
    VARIANT_UNAVAILABLE = "VARIANT_UNAVAILABLE"
    PRICE_CHANGED = "PRICE_CHANGED"
    SELLER_CLOSED = "SELLER_CLOSED"
    ADDRESS_NOT_SERVICEABLE = "ADDRESS_NOT_SERVICEABLE"
    TOTAL_TOO_HIGH = "TOTAL_TOO_HIGH"
    PROMO_NOT_FOUND = "PROMO_NOT_FOUND"
    PROMO_EXPIRED = "PROMO_EXPIRED"
    PROMO_EXHAUSTED = "PROMO_EXHAUSTED"
    PROMO_NOT_APPLICABLE = "PROMO_NOT_APPLICABLE"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the way, or to be known; `blocking` when no order can be placed before it is solved."""

    kind: ProblemKind
    message: str
    blocking: bool = True
    item_id: UUID | None = None
    variant_id: UUID | None = None
    seller_id: UUID | None = None
    promo_code: str | None = field(default=None, metadata={"audit": False})
    available_quantity: int | None = None
    previous_price: Money | None = None
    current_price: Money | None = None


@dataclass(frozen=True, slots=True)
class CartItem:
    """A variant in a cart; the price is the one when the item was last changed.

    `availability` is read with the item, not kept in it.
    """

    item_id: UUID
    variant_id: UUID
    quantity: int
    price_minor: int
    currency: str
    create_time: datetime
    update_time: datetime
    availability: Availability = NOTHING

    @property
    def price(self) -> Money:
        """The price when the item was last changed."""
        return Money(self.price_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Cart:
    """What a buyer or guest has put together. items: 0..100, unique variant_id, in the order first added.

    user_id: None for a guest's. promo_code_ids: 0..5, unique, in the order applied.
    """

    cart_id: UUID
    user_id: UUID | None
    version: int
    create_time: datetime
    update_time: datetime
    items: tuple[CartItem, ...]
    promo_code_ids: tuple[UUID, ...] = ()

    @property
    def guest(self) -> bool:
        """Whether it is a guest's."""
        return self.user_id is None


@dataclass(frozen=True, slots=True)
class LockedCart:
    """A cart that is locked because it may be about to change."""

    cart_id: UUID
    version: int
    promo_code_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class MergingCarts:
    """The two carts of a merge, both locked; None for one that is not there."""

    guest_cart_id: UUID | None
    own_cart_id: UUID | None


@dataclass(frozen=True, slots=True)
class PricedItem:
    """A cart's item with its price and title as they are now; `offer` is None when the catalog has no such variant."""

    item: CartItem
    offer: Offer | None
    problems: tuple[Problem, ...]

    @property
    def unit_price(self) -> Money:
        """The price now; of a variant that is gone, the last one known."""
        return self.offer.price if self.offer is not None else self.item.price

    @property
    def line_total(self) -> Money:
        """Unit price times quantity."""
        return self.unit_price.times(self.item.quantity)


NO_CODES: Final = Evaluation()


@dataclass(frozen=True, slots=True)
class PricedCart:
    """A cart as its owner sees it now."""

    cart: Cart
    items: tuple[PricedItem, ...]
    currency: str
    evaluation: Evaluation = NO_CODES
    """What its promo codes do."""

    @property
    def subtotal(self) -> Money:
        """The sum of the items."""
        return total((item.line_total for item in self.items), self.currency)

    @property
    def discount(self) -> Money:
        """What promo codes take off the items."""
        promotions = self.evaluation.promotions
        return Money(sum(self.evaluation.line_discounts.values()) if promotions else 0, self.currency)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of all items."""
        return tuple(problem for item in self.items for problem in item.problems)


def price_item(item: CartItem, offer: Offer | None) -> PricedItem:
    """The item with its problems. A changed price is told but does not block: the quote shows the new one."""
    if offer is not None and not offer.seller_sells:
        closed = Problem(
            ProblemKind.SELLER_CLOSED,
            "This seller does not sell at present.",
            item_id=item.item_id,
            variant_id=item.variant_id,
            seller_id=offer.seller_id,
        )
        return PricedItem(item, offer, (closed,))
    if offer is None or not offer.is_buyable:
        gone = Problem(
            ProblemKind.VARIANT_UNAVAILABLE,
            "This is not for sale any more.",
            item_id=item.item_id,
            variant_id=item.variant_id,
            seller_id=offer.seller_id if offer is not None else None,
        )
        return PricedItem(item, offer, (gone,))
    problems: list[Problem] = []
    if not item.availability.covers(item.quantity):
        left = max(0, item.availability.available)
        problems.append(
            Problem(
                ProblemKind.INSUFFICIENT_STOCK,
                f"Only {left} left." if left else "This is sold out.",
                item_id=item.item_id,
                variant_id=item.variant_id,
                seller_id=offer.seller_id,
                available_quantity=left,
            )
        )
    if offer.price_minor != item.price_minor or offer.currency != item.currency:
        problems.append(
            Problem(
                ProblemKind.PRICE_CHANGED,
                f"The price changed from {item.price} to {offer.price}.",
                blocking=False,
                item_id=item.item_id,
                variant_id=item.variant_id,
                seller_id=offer.seller_id,
                previous_price=item.price,
                current_price=offer.price,
            )
        )
    return PricedItem(item, offer, tuple(problems))


def price_cart(cart: Cart, offers: Mapping[UUID, Offer], currency: str) -> PricedCart:
    """The cart with the price and the problems of every item."""
    return PricedCart(cart, tuple(price_item(item, offers.get(item.variant_id)) for item in cart.items), currency)


def promo_problem(found: PromoProblem) -> Problem:
    """What keeps a code from taking anything off; nothing that blocks."""
    return Problem(ProblemKind(found.reason.value), found.message, blocking=False, promo_code=found.code)


def has_blocking(problems: Iterable[Problem]) -> bool:
    """Whether one of the problems keeps an order from being placed."""
    return any(problem.blocking for problem in problems)
