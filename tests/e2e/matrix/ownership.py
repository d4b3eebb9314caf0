"""Whose every id in a request is: a case that asks with somebody else's, or the reason why there is no such thing.

The tests take the fields from the descriptors, so a new field with an id must be written down here.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from marketd.kernel.caller import Role
from marketplace.auth.v1 import address_pb2, auth_service_pb2, user_pb2, user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from tests.e2e.matrix.market import Market
from tests.e2e.matrix.recipes_goods import csv_file, inline_import, streamed_import
from tests.e2e.matrix.recipes_identity import new_address
from tests.e2e.matrix.things import Person, money, new_key, new_product, new_shop

OWN_KEY: Final = "the caller makes it up, and it is only ever looked up together with the caller"
PUBLIC: Final = "it names something that everybody may see"
NAME: Final = "a new name; that it is taken is no secret"
EVERYTHING: Final = "only administrators call this, and all of it is theirs to see"
NOT_READ: Final = "the server's own field; test_server_owned shows that it is not read"
SERVICES: Final = "only services call this, and they may read every account"
WORTHLESS: Final = "nothing without its secret; unknown, revoked and without it look the same (test_auth_services)"
SECRET: Final = "whoever holds it may use it"
APART: Final = "a token, which has tests of its own"
NOT_YET: Final = "there is nothing yet that it could name"


@dataclass(frozen=True)
class Question:
    """A call with somebody else's id. `ask` makes the same call with any id."""

    caller: Person | None
    foreign: str
    ask: Callable[[str], Message | tuple[Message, ...]]


Case = Callable[[Market, str], Awaitable[Question]]


@dataclass(frozen=True)
class Owned:
    """An id that is somebody's, and the kinds of callers to whom it must look like one that there is not."""

    strangers: tuple[str, ...]
    case: Case


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


async def _pending_seller(market: Market, who: str) -> Question:
    applied = (await market.call(new_shop(), await market.register())).seller
    return Question(
        stranger(market, who), applied.seller_id, lambda one: seller_service_pb2.GetSellerRequest(seller_id=one)
    )


async def _pending_handle(market: Market, who: str) -> Question:
    applied = (await market.call(new_shop(), await market.register())).seller
    return Question(stranger(market, who), applied.handle, lambda one: seller_service_pb2.GetSellerRequest(handle=one))


def _draft(name: str, ask: Callable[[str], Any]) -> Case:
    """With something of a product that is not published."""

    async def case(market: Market, who: str) -> Question:
        draft = await market.draft()
        found = draft.variants[0].variant_id if name == "variant_id" else getattr(draft, name)
        return Question(stranger(market, who), found, ask)

    return case


def _update_product(one: str) -> Message:
    return catalog_service_pb2.UpdateProductRequest(
        product=product_pb2.Product(product_id=one, title="Mine now"),
        update_mask=FieldMask(paths=["title"]),
        etag="stale",
    )


def _create_product(one: str) -> Message:
    request = new_product()
    request.seller_id = one
    return request


def _cart_item(ask: Callable[[str], Any], *, with_cart: bool) -> Case:
    """By a buyer with a cart of its own, or by one who never had any."""

    async def case(market: Market, who: str) -> Question:
        _, cart = await market.filled()
        caller = (await market.filled())[0] if with_cart else await market.person(Role.BUYER)
        return Question(caller, cart.items[0].item_id, ask)

    return case


async def _cancelled_item(market: Market, who: str) -> Question:
    trip = await market.paid()

    def ask(one: str) -> Message:
        line = order_service_pb2.CancelledLine(item_id=one, quantity=1)
        return order_service_pb2.CancelOrderRequest(request_id=new_key(), order_id=trip.order_id, lines=[line])

    return Question(trip.buyer if who == "BUYER" else trip.shop.owner, market.trip.item_id, ask)


async def _refunded_payment(market: Market, who: str) -> Question:
    order_id = market.trip.order_id
    return Question(
        stranger(market, who),
        market.trip.payment_id,
        lambda one: payment_service_pb2.RefundPaymentRequest(
            request_id=new_key(), payment_id=one, order_id=order_id, amount=money(1)
        ),
    )


async def _refunded_order(market: Market, who: str) -> Question:
    """Of two shops in one payment, one asks for the other's order."""
    group, shops = await market.shared()
    mine = next(order for order in group.orders if order.seller_id == shops[0].seller_id)
    other = next(order for order in group.orders if order.seller_id == shops[1].seller_id)
    assert mine.order_id != other.order_id
    return Question(
        shops[0].owner,
        other.order_id,
        lambda one: payment_service_pb2.RefundPaymentRequest(
            request_id=new_key(), payment_id=group.payment.payment_id, order_id=one, amount=money(1)
        ),
    )


