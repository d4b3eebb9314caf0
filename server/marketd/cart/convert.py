"""Carts and quotes as messages."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from google.type.money_pb2 import Money as MoneyMessage
from marketplace.cart.v1 import cart_pb2, cart_service_pb2, quote_pb2
from marketplace.promotion.v1 import promo_code_pb2

from marketd.cart.quotes.values import Quote, QuoteLine, QuotePackage, QuoteResult
from marketd.cart.values import PricedCart, PricedItem, Problem, ProblemKind, promo_problem
from marketd.cart.watch import CartReset, CartSnapshot, CartUpdate
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import Beat
from marketd.kernel.values.address import Address
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.money import Money
from marketd.kernel.wire import from_address, to_address, to_duration, to_money, to_stream_reset, to_timestamp
from marketd.promotion.model import Funding, PromoKind
from marketd.promotion.values import Promotion

_KINDS = EnumMap(ProblemKind, cart_pb2.ProblemKind)
_FUNDINGS = EnumMap(Funding, promo_code_pb2.PromoCodeFunding)


def from_destination(request: cart_service_pb2.QuoteOrderRequest) -> Address | UUID | None:
    """Where to deliver: an address, or the id of a saved one; None where nothing is said."""
    match request.WhichOneof("destination"):
        case "address":
            return from_address(request.address)
        case "address_id":
            return UUID(request.address_id)
        case _:
            return None


def to_cart(priced: PricedCart, media_url: str) -> cart_pb2.Cart:
    """marketplace.cart.v1.Cart; uploaded pictures stand below `media_url`."""
    cart, subtotal, discount = priced.cart, priced.subtotal, priced.discount
    return cart_pb2.Cart(
        cart_id=str(cart.cart_id),
        guest=cart.guest,
        items=[_item(item, media_url) for item in priced.items],
        total_quantity=sum(item.quantity for item in cart.items),
        subtotal=to_money(subtotal),
        promo_codes=_codes(priced) if cart.promo_code_ids else (),
        discount_amount=to_money(discount),
        total=to_money(subtotal - discount),
        create_time=to_timestamp(cart.create_time),
        update_time=to_timestamp(cart.update_time),
        etag=etag_of(cart.version),
    )


def _codes(priced: PricedCart) -> list[cart_pb2.AppliedPromoCode]:
    """The cart's codes in the order in which they were applied."""
    applied: dict[UUID | None, cart_pb2.AppliedPromoCode] = {}
    for promotion in priced.evaluation.promotions:
        applied[promotion.promo_code_id] = cart_pb2.AppliedPromoCode(
            code=promotion.code,
            discount_amount=to_money(Money(promotion.discount_minor, priced.currency)),
            free_delivery=promotion.kind is PromoKind.FREE_DELIVERY,
        )
    for found in priced.evaluation.problems:
        applied[found.promo_code_id] = cart_pb2.AppliedPromoCode(
            code=found.code,
            discount_amount=to_money(Money(0, priced.currency)),
            problem=to_problem(promo_problem(found)),
        )
    return [applied[each] for each in priced.cart.promo_code_ids]


def _item(priced: PricedItem, media_url: str) -> cart_pb2.CartItem:
    item, offer = priced.item, priced.offer
    message = cart_pb2.CartItem(
        item_id=str(item.item_id),
        variant_id=str(item.variant_id),
        quantity=item.quantity,
        unit_price=to_money(priced.unit_price),
        line_total=to_money(priced.line_total),
        problems=[to_problem(problem) for problem in priced.problems],
        create_time=to_timestamp(item.create_time),
        update_time=to_timestamp(item.update_time),
    )
    if offer is not None:
        message.product_id = str(offer.product_id)
        message.seller_id = str(offer.seller_id)
        message.title = offer.title
        message.requires_shipping = offer.requires_shipping
        if offer.sku:
            message.sku = offer.sku
        message.options.update(dict(offer.options))
        if offer.image is not None:
            message.image_url = offer.image.address(media_url)
        if offer.compare_at_price is not None:
            message.compare_at_price.CopyFrom(to_money(offer.compare_at_price))
    return message


def to_problem(problem: Problem) -> cart_pb2.Problem:
    """marketplace.cart.v1.Problem."""
    return cart_pb2.Problem(
        kind=_KINDS.to_wire(problem.kind),
        blocking=problem.blocking,
        message=problem.message,
        item_id=_id(problem.item_id),
        variant_id=_id(problem.variant_id),
        seller_id=_id(problem.seller_id),
        promo_code=problem.promo_code,
        available_quantity=problem.available_quantity,
        previous_price=None if problem.previous_price is None else to_money(problem.previous_price),
        current_price=None if problem.current_price is None else to_money(problem.current_price),
    )


def _id(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)


def to_watch(
    news: CartSnapshot[cart_pb2.Cart] | CartUpdate[cart_pb2.Cart] | CartReset | Beat, resume_token: str
) -> cart_service_pb2.WatchCartResponse:
    """One message of WatchCart."""
    response = cart_service_pb2.WatchCartResponse(resume_token=resume_token)
    match news:
        case CartSnapshot():
            response.snapshot.cart.CopyFrom(news.shown)
        case CartUpdate():
            response.cart.CopyFrom(news.shown)
        case Beat():
            response.heartbeat.server_time.CopyFrom(to_timestamp(news.time))
        case CartReset():
            response.reset.CopyFrom(to_stream_reset(news.reason))
    return response


