"""What a cart comes to now: the offers and the stock of the moment, and what its promo codes take off.

A cart without codes costs no statement more for them: it is looked at all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from marketd.cart.values import Cart, PricedCart, price_cart
from marketd.catalog import service as catalog
from marketd.catalog.values import Offer
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.promotion import service as promotions
from marketd.promotion.ports import BuyerHistory
from marketd.promotion.values import PromoLine


@dataclass(frozen=True, slots=True)
class Pricing:
    """What pricing a cart takes: the marketplace's currency, and who knows whether somebody has ordered before."""

    currency: str
    history: BuyerHistory


async def price_lines(unit: UnitOfWork | ReadUnit, carts: Sequence[Cart], pricing: Pricing) -> list[PricedCart]:
    """The carts with what their items cost now and what stands in their way; their promo codes are not looked at."""
    variant_ids = dict.fromkeys(item.variant_id for cart in carts for item in cart.items)
    offers = await catalog.read_offers(unit.connection, list(variant_ids))
    return [price_cart(cart, offers, pricing.currency) for cart in carts]


async def price(unit: UnitOfWork | ReadUnit, carts: Sequence[Cart], pricing: Pricing) -> list[PricedCart]:
    """The carts with what their items cost now, what stands in their way, and what their promo codes do."""
    return [await _discounted(unit, priced, pricing) for priced in await price_lines(unit, carts, pricing)]


async def _discounted(unit: UnitOfWork | ReadUnit, priced: PricedCart, pricing: Pricing) -> PricedCart:
    """The cart with what its promo codes take off its items. What they take off deliveries, a quote says."""
    cart = priced.cart
    if not cart.promo_code_ids:
        return priced
    evaluation = await promotions.evaluate(
        unit, cart.promo_code_ids, lines_of(priced), None, cart.user_id, pricing.history
    )
    return replace(priced, evaluation=evaluation)


def lines_of(priced: PricedCart) -> list[PromoLine]:
    """The items that can be bought, as promotions see them."""
    return promo_lines((item.offer, item.item.quantity) for item in priced.items)


def promo_lines(wanted: Iterable[tuple[Offer | None, int]]) -> list[PromoLine]:
    """So many pieces of each offer as promotions see them; what cannot be bought is left out."""
    return [
        PromoLine(
            variant_id=offer.variant_id,
            seller_id=offer.seller_id,
            product_id=offer.product_id,
            category_id=offer.category_id,
            amount_minor=offer.price.times(quantity).amount_minor,
        )
        for offer, quantity in wanted
        if offer is not None and offer.is_buyable
    ]
