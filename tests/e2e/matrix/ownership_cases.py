"""Calls with somebody else's id: how each is asked, and by whom."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from marketd.kernel.call.caller import Role
from marketplace.auth.v1 import address_pb2, auth_service_pb2, user_pb2, user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.media.v1 import media_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2

from tests.e2e.matrix.recipes_identity import new_address
from tests.e2e.matrix.recipes_media import new_media
from tests.worlds.matrix import Market
from tests.worlds.things import Person, money, new_key, new_product, new_shop


@dataclass(frozen=True)
class Question:
    """A call with somebody else's id. `ask` makes the same call with any id."""

    caller: Person | None
    foreign: str
    ask: Callable[[str], Message | tuple[Message, ...]]


Case = Callable[[Market, str], Awaitable[Question]]


@dataclass(frozen=True)
class Owned:
    """An id that is somebody's, and the kinds of callers to whom it must look like one that there is not.

    is_attribute: it says something of a thing that is the caller's own, so it is no use rather than not found.
    """

    strangers: tuple[str, ...]
    case: Case
    is_attribute: bool = False


def id_fields(message: Any, prefix: str = "") -> Iterator[str]:
    """The paths of the fields of a request that name something: ids, tokens, handles and slugs."""
    for field in message.fields:
        if field.message_type is not None:
            if not field.message_type.GetOptions().map_entry:
                yield from id_fields(field.message_type, f"{prefix}{field.name}{'[]' if field.is_repeated else ''}.")
        elif field.type == field.TYPE_STRING and (
            field.name.endswith(("_id", "_ids", "token")) or field.name in ("handle", "slug")
        ):
            yield prefix + field.name


def missing_like(identifier: str) -> str:
    """An id of the same form that nothing has."""
    try:
        UUID(identifier)
    except ValueError:
        return secrets.token_hex(len(identifier))[: len(identifier)]
    return str(uuid4())


def stranger(market: Market, who: str) -> Person | None:
    """Somebody of this kind who has nothing to do with the market's trip, its shop or its goods."""
    known = {"BUYER": market.buyer, "SELLER": market.rival.owner, "COURIER": market.other_rider.person}
    return known.get(who)


def plain(foreign: Callable[[Market], str], ask: Callable[[str], Any]) -> Case:
    """A case in which the stranger needs nothing but the id."""

    async def case(market: Market, who: str) -> Question:
        return Question(stranger(market, who), foreign(market), ask)

    return case


def private_media(ask: Callable[[str], Any]) -> Case:
    """A proof of somebody who has nothing to do with the stranger."""

    async def case(market: Market, who: str) -> Question:
        media = await new_media(market, await market.register(), media_pb2.MEDIA_PURPOSE_PROOF)
        return Question(stranger(market, who), media.media_id, ask)

    return case


async def pending_seller(market: Market, who: str) -> Question:
    applied = (await market.call(new_shop(), await market.register())).seller
    return Question(
        stranger(market, who), applied.seller_id, lambda one: seller_service_pb2.GetSellerRequest(seller_id=one)
    )


async def pending_handle(market: Market, who: str) -> Question:
    applied = (await market.call(new_shop(), await market.register())).seller
    return Question(stranger(market, who), applied.handle, lambda one: seller_service_pb2.GetSellerRequest(handle=one))


def draft(name: str, ask: Callable[[str], Any]) -> Case:
    """With something of a product that is not published."""

    async def case(market: Market, who: str) -> Question:
        draft = await market.draft()
        found = draft.variants[0].variant_id if name == "variant_id" else getattr(draft, name)
        return Question(stranger(market, who), found, ask)

    return case


def update_product(one: str) -> Message:
    return catalog_service_pb2.UpdateProductRequest(
        product=product_pb2.Product(product_id=one, title="Mine now", etag="stale"),
        update_mask=FieldMask(paths=["title"]),
    )


def create_variant(one: str) -> Message:
    return catalog_service_pb2.CreateVariantRequest(variant=product_pb2.Variant(product_id=one))


def update_variant(one: str) -> Message:
    return catalog_service_pb2.UpdateVariantRequest(
        variant=product_pb2.Variant(variant_id=one, barcode="mine", etag="stale"),
        update_mask=FieldMask(paths=["barcode"]),
    )


def upserted(one: str, field: str) -> Message:
    """Of the seller that is named, or a new variant of the product that is named."""
    named = {"seller_id": one} if field == "seller_id" else {}
    item = catalog_service_pb2.VariantUpsert(
        product_id=one if field == "product_id" else "", variant=product_pb2.Variant(sku=new_key())
    )
    return catalog_service_pb2.BatchUpsertVariantsRequest(items=[item], request_id=new_key(), **named)


