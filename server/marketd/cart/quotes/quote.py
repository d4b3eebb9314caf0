"""Quoting what an order of the whole cart to an address would cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from marketd.auth import service as auth
from marketd.cart.errors import AddressNeeded, AddressNotServiceable, CartEmpty, GuestCartGone
from marketd.cart.owner import CartOwner
from marketd.cart.ports import DeliveryQuote, DeliveryQuoter
from marketd.cart.pricing import Pricing, lines_of, promo_lines
from marketd.cart.quotes import repository
from marketd.cart.quotes.values import Quote, QuoteLine, QuotePackage, QuoteResult
from marketd.cart.read import find_lines
from marketd.cart.values import CartItem, PricedCart, Problem, ProblemKind, has_blocking, promo_problem
from marketd.catalog import service as catalog
from marketd.catalog.values import Offer
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.address import Address
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import MAX_UNITS, Money, minor_digits
from marketd.promotion import service as promotions
from marketd.promotion.ports import BuyerHistory
from marketd.seller import service as sellers
from marketd.seller.model import SellerState
from marketd.seller.values import Seller

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class QuoteTerms:
    """What the marketplace has settled about quotes.

    lifetime: how long one is good. order_ahead: how long before it opens a shop takes orders. tax_rate: where no
    category says one, and of delivery fees; see kernel.values.tax. media_url: below it stand uploaded pictures.
    history: who knows whether somebody has ordered before.
    """

    currency: str
    lifetime: timedelta
    order_ahead: timedelta
    tax_rate: int
    media_url: str
    history: BuyerHistory

    @property
    def pricing(self) -> Pricing:
        """What pricing the cart takes."""
        return Pricing(self.currency, self.history)


async def quote_order(
    uow: UnitOfWork, caller: Caller, destination: Address | UUID | None, quoter: DeliveryQuoter, terms: QuoteTerms
) -> QuoteResult:
    """Quote the caller's cart for an address, written out or by the id of one that the caller has saved; none is needed
    for goods that need no shipping alone.

    A shop that is closed prepares from its opening on; a package whose shop does not open soon enough is a problem,
    also when nothing of it is sent, because somebody there has to see to it. Raises NotFound for the saved addresses of
    others, CartEmpty, AddressNeeded, AddressNotServiceable when no seller delivers and everything is to be sent, and
    GuestCartGone, and ConcurrentUpdate for an account that ends meanwhile. Guests have no saved address; where theirs
    lacks a name or a phone, ordering completes it.
    """
    owner = CartOwner.of(caller)
    cart = await find_lines(uow, owner, terms.pricing)
    if isinstance(destination, UUID):
        address: Address | None = (await auth.get_address(uow, caller, destination)).postal_address
    else:
        address = destination
    if cart is None or not cart.items:
        raise CartEmpty
    by_seller: dict[UUID, list[tuple[CartItem, Offer]]] = defaultdict(list)
    for priced in cart.items:
        if priced.offer is not None:
            by_seller[priced.offer.seller_id].append((priced.item, priced.offer))
    problems = list(cart.problems)
    offers = [offer for items in by_seller.values() for _, offer in items]
    if not any(offer.requires_shipping for offer in offers):
        # What is not sent keeps nobody's address, also when one was given.
        address = None
    elif address is None:
        raise AddressNeeded
    variant_ids = [offer.variant_id for offer in offers]
    rates = await catalog.read_tax_rates(uow.connection, variant_ids)
    packages: list[QuotePackage] = []
    served = 0
    for seller_id in sorted(by_seller):
        seller = await sellers.read_seller(uow, seller_id)
        opens = _opening(seller, uow.now)
        lines = tuple(_line(item, offer, rates, terms) for item, offer in by_seller[seller_id])
        is_sent = address is not None and any(line.requires_shipping for line in lines)
        delivery = None
        if address is not None and is_sent:
            pickup = seller.pickup_address.point if seller is not None and seller.pickup_address is not None else None
            delivery = await quoter.quote(uow, pickup, address.point, _prep_duration(seller), opens or uow.now)
        is_served = delivery is not None or not is_sent
        served += is_served
        problems.extend(_problems(seller_id, seller, is_served=is_served))
        if seller is not None and seller.sells and (opens is None or opens - uow.now > terms.order_ahead):
            problems.append(_closed(seller, opens))
        open_time = None if opens == uow.now else opens
        package = _package(seller_id, seller, delivery, open_time, lines, terms.tax_rate)
        packages.append(package if opens is not None else replace(package, earliest_time=None, latest_time=None))
    if packages and not served:
        raise AddressNotServiceable
    if owner.user_id is not None and address is not None:
        address = await complete(uow, owner.user_id, address)
    quote = Quote(new_id(), terms.currency, address, tuple(packages))
    quote, promo_problems = await _discounted(uow, owner, cart, quote, terms.pricing)
    problems.extend(promo_problems)
    problems.extend(_too_high(quote))
    if has_blocking(problems):
        return QuoteResult(quote, tuple(problems), None)
    expire_time = uow.now + terms.lifetime
    if not await repository.store(uow.connection, quote.quote_id, owner, quote.to_json_text(), uow.now, expire_time):
        raise GuestCartGone if owner.is_guest else ConcurrentUpdate
    return QuoteResult(quote, tuple(problems), expire_time)


async def _discounted(
    uow: UnitOfWork, owner: CartOwner, cart: PricedCart, quote: Quote, pricing: Pricing
) -> tuple[Quote, list[Problem]]:
    """The quote with what the cart's promo codes take off, and why the others do not."""
    if not cart.cart.promo_code_ids:
        return quote, []
    evaluation = await promotions.evaluate(
        uow, cart.cart.promo_code_ids, lines_of(cart), quote.fees, owner.user_id, pricing.history
    )
    return quote.discounted(evaluation.promotions), [promo_problem(each) for each in evaluation.problems]


