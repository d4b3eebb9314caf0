"""PlaceOrder: everything that makes a quote an order, in one transaction. No network inside; it may run twice.

The order of the statements is chosen for its locks: the buyer's own rows first, the stock, which other buyers wait for,
last. A refusal anywhere undoes everything, also the use of the quote.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from marketd.cart import service as carts
from marketd.cart.errors import CartEmpty, QuoteExpired
from marketd.cart.quotes.values import Quote, QuoteKey, QuotePackage
from marketd.catalog import service as catalog
from marketd.inventory import service as inventory
from marketd.inventory.values import StockLine
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id, new_order_number
from marketd.kernel.values.money import Money
from marketd.order import repository
from marketd.order.codes import promotions_of
from marketd.order.errors import PriceChanged, PriceDifference, ShopClosed
from marketd.order.events import OrderPlaced
from marketd.order.expire import enqueue_expiry
from marketd.order.model import OrderState
from marketd.order.pay import mark_paid
from marketd.order.service import has_ordered
from marketd.order.transition import make_event
from marketd.order.values import Order, OrderItem
from marketd.payment import service as payments
from marketd.payment.values import Payment
from marketd.promotion import service as promotions
from marketd.promotion.errors import TermsChanged
from marketd.seller import service as sellers
from marketd.seller.model import SellerState


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Order a quote; `provider` is a name that payment.ports.Providers has resolved."""

    quote: QuoteKey
    expected_total: Money
    provider: str


@dataclass(frozen=True, slots=True)
class PlaceTerms:
    """What the marketplace has settled about new orders: how long they may be unpaid, and then unaccepted."""

    unpaid_lifetime: timedelta
    accept_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class PlacedGroup:
    """The new orders and their payment. orders: 1 or more, unique seller_id."""

    order_group_id: UUID
    orders: tuple[Order, ...]
    payment: Payment


async def place_order(uow: UnitOfWork, caller: Caller, command: PlaceOrder, terms: PlaceTerms) -> PlacedGroup:
    """Place the order that was quoted. One of which nothing is to be paid is PAID at once.

    Raises QuoteExpired, CartEmpty, ShopClosed, PriceChanged, InsufficientStock, and the refusals of promo codes.
    """
    quote = await carts.take_quote(uow, command.quote, caller.known_user_id)
    lines = [StockLine(line.variant_id, line.quantity) for package in quote.packages for line in package.lines]
    if not lines:
        raise CartEmpty
    await _check_prices(uow, caller, quote, command, [line.variant_id for line in lines])

    group_id, payment_id = new_id(), new_id()
    expire_time = uow.now + terms.unpaid_lifetime
    orders = tuple(
        _order(uow, caller, quote, package, group_id=group_id, payment_id=payment_id, expire_time=expire_time)
        for package in quote.packages
    )
    payment = payments.new_payment(
        uow,
        group_id,
        caller.known_user_id,
        Money(quote.total_minor, quote.currency),
        command.provider,
        expire_time=expire_time,
        payment_id=payment_id,
    )
    await repository.insert(uow.connection, quote.quote_id, orders, payment)
    for order in orders:
        told = {"item_count": sum(item.quantity for item in order.items)}
        uow.emit(make_event(OrderPlaced, order, order.state, told))
    if payment.state.is_open:
        enqueue_expiry(uow, group_id, expire_time)
    else:
        orders = tuple([await mark_paid(uow, order, payment_id, terms.accept_lifetime) for order in orders])
    # The hot rows last: other buyers with these codes, and of these variants, wait from here to the commit.
    if quote.promotions:
        try:
            # The buyer's cart is locked, so the buyer's other orders are placed before this one or after it.
            await promotions.redeem(uow, caller.known_user_id, group_id, quote.promotions, has_ordered)
        except TermsChanged:
            raise QuoteExpired(command.quote.expire_time) from None
    await inventory.reserve(uow, lines, group_id)
    return PlacedGroup(group_id, orders, payment)


