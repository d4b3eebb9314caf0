"""Simulated couriers for `marketd serve --demo`: a few orders are always being bought, prepared, ridden and delivered.

Each lane is one buyer and one courier. A lane asks the server how its order stands and does the next thing, so a
restart of either side goes on in the middle. What people order themselves is the business of visitors.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError

from marketd.demo.rider import Rider, place_of
from marketd.demo.seed import SeededLogins, SeededShop, signed_in
from marketd.demo.town import HOMES, Place
from marketd.demo.visitors import serve_visitors

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = (1.0, 4.0)
_TROUBLE_SECONDS = 3.0
_RESTOCK = 100
_TRIP_SECONDS = 1800.0

_OPEN = (
    order_pb2.ORDER_STATE_PENDING_PAYMENT,
    order_pb2.ORDER_STATE_PAID,
    order_pb2.ORDER_STATE_ACCEPTED,
    order_pb2.ORDER_STATE_READY,
    order_pb2.ORDER_STATE_OUT_FOR_DELIVERY,
)


async def simulate(
    target: str, logins: SeededLogins, stop: asyncio.Event, *, pause_seconds: tuple[float, float] = PAUSE_SECONDS
) -> None:
    """Keep one delivery alive for each courier, and bring what visitors order, until `stop` is set.

    pause_seconds: the least and the most that people take before they buy, accept and have things ready, after the
    first time.
    """
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(serve_visitors(target, logins, ready))]
        # Signing in takes its time, and a person who has just ordered waits for it.
        tasks += [
            group.create_task(_lane(target, logins, number, pause_seconds, ready))
            for number in range(min(len(logins.couriers), len(logins.buyers)))
        ]
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _lane(
    target: str, logins: SeededLogins, number: int, pause_seconds: tuple[float, float], ready: asyncio.Event
) -> None:
    """One lane from `ready` on, for ever: whatever goes wrong is logged, and the lane signs in anew."""
    await ready.wait()
    await asyncio.sleep(number * 1.5 * pause_seconds[0])  # the lanes should not march in step
    while True:
        try:
            async with _Lane.open(target, logins, number, pause_seconds) as lane:
                while True:
                    async with asyncio.timeout(_TRIP_SECONDS):
                        await lane.advance()
        except MarketplaceError as error:
            _log.info("demo.lane_stumbled", lane=number, reason=error.reason or error.code.name)
        except TimeoutError:
            _log.info("demo.lane_stuck", lane=number)
        await asyncio.sleep(_TROUBLE_SECONDS)


class _Lane:
    """A buyer, a courier, and the clients of those they deal with."""

    def __init__(
        self,
        admin: MarketplaceClient,
        buyer: MarketplaceClient,
        rider: Rider,
        sellers: dict[str, MarketplaceClient],
        shops: tuple[SeededShop, ...],
        home: Place,
        pause_seconds: tuple[float, float],
    ) -> None:
        self._admin, self._buyer, self._rider = admin, buyer, rider
        self._sellers, self._shops, self._home = sellers, shops, home
        self._pause_seconds = pause_seconds
        self._chance = random.Random()  # noqa: S311 - a simulation, not a secret
        self._is_first = True

    @classmethod
    @asynccontextmanager
    async def open(
        cls, target: str, logins: SeededLogins, number: int, pause_seconds: tuple[float, float]
    ) -> AsyncIterator[_Lane]:
        """Sign everybody in and start the shift."""
        async with AsyncExitStack() as stack:

            async def client(email: str, password: str) -> MarketplaceClient:
                return await stack.enter_async_context(signed_in(target, email, password))

            riding = Rider.open(target, logins.couriers[number].email, logins.password)
            yield cls(
                admin=await client(logins.admin.email, logins.admin_password),
                buyer=await client(logins.buyers[number].email, logins.password),
                rider=await stack.enter_async_context(riding),
                sellers={shop.seller_id: await client(shop.login.email, logins.password) for shop in logins.shops},
                shops=logins.shops,
                home=HOMES[number % len(HOMES)],
                pause_seconds=pause_seconds,
            )

    async def advance(self) -> None:
        """Do the next thing for the buyer's order, or have a new one bought."""
        request = order_service_pb2.ListOrdersRequest(states=_OPEN, page_size=1)
        orders = [
            order for order in (await self._buyer.order.ListOrders(request)).orders if order.seller_id in self._sellers
        ]
        if not orders:
            await self._think()
            await self._buy()
            return
        order = orders[0]
        seller = self._sellers[order.seller_id]
        if order.state == order_pb2.ORDER_STATE_PENDING_PAYMENT:
            pay = payment_service_pb2.ConfirmPaymentRequest(
                payment_id=order.payment_id, payment_method=payment_pb2.PaymentMethod(sandbox="ok")
            )
            await self._buyer.payment.ConfirmPayment(pay)
        elif order.state == order_pb2.ORDER_STATE_PAID:
            await self._think()
            accept = order_service_pb2.AcceptOrderRequest(order_id=order.order_id, etag=order.etag)
            await seller.order.AcceptOrder(accept)
        elif order.state == order_pb2.ORDER_STATE_ACCEPTED:
            await self._think()
            ready = order_service_pb2.MarkOrderReadyRequest(order_id=order.order_id, etag=order.etag)
            await seller.order.MarkOrderReady(ready)
        else:
            await self._bring(order.order_id)

    async def _think(self) -> None:
        """People take their time, but for the first order: a newcomer has been told of couriers and looks for them."""
        if not self._is_first:
            await asyncio.sleep(self._chance.uniform(*self._pause_seconds))

    async def _buy(self) -> None:
        shop = self._chance.choice(self._shops)
        listing = catalog_service_pb2.ListProductsRequest(seller_ids=[shop.seller_id], page_size=50)
        products = (await self._buyer.catalog.ListProducts(listing)).products
        if not products:
            await asyncio.sleep(_TROUBLE_SECONDS)
            return
        chosen = self._chance.choice(products)
        read = catalog_service_pb2.GetProductRequest(product_id=chosen.product_id)
        product = (await self._buyer.catalog.GetProduct(read)).product
        variant = self._chance.choice(product.variants)
        if variant.stock_state == product_pb2.STOCK_STATE_OUT_OF_STOCK:
            stock = inventory_service_pb2.SetStockRequest(
                variant_id=variant.variant_id, quantity=_RESTOCK, reason="restocked by the demo"
            )
            await self._sellers[shop.seller_id].inventory.SetStock(stock)
        await self._buyer.cart.ClearCart(cart_service_pb2.ClearCartRequest())
        add = cart_service_pb2.AddCartItemRequest(variant_id=variant.variant_id, quantity=1)
        await self._buyer.cart.AddCartItem(add)
        quote = await self._buyer.cart.QuoteOrder(cart_service_pb2.QuoteOrderRequest(address=self._home.address()))
        if not quote.quote_token:
            return  # sold out in between; the next round chooses anew
        place = order_service_pb2.PlaceOrderRequest(quote_token=quote.quote_token, expected_total=quote.total)
        await self._buyer.order.PlaceOrder(place)

    async def _bring(self, order_id: str) -> None:
        """Ride what is to be ridden of the order's delivery."""
        request = delivery_service_pb2.ListDeliveriesRequest(order_ids=[order_id], page_size=1)
        deliveries = (await self._buyer.delivery.ListDeliveries(request)).deliveries
        if not deliveries:
            await asyncio.sleep(0.5)  # the event that makes it is on its way
            return
        delivery = deliveries[0]
        if delivery.state in (delivery_pb2.DELIVERY_STATE_CREATED, delivery_pb2.DELIVERY_STATE_OFFERING):
            assign = delivery_service_pb2.AssignCourierRequest(
                delivery_id=delivery.delivery_id, courier_id=self._rider.courier_id
            )
            await self._admin.delivery.AssignCourier(assign)
        elif delivery.state in (delivery_pb2.DELIVERY_STATE_ASSIGNED, delivery_pb2.DELIVERY_STATE_AT_PICKUP):
            self._is_first = False
            await self._rider.ride_to(delivery.pickup)
            pick_up = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=delivery.delivery_id)
            await self._rider.client.delivery.PickUpDelivery(pick_up)
        elif delivery.state in (delivery_pb2.DELIVERY_STATE_PICKED_UP, delivery_pb2.DELIVERY_STATE_AT_DROPOFF):
            self._is_first = False
            self._rider.at = place_of(delivery.pickup)
            await self._rider.ride_to(delivery.dropoff)
            complete = delivery_service_pb2.CompleteDeliveryRequest(
                delivery_id=delivery.delivery_id, code=delivery.dropoff_code
            )
            await self._rider.client.delivery.CompleteDelivery(complete)
        else:
            await asyncio.sleep(0.5)  # closed, and the order is about to say so