async def requote(
    uow: UnitOfWork, quote: Quote, prices: Mapping[UUID, Money], user_id: UUID, history: BuyerHistory
) -> Quote:
    """The quote at other prices, with what its promo codes take off now."""
    packages = tuple(
        replace(
            package,
            lines=tuple(
                replace(line, unit_price_minor=prices[line.variant_id].amount_minor, discount_amount_minor=0)
                for line in package.lines
            ),
            delivery_discount_amount_minor=0,
        )
        for package in quote.packages
    )
    bare = replace(quote, packages=packages, promotions=())
    codes = [promotion.promo_code_id for promotion in quote.promotions]
    if not codes:
        return bare
    quantities = {line.variant_id: line.quantity for package in packages for line in package.lines}
    offers = await catalog.read_offers(uow.connection, list(quantities))
    lines = promo_lines((offers.get(variant_id), quantity) for variant_id, quantity in quantities.items())
    evaluation = await promotions.evaluate(uow, codes, lines, bare.fees, user_id, history)
    return bare.discounted(evaluation.promotions)


def _prep_duration(seller: Seller | None) -> timedelta:
    return timedelta(0) if seller is None else seller.prep_duration


def _opening(seller: Seller | None, now: datetime) -> datetime | None:
    """When the shop is open next: now where it is, None where it does not open at all."""
    return now if seller is None else sellers.next_open(seller, now)


def _closed(seller: Seller, opens: datetime | None) -> Problem:
    if opens is None:
        message = f"{seller.shop_name} is closed and does not say when it opens; take its items out of the cart."
    else:
        clock = opens.astimezone(ZoneInfo(seller.time_zone))
        when = f"{_DAYS[clock.weekday()]}, {clock:%Y-%m-%d at %H:%M} ({seller.time_zone})"
        message = (
            f"{seller.shop_name} is closed and opens on {when}; come back later, or take its items out of the cart."
        )
    return Problem(ProblemKind.SELLER_CLOSED, message, seller_id=seller.seller_id)


def _too_high(quote: Quote) -> list[Problem]:
    """What PlaceOrder could not be asked for gets no token: no request may name a larger amount."""
    if quote.total_minor <= MAX_UNITS * 10 ** minor_digits(quote.currency):
        return []
    message = f"The total is above {MAX_UNITS:,} {quote.currency}, the most that an order may come to; order less."
    return [Problem(ProblemKind.TOTAL_TOO_HIGH, message)]


def _problems(seller_id: UUID, seller: Seller | None, *, is_served: bool) -> list[Problem]:
    found: list[Problem] = []
    if seller is None or seller.state is not SellerState.ACTIVE:
        found.append(Problem(ProblemKind.SELLER_CLOSED, "This seller takes no orders now.", seller_id=seller_id))
    if not is_served:
        message = "This seller does not deliver to the address."
        found.append(Problem(ProblemKind.ADDRESS_NOT_SERVICEABLE, message, seller_id=seller_id))
    return found


def _package(
    seller_id: UUID,
    seller: Seller | None,
    delivery: DeliveryQuote | None,
    open_time: datetime | None,
    lines: tuple[QuoteLine, ...],
    tax_rate: int,
) -> QuotePackage:
    return QuotePackage(
        seller_id=seller_id,
        owner_user_id=None if seller is None else seller.owner_user_id,
        shop_name="" if seller is None else seller.shop_name,
        pickup=None if seller is None else seller.pickup_address,
        prep_duration=_prep_duration(seller),
        open_time=open_time,
        delivery_fee_minor=0 if delivery is None else delivery.fee.amount_minor,
        delivery_tax_rate=tax_rate,
        earliest_time=None if delivery is None else delivery.earliest_time,
        latest_time=None if delivery is None else delivery.latest_time,
        distance_meters=None if delivery is None else delivery.distance_meters,
        lines=lines,
    )


def _line(item: CartItem, offer: Offer, rates: Mapping[UUID, int | None], terms: QuoteTerms) -> QuoteLine:
    rate = rates.get(offer.variant_id)
    return QuoteLine(
        item_id=item.item_id,
        variant_id=offer.variant_id,
        product_id=offer.product_id,
        title=offer.title,
        sku=offer.sku,
        options=dict(offer.options),
        image_url="" if offer.image is None else offer.image.address(terms.media_url),
        image_media_id=None if offer.image is None else offer.image.media_id,
        quantity=item.quantity,
        unit_price_minor=offer.price.amount_minor,
        tax_rate=terms.tax_rate if rate is None else rate,
        requires_shipping=offer.requires_shipping,
    )


async def complete(uow: UnitOfWork, user_id: UUID, address: Address) -> Address:
    """The address with the account's name and phone where it has none, as the contract says."""
    if address.recipient and address.phone:
        return address
    profile = await auth.read_profile(uow, user_id)
    return replace(address, recipient=address.recipient or profile.full_name, phone=address.phone or profile.phone)