async def _check_prices(
    uow: UnitOfWork, caller: Caller, quote: Quote, command: PlaceOrder, variant_ids: list[UUID]
) -> None:
    """Raises ShopClosed, QuoteExpired for what is not for sale any more, and PriceChanged."""
    offers = await catalog.read_prices(uow.connection, variant_ids)
    changed: list[PriceDifference] = []
    for package in quote.packages:
        for line in package.lines:
            offer = offers.get(line.variant_id)
            if offer is None or not offer.is_buyable:
                await _refuse_unbuyable(uow, package.seller_id)
                raise QuoteExpired(command.quote.expire_time)
            quoted = Money(line.unit_price_minor, quote.currency)
            if offer.price != quoted:
                changed.append(PriceDifference(line.variant_id, quoted, offer.price))
    current = Money(quote.total_minor, quote.currency)
    if changed:
        prices = {variant_id: offer.price for variant_id, offer in offers.items()}
        current = await carts.total_at(uow, quote, prices, caller.known_user_id, has_ordered)
    if changed or current != command.expected_total:
        raise PriceChanged(command.expected_total, current, changed)


async def _refuse_unbuyable(uow: UnitOfWork, seller_id: UUID) -> None:
    seller = await sellers.read_seller(uow, seller_id)
    if seller is None or seller.state is not SellerState.ACTIVE:
        raise ShopClosed(seller_id)


def _order(
    uow: UnitOfWork,
    caller: Caller,
    quote: Quote,
    package: QuotePackage,
    *,
    group_id: UUID,
    payment_id: UUID,
    expire_time: datetime,
) -> Order:
    is_told = package.earliest_time is not None and package.latest_time is not None and quote.address is not None
    if package.owner_user_id is None or is_told != package.is_sent:
        raise RuntimeError(f"quote {quote.quote_id} was stored with a package that cannot be ordered")
    item_ids = {line.variant_id: new_id() for line in package.lines}
    return Order(
        order_id=new_id(),
        order_number=new_order_number(),
        order_group_id=group_id,
        buyer_id=caller.known_user_id,
        seller_id=package.seller_id,
        owner_user_id=package.owner_user_id,
        shop_name=package.shop_name,
        pickup=package.pickup,
        address=quote.address if package.is_sent else None,
        currency=quote.currency,
        subtotal_minor=package.subtotal_minor,
        discount_amount_minor=package.discount_amount_minor,
        delivery_fee_minor=package.delivery_fee_minor,
        delivery_discount_amount_minor=package.delivery_discount_amount_minor,
        promotions=promotions_of(quote.promotions, package.seller_id, item_ids),
        total_minor=package.total_minor,
        delivery_tax_rate=package.delivery_tax_rate,
        delivery_tax_amount_minor=package.delivery_tax_amount_minor,
        usual_prep_duration=package.prep_duration,
        shop_open_time=package.open_time,
        eta_earliest_time=package.earliest_time,
        eta_latest_time=package.latest_time,
        create_time=uow.now,
        payment_id=payment_id,
        payment_expire_time=expire_time,
        items=tuple(
            OrderItem(
                item_id=item_ids[line.variant_id],
                variant_id=line.variant_id,
                product_id=line.product_id,
                title=line.title,
                sku=line.sku,
                options=line.options,
                image_url=line.image_url,
                image_media_id=line.image_media_id,
                quantity=line.quantity,
                cancelled_quantity=0,
                unit_price_minor=line.unit_price_minor,
                discount_amount_minor=line.discount_amount_minor,
                tax_rate=line.tax_rate,
                tax_amount_minor=line.tax_amount_minor,
                requires_shipping=line.requires_shipping,
            )
            for line in package.lines
        ),
        state=OrderState.PENDING_PAYMENT,
        version=1,
        due_minor=package.total_minor,
        update_time=uow.now,
    )