def to_quote(result: QuoteResult, token: str) -> cart_service_pb2.QuoteOrderResponse:
    """The response of QuoteOrder; `token` is empty while a blocking problem stands."""
    quote = result.quote

    def money(amount_minor: int) -> MoneyMessage:
        return to_money(Money(amount_minor, quote.currency))

    earliest = [package.earliest_time for package in quote.packages if package.earliest_time is not None]
    latest = [package.latest_time for package in quote.packages if package.latest_time is not None]
    return cart_service_pb2.QuoteOrderResponse(
        packages=[_package(quote, package) for package in quote.packages],
        discounts=[discount for package in quote.packages for discount in _discounts(quote, package)],
        promotions=[
            _promotion(quote, each, each.discount_minor, each.delivery_discount_minor) for each in quote.promotions
        ],
        delivery_discount_amount=money(sum(package.delivery_discount_amount_minor for package in quote.packages)),
        subtotal=money(sum(package.subtotal_minor for package in quote.packages)),
        discount_amount=money(sum(package.discount_amount_minor for package in quote.packages)),
        delivery_fee=money(sum(package.delivery_fee_minor for package in quote.packages)),
        total=money(quote.total_minor),
        tax_amount=money(quote.tax_amount_minor),
        eta=to_eta(min(earliest, default=None), max(latest, default=None)),
        problems=[to_problem(problem) for problem in result.problems],
        quote_token=token or None,
        expire_time=None if result.expire_time is None else to_timestamp(result.expire_time),
        address=None if quote.address is None else to_address(quote.address),
    )


def to_eta(earliest: datetime | None, latest: datetime | None) -> quote_pb2.EtaBand | None:
    """marketplace.cart.v1.EtaBand; None when nobody can say."""
    if earliest is None or latest is None:
        return None
    return quote_pb2.EtaBand(earliest_time=to_timestamp(earliest), latest_time=to_timestamp(latest))


def _package(quote: Quote, package: QuotePackage) -> quote_pb2.QuotePackage:
    def money(amount_minor: int) -> MoneyMessage:
        return to_money(Money(amount_minor, quote.currency))

    return quote_pb2.QuotePackage(
        seller_id=str(package.seller_id),
        shop_name=package.shop_name,
        items=[_quote_item(quote, line) for line in package.lines],
        subtotal=money(package.subtotal_minor),
        discount_amount=money(package.discount_amount_minor),
        delivery_fee=money(package.delivery_fee_minor),
        delivery_discount_amount=money(package.delivery_discount_amount_minor),
        promotions=[_promotion(quote, each, *shares) for each, shares in _shares(quote, package)],
        total=money(package.total_minor),
        tax_amount=money(package.tax_amount_minor),
        eta=to_eta(package.earliest_time, package.latest_time),
        prep_duration=to_duration(package.prep_duration),
        open_time=None if package.open_time is None else to_timestamp(package.open_time),
        distance_meters=package.distance_meters,
    )


def _shares(quote: Quote, package: QuotePackage) -> list[tuple[Promotion, tuple[int, int]]]:
    """The promotions that take something off the package: of its lines, and of its delivery."""
    found = []
    for promotion in quote.promotions:
        lines = sum(promotion.line_shares.get(line.variant_id, 0) for line in package.lines)
        delivery = promotion.delivery_shares.get(package.seller_id, 0)
        if lines or delivery:
            found.append((promotion, (lines, delivery)))
    return found


def _promotion(quote: Quote, promotion: Promotion, lines: int, delivery: int) -> quote_pb2.AppliedPromotion:
    return to_promotion(
        promotion.promo_code_id,
        promotion.code,
        promotion.funded_by,
        Money(lines, quote.currency),
        Money(delivery, quote.currency),
    )


def to_promotion(
    promo_code_id: UUID, code: str, funded_by: Funding, discount: Money, delivery_discount: Money
) -> quote_pb2.AppliedPromotion:
    """marketplace.cart.v1.AppliedPromotion."""
    return quote_pb2.AppliedPromotion(
        promo_code_id=str(promo_code_id),
        code=code,
        funded_by=_FUNDINGS.to_wire(funded_by),
        discount_amount=to_money(discount),
        delivery_discount_amount=to_money(delivery_discount),
    )


def _discounts(quote: Quote, package: QuotePackage) -> list[quote_pb2.QuoteDiscount]:
    """The package's promotions in words."""
    found = []
    for promotion, shares in _shares(quote, package):
        amount = Money(sum(shares), quote.currency)
        found.append(
            quote_pb2.QuoteDiscount(
                promo_code=promotion.code,
                description=promotion.description or f"{promotion.code} takes {amount} off.",
                seller_id=str(package.seller_id),
                amount=to_money(amount),
            )
        )
    return found


def _quote_item(quote: Quote, line: QuoteLine) -> quote_pb2.QuoteItem:
    return quote_pb2.QuoteItem(
        item_id=str(line.item_id),
        variant_id=str(line.variant_id),
        product_id=str(line.product_id),
        title=line.title,
        sku=line.sku or None,
        options=line.options,
        quantity=line.quantity,
        unit_price=to_money(Money(line.unit_price_minor, quote.currency)),
        line_total=to_money(Money(line.line_total_minor, quote.currency)),
        discount_amount=to_money(Money(line.discount_amount_minor, quote.currency)),
        requires_shipping=line.requires_shipping,
    )