async def _completed(market: Market, who: str) -> Question:
    """With the right code: knowing it is not enough."""
    trip = await market.picked_up()
    code = await market.code_of(trip)
    return Question(
        stranger(market, who),
        trip.delivery_id,
        lambda one: delivery_service_pb2.CompleteDeliveryRequest(request_id=new_key(), delivery_id=one, code=code),
    )


def _order(request: type[Any], **fields: Any) -> Case:
    keyed = {"request_id"} & set(request.DESCRIPTOR.fields_by_name)
    return plain(
        lambda market: market.trip.order_id,
        lambda one: request(order_id=one, **dict.fromkeys(keyed, new_key()), **fields),
    )


def _delivery(request: type[Any]) -> Case:
    keyed = {"request_id"} & set(request.DESCRIPTOR.fields_by_name)
    return plain(
        lambda market: market.trip.delivery_id,
        lambda one: request(delivery_id=one, **dict.fromkeys(keyed, new_key())),
    )


def _filter(request: type[Any], field: str, foreign: Callable[[Market], str]) -> Case:
    return plain(foreign, lambda one: request(**{field: one}))


async def _session(market: Market, who: str) -> Question:
    other = await market.register()
    return Question(
        stranger(market, who), other.session_id, lambda one: auth_service_pb2.RevokeSessionRequest(session_id=one)
    )


def _update_user(one: str) -> Message:
    return user_service_pb2.UpdateUserRequest(
        user=user_pb2.User(user_id=one, full_name="Mine now"), update_mask=FieldMask(paths=["full_name"]), etag="stale"
    )


def _update_address(one: str) -> Message:
    return user_service_pb2.UpdateAddressRequest(
        address=address_pb2.SavedAddress(address_id=one, label="Mine now"),
        update_mask=FieldMask(paths=["label"]),
        etag="stale",
    )


def _address(ask: Callable[[str], Any]) -> Case:
    """With an address out of somebody else's book."""

    async def case(market: Market, who: str) -> Question:
        saved = await new_address(market, await market.person(Role.BUYER))
        return Question(stranger(market, who), saved.address_id, ask)

    return case


async def _quoted_address(market: Market, who: str) -> Question:
    saved = await new_address(market, await market.person(Role.BUYER))
    buyer, _ = await market.filled()
    return Question(buyer, saved.address_id, lambda one: cart_service_pb2.QuoteOrderRequest(address_id=one))


def _rider_id(market: Market) -> str:
    assert market.trip.rider is not None
    return market.trip.rider.courier_id


B, S, C, NOBODY = "BUYER", "SELLER", "COURIER", "anonymous"
_ORDERS, _DELIVERIES = order_service_pb2.ListOrdersRequest, delivery_service_pb2.ListDeliveriesRequest

