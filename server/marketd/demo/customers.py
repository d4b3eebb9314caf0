"""The customers of the demo's shops: each bought something there, had it brought, and says what it was like.

A review is of something that was delivered, so everything happens as it would: an order at each shop, and a courier.
Whoever has reviewed something already is left alone, so that a later start writes nothing.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.review.v1 import review_pb2, review_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError

from marketd.demo.catalogs import read_products
from marketd.demo.defaults import DATA, PRODUCTS
from marketd.demo.rider import start_shift
from marketd.demo.seed import Login, SeededLogins, person, seed_courier, signed_in
from marketd.demo.town import VISITORS_HOME
from marketd.kernel.values.texts import slug_of

REVIEWS = DATA / "reviews.toml"
_POLL_SECONDS = 0.1
COURIER = Login("courier", "Cato", "cato@demo.example.com")
_ON_ITS_WAY = (order_pb2.ORDER_STATE_READY, order_pb2.ORDER_STATE_OUT_FOR_DELIVERY)
_KINDS = {
    (True, False): review_pb2.REVIEW_KIND_PRODUCT,
    (False, True): review_pb2.REVIEW_KIND_SELLER,
    (False, False): review_pb2.REVIEW_KIND_COURIER,
}
"""By whether a product is named, and a shop."""


@dataclass(frozen=True)
class Said:
    """What somebody says of a product (by its title), of a shop (by its name) or, with neither, of a courier."""

    by: str
    rating: int
    text: str
    reply: str
    title: str = ""
    shop: str = ""


def read_reviews(products: Path = PRODUCTS) -> list[Said]:
    """What is said of products that the file has, of their shops and of couriers."""
    listed = read_products(products.read_bytes())
    with REVIEWS.open("rb") as file:
        written = tomllib.load(file)
    said = [
        _said(each, title=listed[each["product"]].title) for each in written["reviews"] if each["product"] in listed
    ]
    said += [_said(each, shop=each["shop"]) for each in written["of_shops"]]
    return said + [_said(each) for each in written["of_couriers"]]


def _said(each: Mapping[str, Any], **of: str) -> Said:
    text, reply = (" ".join(each.get(name, "").split()) for name in ("text", "reply"))
    return Said(each["by"], each["rating"], text, reply, **of)


async def write_reviews(target: str, logins: SeededLogins, products: Path = PRODUCTS) -> int:
    """Have everybody buy and say what is missing; how many reviews were written. Raises MarketplaceError."""
    said = await asyncio.to_thread(read_reviews, products)
    async with signed_in(target, logins.admin.email, logins.admin_password) as admin:
        listing = catalog_service_pb2.ListProductsRequest(
            seller_ids=[shop.seller_id for shop in logins.shops], page_size=100
        )
        found = {product.title: product async for product in admin.products(listing)}
        wanted = Counter(each.title for each in said if each.title in found)
        if all(found[title].rating.count >= count for title, count in wanted.items()):
            return 0
        await seed_courier(target, admin, COURIER, courier_pb2.VEHICLE_TYPE_SCOOTER)
        async with _Town.open(target, logins, admin, found) as town:
            return sum([await town.hear(name, said) for name in dict.fromkeys(each.by for each in said)])


class _Town:
    """Who is needed for an order to reach its door."""

    def __init__(
        self,
        target: str,
        admin: MarketplaceClient,
        courier: MarketplaceClient,
        courier_id: str,
        shops: Mapping[str, tuple[str, MarketplaceClient]],
        products: Mapping[str, product_pb2.Product],
    ) -> None:
        self._target, self._admin, self._courier, self._courier_id = target, admin, courier, courier_id
        self._shops, self._products = shops, products

    @classmethod
    @asynccontextmanager
    async def open(
        cls, target: str, logins: SeededLogins, admin: MarketplaceClient, products: Mapping[str, product_pb2.Product]
    ) -> AsyncIterator[_Town]:
        """Sign the sellers and a courier in, whose shift lasts as long as this."""
        async with AsyncExitStack() as stack:
            courier = await stack.enter_async_context(signed_in(target, COURIER.email, logins.password))
            shops = {
                shop.seller_id: (
                    shop.name,
                    await stack.enter_async_context(signed_in(target, shop.login.email, logins.password)),
                )
                for shop in logins.shops
            }
            yield cls(target, admin, courier, await start_shift(courier), shops, products)
            await courier.courier.EndShift(courier_service_pb2.EndShiftRequest())

    async def hear(self, name: str, all_said: Sequence[Said]) -> int:
        """Have this customer buy, unless they have, and say what they have not said yet; how much that was."""
        said = [each for each in all_said if each.by == name]
        login = Login("buyer", name, f"{slug_of(name, 30)}@demo.example.com")
        async with person(self._target, login) as customer:
            mine = order_service_pb2.ListOrdersRequest()
            orders: Sequence[order_pb2.Order] = [order async for order in customer.orders(mine)]
            if not orders:
                wanted = [self._products[each.title] for each in said if each.title in self._products]
                orders = await self._buy(customer, name, wanted) if wanted else []
            brought = [await self._bring(customer, order.order_id) for order in orders]
            return sum([await self._say(customer, each, brought) for each in said])

    async def _buy(
        self, customer: MarketplaceClient, name: str, products: Sequence[product_pb2.Product]
    ) -> Sequence[order_pb2.Order]:
        await customer.cart.ClearCart(cart_service_pb2.ClearCartRequest())
        for product in products:
            read = catalog_service_pb2.GetProductRequest(product_id=product.product_id)
            for variant in (await customer.catalog.GetProduct(read)).product.variants:
                if variant.stock_state != product_pb2.STOCK_STATE_OUT_OF_STOCK:
                    add = cart_service_pb2.AddCartItemRequest(variant_id=variant.variant_id, quantity=1)
                    await customer.cart.AddCartItem(add)
                    break
        home = replace(VISITORS_HOME, name=name).address()
        quote = await customer.cart.QuoteOrder(cart_service_pb2.QuoteOrderRequest(address=home))
        place = order_service_pb2.PlaceOrderRequest(quote_token=quote.quote_token, expected_total=quote.total)
        return (await customer.order.PlaceOrder(place)).order_group.orders

    async def _bring(self, customer: MarketplaceClient, order_id: str) -> order_pb2.Order:
        """The order once it has come to its end, which it is led to from wherever an earlier start has left it."""
        while True:
            order = (await customer.order.GetOrder(order_service_pb2.GetOrderRequest(order_id=order_id))).order
            _, seller = self._shops[order.seller_id]
            if order.state == order_pb2.ORDER_STATE_PENDING_PAYMENT:
                pay = payment_service_pb2.ConfirmPaymentRequest(
                    payment_id=order.payment_id, payment_method=payment_pb2.PaymentMethod(sandbox="ok")
                )
                await customer.payment.ConfirmPayment(pay)
            elif order.state == order_pb2.ORDER_STATE_PAID:
                await seller.order.AcceptOrder(order_service_pb2.AcceptOrderRequest(order_id=order_id))
            elif order.state == order_pb2.ORDER_STATE_ACCEPTED:
                await seller.order.MarkOrderReady(order_service_pb2.MarkOrderReadyRequest(order_id=order_id))
            elif order.state in _ON_ITS_WAY:
                await self._deliver(customer, order_id)
            else:
                return order

    async def _deliver(self, customer: MarketplaceClient, order_id: str) -> None:
        """One step of the delivery; the order learns of it, as of the delivery itself, by an event."""
        request = delivery_service_pb2.ListDeliveriesRequest(order_ids=[order_id], page_size=1)
        found = (await customer.delivery.ListDeliveries(request)).deliveries
        delivery = found[0] if found else delivery_pb2.Delivery()
        id_ = delivery.delivery_id
        if delivery.state in (delivery_pb2.DELIVERY_STATE_CREATED, delivery_pb2.DELIVERY_STATE_OFFERING):
            assign = delivery_service_pb2.AssignCourierRequest(delivery_id=id_, courier_id=self._courier_id)
            await self._admin.delivery.AssignCourier(assign)
        elif delivery.state in (delivery_pb2.DELIVERY_STATE_ASSIGNED, delivery_pb2.DELIVERY_STATE_AT_PICKUP):
            pick_up = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=id_)
            await self._courier.delivery.PickUpDelivery(pick_up)
        elif delivery.state in (delivery_pb2.DELIVERY_STATE_PICKED_UP, delivery_pb2.DELIVERY_STATE_AT_DROPOFF):
            complete = delivery_service_pb2.CompleteDeliveryRequest(delivery_id=id_, code=delivery.dropoff_code)
            await self._courier.delivery.CompleteDelivery(complete)
        else:
            await asyncio.sleep(_POLL_SECONDS)

    async def _say(self, customer: MarketplaceClient, said: Said, orders: Sequence[order_pb2.Order]) -> int:
        """Write it down where there is an order of it that was delivered, and have the shop reply; 1 if it is new."""
        at = next((each for each in _items(orders) if self._is_of(said, *each)), None)
        if at is None:
            return 0
        order, item = at
        kind = _KINDS[bool(said.title), bool(said.shop)]
        review = review_pb2.Review(kind=kind, order_item_id=item.item_id, rating=said.rating, text=said.text or None)
        try:
            request = review_service_pb2.CreateReviewRequest(review=review)
            written = (await customer.review.CreateReview(request)).review
        except MarketplaceError as error:
            if error.reason != "ALREADY_EXISTS":
                raise
            return 0
        if said.reply:
            reply = review_service_pb2.ReplyToReviewRequest(review_id=written.review_id, text=said.reply)
            await self._shops[order.seller_id][1].review.ReplyToReview(reply)
        return 1

    def _is_of(self, said: Said, order: order_pb2.Order, item: order_pb2.OrderItem) -> bool:
        """Whether the line of the order is what is spoken of, or comes of whom."""
        if order.state != order_pb2.ORDER_STATE_DELIVERED:
            return False
        return (said.title or item.title, said.shop or self._shops[order.seller_id][0]) == (
            item.title,
            self._shops[order.seller_id][0],
        )


def _items(orders: Sequence[order_pb2.Order]) -> Iterator[tuple[order_pb2.Order, order_pb2.OrderItem]]:
    return ((order, item) for order in orders for item in order.items)
