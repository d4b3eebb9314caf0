"""Quoting what an order of the whole cart to an address would cost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from marketd.auth import service as auth
from marketd.cart.errors import AddressNotServiceable, CartEmpty
from marketd.cart.ports import DeliveryQuote, DeliveryQuoter
from marketd.cart.quotes import repository
from marketd.cart.quotes.values import Quote, QuoteLine, QuotePackage, QuoteResult
from marketd.cart.read import find_cart
from marketd.cart.values import CartItem, Problem, ProblemKind, has_blocking
from marketd.catalog.values import Offer
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.address import Address
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import MAX_UNITS, minor_digits
from marketd.seller import service as sellers
from marketd.seller.model import SellerState
from marketd.seller.values import Seller


async def quote_order(
    uow: UnitOfWork,
    caller: Caller,
    destination: Address | UUID,
    quoter: DeliveryQuoter,
    currency: str,
    lifetime: timedelta,
) -> QuoteResult:
    """Quote the caller's cart for an address, written out or by the id of one that the caller has saved.

    Raises NotFound for the saved addresses of others, CartEmpty, and AddressNotServiceable when no seller delivers.
    """
    if isinstance(destination, Address):
        address = destination
    else:
        address = (await auth.get_address(uow, caller, destination)).postal_address
    cart = await find_cart(uow, caller, currency)
    if cart is None or not cart.items:
        raise CartEmpty
    by_seller: dict[UUID, list[tuple[CartItem, Offer]]] = defaultdict(list)
    for priced in cart.items:
        if priced.offer is not None:
            by_seller[priced.offer.seller_id].append((priced.item, priced.offer))
    problems = list(cart.problems)
    packages: list[QuotePackage] = []
    served = 0
    for seller_id in sorted(by_seller):
        seller = await sellers.read_seller(uow, seller_id)
        prep_duration = _prep_duration(seller)
        pickup = seller.pickup_address.point if seller is not None and seller.pickup_address is not None else None
        delivery = await quoter.quote(uow, pickup, address.point, prep_duration)
        served += delivery is not None
        problems.extend(_problems(seller_id, seller, delivery))
        packages.append(_package(seller_id, seller, delivery, by_seller[seller_id]))
    if packages and not served:
        raise AddressNotServiceable
    quote = Quote(new_id(), currency, await _complete(uow, caller, address), tuple(packages))
    problems.extend(_too_high(quote))
    if has_blocking(problems):
        return QuoteResult(quote, tuple(problems), None)
    expire_time = uow.now + lifetime
    await repository.store(
        uow.connection, quote.quote_id, caller.known_user_id, quote.to_json_text(), uow.now, expire_time
    )
    return QuoteResult(quote, tuple(problems), expire_time)


def _prep_duration(seller: Seller | None) -> timedelta:
    return timedelta(0) if seller is None else timedelta(minutes=seller.prep_minutes)


def _too_high(quote: Quote) -> list[Problem]:
    """What PlaceOrder could not be asked for gets no token: no request may name a larger amount."""
    if quote.total_minor <= MAX_UNITS * 10 ** minor_digits(quote.currency):
        return []
    message = f"The total is above {MAX_UNITS:,} {quote.currency}, the most that an order may come to; order less."
    return [Problem(ProblemKind.TOTAL_TOO_HIGH, message)]


def _problems(seller_id: UUID, seller: Seller | None, delivery: DeliveryQuote | None) -> list[Problem]:
    found: list[Problem] = []
    if seller is None or seller.state is not SellerState.ACTIVE:
        found.append(Problem(ProblemKind.SELLER_CLOSED, "This seller takes no orders now.", seller_id=seller_id))
    if delivery is None:
        message = "This seller does not deliver to the address."
        found.append(Problem(ProblemKind.ADDRESS_NOT_SERVICEABLE, message, seller_id=seller_id))
    return found


def _package(
    seller_id: UUID, seller: Seller | None, delivery: DeliveryQuote | None, items: list[tuple[CartItem, Offer]]
) -> QuotePackage:
    return QuotePackage(
        seller_id=seller_id,
        owner_user_id=None if seller is None else seller.owner_user_id,
        shop_name="" if seller is None else seller.shop_name,
        pickup=None if seller is None else seller.pickup_address,
        prep_duration=_prep_duration(seller),
        delivery_fee_minor=0 if delivery is None else delivery.fee.amount_minor,
        earliest_time=None if delivery is None else delivery.earliest_time,
        latest_time=None if delivery is None else delivery.latest_time,
        distance_meters=None if delivery is None else delivery.distance_meters,
        lines=tuple(
            QuoteLine(
                item_id=item.item_id,
                variant_id=offer.variant_id,
                product_id=offer.product_id,
                title=offer.title,
                sku=offer.sku,
                options=dict(offer.options),
                image_url=offer.image_url,
                quantity=item.quantity,
                unit_price_minor=offer.price.amount_minor,
            )
            for item, offer in items
        ),
    )


async def _complete(uow: UnitOfWork, caller: Caller, address: Address) -> Address:
    """The address with the account's name and phone where it has none, as the contract says."""
    if address.recipient and address.phone:
        return address
    profile = await auth.read_profile(uow, caller.known_user_id)
    return replace(address, recipient=address.recipient or profile.full_name, phone=address.phone or profile.phone)