FIELDS: Final[Mapping[str, Owned | str]] = {
    "Login.guest_cart_token": NOT_YET,
    "RefreshTokens.refresh_token": SECRET,
    "GetUser.user_id": Owned(
        (B, S, C),
        plain(lambda market: market.trip.buyer.account_id, lambda one: user_service_pb2.GetUserRequest(user_id=one)),
    ),
    "ListSessions.page_token": APART,
    "RevokeSession.session_id": Owned((B, S, C), _session),
    "ResetPassword.token": SECRET,
    "IssueServiceToken.client_id": WORTHLESS,
    "ListServiceAccounts.page_token": APART,
    "RevokeServiceAccount.service_account_id": EVERYTHING,
    "BatchGetUsers.user_ids": SERVICES,
    "UpdateUser.user.user_id": Owned((B, S, C), plain(lambda market: market.trip.buyer.account_id, _update_user)),
    "DeleteUser.user_id": Owned(
        (B, S, C),
        plain(lambda market: market.trip.buyer.account_id, lambda one: user_service_pb2.DeleteUserRequest(user_id=one)),
    ),
    "GetAddress.address_id": Owned((B, S, C), _address(lambda one: user_service_pb2.GetAddressRequest(address_id=one))),
    "ListAddresses.page_token": APART,
    "UpdateAddress.address.address_id": Owned((B, S, C), _address(_update_address)),
    "DeleteAddress.address_id": Owned(
        (B, S, C), _address(lambda one: user_service_pb2.DeleteAddressRequest(address_id=one))
    ),
    "SetDefaultAddress.address_id": Owned(
        (B, S, C), _address(lambda one: user_service_pb2.SetDefaultAddressRequest(address_id=one))
    ),
    "ListUsers.page_token": APART,
    "SetUserRoles.user_id": EVERYTHING,
    "BlockUser.user_id": EVERYTHING,
    "UnblockUser.user_id": EVERYTHING,
    "ListAuditEntries.page_token": APART,
    "ListAuditEntries.account_id": EVERYTHING,
    "ListAuditEntries.resource_id": EVERYTHING,
    "GetSeller.seller_id": Owned((NOBODY, B, S, C), _pending_seller),
    "GetSeller.handle": Owned((NOBODY, B, S, C), _pending_handle),
    "CreateSeller.handle": NAME,
    "ApproveSeller.seller_id": EVERYTHING,
    "ApproveCourier.courier_id": EVERYTHING,
    "CreateCategory.slug": NAME,
    "CreateCategory.parent_category_id": PUBLIC,
    "UpdateCategory.category.category_id": PUBLIC,
    "UpdateCategory.category.parent_category_id": PUBLIC,
    "UpdateCategory.category.slug": NAME,
    "UpdateCategory.category.ancestor_ids": NOT_READ,
    "DeleteCategory.category_id": PUBLIC,
    "GetCategory.category_id": PUBLIC,
    "GetCategory.slug": PUBLIC,
    "ListCategories.page_token": APART,
    "ListCategories.parent_category_id": PUBLIC,
    "CreateBrand.slug": NAME,
    "UpdateBrand.brand.brand_id": PUBLIC,
    "UpdateBrand.brand.slug": NAME,
    "UpdateBrand.brand.logo.media_id": NOT_READ,
    "DeleteBrand.brand_id": PUBLIC,
    "GetBrand.brand_id": PUBLIC,
    "GetBrand.slug": PUBLIC,
    "ListBrands.page_token": APART,
    "CreateProduct.seller_id": Owned((S,), plain(lambda market: market.shop.seller_id, _create_product)),
    "CreateProduct.slug": NAME,
    "CreateProduct.category_id": PUBLIC,
    "CreateProduct.brand_id": PUBLIC,
    "UpdateProduct.product.product_id": Owned((S,), plain(lambda market: market.goods.product_id, _update_product)),
    "UpdateProduct.product.seller_id": NOT_READ,
    "UpdateProduct.product.slug": NAME,
    "UpdateProduct.product.category_id": PUBLIC,
    "UpdateProduct.product.brand_id": PUBLIC,
    "UpdateProduct.product.images[].image_id": NOT_READ,
    "UpdateProduct.product.images[].image.media_id": NOT_READ,
    "UpdateProduct.product.images[].variant_ids": NOT_READ,
    "UpdateProduct.product.variants[].variant_id": NOT_READ,
    "PublishProduct.product_id": Owned(
        (S,), _draft("product_id", lambda one: catalog_service_pb2.PublishProductRequest(product_id=one))
    ),
    "GetProduct.product_id": Owned(
        (NOBODY, B, S, C), _draft("product_id", lambda one: catalog_service_pb2.GetProductRequest(product_id=one))
    ),
    "GetProduct.slug": Owned(
        (NOBODY, B, S, C), _draft("slug", lambda one: catalog_service_pb2.GetProductRequest(slug=one))
    ),
    "ListProducts.page_token": APART,
    "ListProducts.category_id": PUBLIC,
    "ListProducts.brand_id": PUBLIC,
    "ListProducts.seller_id": Owned(
        (NOBODY, B, S, C),
        plain(
            lambda market: market.shop.seller_id,
            lambda one: catalog_service_pb2.ListProductsRequest(seller_id=one, state=product_pb2.PRODUCT_STATE_DRAFT),
        ),
    ),
    "ImportProducts.options.seller_id": Owned(
        (S,), plain(lambda market: market.shop.seller_id, lambda one: streamed_import(csv_file(), seller_id=one))
    ),
    "ImportProductsInline.options.seller_id": Owned(
        (S,), plain(lambda market: market.shop.seller_id, lambda one: inline_import(csv_file(), seller_id=one))
    ),
    "GetStock.variant_id": Owned(
        (S,),
        plain(
            lambda market: market.goods.variant_id,
            lambda one: inventory_service_pb2.GetStockRequest(variant_id=one),
        ),
    ),
    "SetStock.variant_id": Owned(
        (S,),
        plain(
            lambda market: market.goods.variant_id,
            lambda one: inventory_service_pb2.SetStockRequest(request_id=new_key(), variant_id=one, quantity=0),
        ),
    ),
    "AddCartItem.variant_id": Owned(
        (B,),
        _draft("variant_id", lambda one: cart_service_pb2.AddCartItemRequest(variant_id=one, quantity=1)),
    ),
    "UpdateCartItem.item_id": Owned(
        (B,),
        _cart_item(
            lambda one: cart_service_pb2.UpdateCartItemRequest(item_id=one, quantity=9, etag="stale"), with_cart=True
        ),
    ),
    "RemoveCartItem.item_id": Owned(
        (B,), _cart_item(lambda one: cart_service_pb2.RemoveCartItemRequest(item_id=one), with_cart=False)
    ),
    "QuoteOrder.address_id": Owned((B,), _quoted_address),
    "PlaceOrder.quote_token": APART,
    "GetOrder.order_id": Owned((B, S, C), _order(order_service_pb2.GetOrderRequest)),
    "ListOrders.page_token": APART,
    "ListOrders.buyer_id": Owned((B, S, C), _filter(_ORDERS, "buyer_id", lambda market: market.trip.buyer.account_id)),
    "ListOrders.seller_id": Owned((B, C), _filter(_ORDERS, "seller_id", lambda market: market.shop.seller_id)),
    "ListOrders.courier_id": Owned((B, S, C), _filter(_ORDERS, "courier_id", _rider_id)),
    "ListOrders.order_group_id": Owned(
        (B, S, C), _filter(_ORDERS, "order_group_id", lambda market: market.trip.group.order_group_id)
    ),
    "AcceptOrder.order_id": Owned((S,), _order(order_service_pb2.AcceptOrderRequest, etag="stale")),
    "MarkOrderReady.order_id": Owned((S,), _order(order_service_pb2.MarkOrderReadyRequest, etag="stale")),
    "CancelOrder.order_id": Owned((B, S), _order(order_service_pb2.CancelOrderRequest)),
    "CancelOrder.lines[].item_id": Owned((B, S), _cancelled_item),
    "WatchOrder.order_id": Owned((B, S), _order(order_service_pb2.WatchOrderRequest)),
    "WatchOrder.resume_token": APART,
    "CreatePayment.order_group_id": Owned(
        (B,),
        plain(
            lambda market: market.trip.group.order_group_id,
            lambda one: payment_service_pb2.CreatePaymentRequest(request_id=new_key(), order_group_id=one),
        ),
    ),
    "ConfirmPayment.payment_id": Owned(
        (B,),
        plain(
            lambda market: market.trip.payment_id,
            lambda one: payment_service_pb2.ConfirmPaymentRequest(
                request_id=new_key(), payment_id=one, payment_method="ok"
            ),
        ),
    ),
    "GetPayment.payment_id": Owned(
        (B,),
        plain(
            lambda market: market.trip.payment_id,
            lambda one: payment_service_pb2.GetPaymentRequest(payment_id=one),
        ),
    ),
    "RefundPayment.payment_id": Owned((S,), _refunded_payment),
    "RefundPayment.order_id": Owned((S,), _refunded_order),
    "AssignCourier.delivery_id": EVERYTHING,
    "AssignCourier.courier_id": EVERYTHING,
    "GetDelivery.delivery_id": Owned((B, S, C), _delivery(delivery_service_pb2.GetDeliveryRequest)),
    "ListDeliveries.page_token": APART,
    "ListDeliveries.order_id": Owned((B, S, C), _filter(_DELIVERIES, "order_id", lambda market: market.trip.order_id)),
    "ListDeliveries.buyer_id": Owned(
        (B, S, C), _filter(_DELIVERIES, "buyer_id", lambda market: market.trip.buyer.account_id)
    ),
    "ListDeliveries.seller_id": Owned((B, C), _filter(_DELIVERIES, "seller_id", lambda market: market.shop.seller_id)),
    "ListDeliveries.courier_id": Owned((B, S, C), _filter(_DELIVERIES, "courier_id", _rider_id)),
    "WatchDeliveries.resume_token": APART,
    "PickUpDelivery.delivery_id": Owned((C,), _delivery(delivery_service_pb2.PickUpDeliveryRequest)),
    "CompleteDelivery.delivery_id": Owned((C,), _completed),
    "CompleteDelivery.media_ids": NOT_YET,
    "StreamLocations.hello.uplink_id": OWN_KEY,
    "StreamLocations.hello.device_id": OWN_KEY,
    "ReportLocations.uplink_id": OWN_KEY,
    "ReportLocations.device_id": OWN_KEY,
    "WatchDelivery.delivery_id": Owned(
        (B, S, C),
        plain(
            lambda market: market.trip.delivery_id,
            lambda one: tracking_service_pb2.WatchDeliveryRequest(delivery_id=one),
        ),
    ),
    "WatchDelivery.resume_token": APART,
}
"""By method and field. Every `request_id` is OWN_KEY."""