def create_product(one: str) -> Message:
    request = new_product()
    request.product.seller_id = one
    return request


def cart_item(ask: Callable[[str], Any], *, with_cart: bool) -> Case:
    """By a buyer with a cart of its own, or by one who never had any."""

    async def case(market: Market, who: str) -> Question:
        _, cart = await market.filled()
        caller = (await market.filled())[0] if with_cart else await market.person(Role.BUYER)
        return Question(caller, cart.items[0].item_id, ask)

    return case


async def cancelled_item(market: Market, who: str) -> Question:
    trip = await market.paid()

    def ask(one: str) -> Message:
        line = order_service_pb2.CancelledLine(item_id=one, quantity=1)
        return order_service_pb2.CancelOrderRequest(request_id=new_key(), order_id=trip.order_id, lines=[line])

    return Question(trip.buyer if who == "BUYER" else trip.shop.owner, market.trip.item_id, ask)


async def refunded_payment(market: Market, who: str) -> Question:
    order_id = market.trip.order_id
    return Question(
        stranger(market, who),
        market.trip.payment_id,
        lambda one: payment_service_pb2.RefundPaymentRequest(
            request_id=new_key(),
            payment_id=one,
            order=payment_service_pb2.OrderRefund(order_id=order_id, amount=money(1)),
        ),
    )


async def refunded_order(market: Market, who: str) -> Question:
    """Of two shops in one payment, one asks for the other's order."""
    group, shops = await market.shared()
    mine = next(order for order in group.orders if order.seller_id == shops[0].seller_id)
    other = next(order for order in group.orders if order.seller_id == shops[1].seller_id)
    assert mine.order_id != other.order_id
    return Question(
        shops[0].owner,
        other.order_id,
        lambda one: payment_service_pb2.RefundPaymentRequest(
            request_id=new_key(),
            payment_id=group.payment.payment_id,
            order=payment_service_pb2.OrderRefund(order_id=one, amount=money(1)),
        ),
    )


async def completed(market: Market, who: str) -> Question:
    """With the right code: knowing it is not enough."""
    trip = await market.picked_up()
    code = await market.code_of(trip)
    return Question(
        stranger(market, who),
        trip.delivery_id,
        lambda one: delivery_service_pb2.CompleteDeliveryRequest(request_id=new_key(), delivery_id=one, code=code),
    )


def order(request: type[Any], **fields: Any) -> Case:
    keyed = {"request_id"} & set(request.DESCRIPTOR.fields_by_name)
    return plain(
        lambda market: market.trip.order_id,
        lambda one: request(order_id=one, **dict.fromkeys(keyed, new_key()), **fields),
    )


def delivery(request: type[Any], **fields: Any) -> Case:
    keyed = {"request_id"} & set(request.DESCRIPTOR.fields_by_name)
    return plain(
        lambda market: market.trip.delivery_id,
        lambda one: request(delivery_id=one, **dict.fromkeys(keyed, new_key()), **fields),
    )


def filtered(request: type[Any], field: str, foreign: Callable[[Market], str]) -> Case:
    many = request.DESCRIPTOR.fields_by_name[field].is_repeated
    return plain(foreign, lambda one: request(**{field: [one] if many else one}))


async def session(market: Market, who: str) -> Question:
    other = await market.register()
    return Question(
        stranger(market, who), other.session_id, lambda one: auth_service_pb2.RevokeSessionRequest(session_id=one)
    )


def update_user(one: str) -> Message:
    return user_service_pb2.UpdateUserRequest(
        user=user_pb2.User(user_id=one, full_name="Mine now", etag="stale"),
        update_mask=FieldMask(paths=["full_name"]),
    )


def update_seller(seller_id: str) -> Message:
    return seller_service_pb2.UpdateSellerRequest(seller=seller_pb2.Seller(seller_id=seller_id, shop_name="Mine"))


def update_address(one: str) -> Message:
    return user_service_pb2.UpdateAddressRequest(
        address=address_pb2.SavedAddress(address_id=one, label="Mine now", etag="stale"),
        update_mask=FieldMask(paths=["label"]),
    )


def address(ask: Callable[[str], Any]) -> Case:
    """With an address out of somebody else's book."""

    async def case(market: Market, who: str) -> Question:
        saved = await new_address(market, await market.person(Role.BUYER))
        return Question(stranger(market, who), saved.address_id, ask)

    return case


async def quoted_address(market: Market, who: str) -> Question:
    saved = await new_address(market, await market.person(Role.BUYER))
    buyer, _ = await market.filled()
    return Question(buyer, saved.address_id, lambda one: cart_service_pb2.QuoteOrderRequest(address_id=one))
