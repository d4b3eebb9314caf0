"""What people order as the demo's visitor is accepted, prepared and brought without anybody's help.

Two couriers wait for these orders alone, so that something moves on the map a few seconds after somebody has paid. At
the door the visitor's own account tells the code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace_client import MarketplaceClient, MarketplaceError

from marketd.demo.rider import Rider, place_of
from marketd.demo.seed import SeededLogins, signed_in

_log = structlog.get_logger(__name__)

_SCOOTER_MPS = 8.0
_PAUSE_SECONDS = 1.5
_LOOK_SECONDS = 1.0
_TROUBLE_SECONDS = 3.0

_TO_DO = (
    order_pb2.ORDER_STATE_PAID,
    order_pb2.ORDER_STATE_ACCEPTED,
    order_pb2.ORDER_STATE_READY,
    order_pb2.ORDER_STATE_OUT_FOR_DELIVERY,
)
_BEFORE_PICKUP = (delivery_pb2.DELIVERY_STATE_ASSIGNED, delivery_pb2.DELIVERY_STATE_AT_PICKUP)
_ON_THE_WAY = (delivery_pb2.DELIVERY_STATE_PICKED_UP, delivery_pb2.DELIVERY_STATE_AT_DROPOFF)


async def serve_visitors(
    target: str,
    logins: SeededLogins,
    ready: asyncio.Event,
    *,
    pause_seconds: float = _PAUSE_SECONDS,
    beat_seconds: float = 1.0,
) -> None:
    """Look after visitors' orders for ever: whatever goes wrong is logged, and everybody signs in anew.

    ready: set once everybody has signed in. pause_seconds: what shops take to accept, and to have things ready.
    beat_seconds: see Rider.
    """
    while True:
        try:
            async with _Visitors.open(target, logins, pause_seconds, beat_seconds) as visitors:
                ready.set()
                await visitors.run()
        except* MarketplaceError as failed:
            _log.info("demo.visitors_stumbled", reasons=[str(error) for error in failed.exceptions])
        await asyncio.sleep(_TROUBLE_SECONDS)


class _Visitors:
    """The shops, the couriers who wait, and the orders that somebody is at work on."""

    def __init__(
        self,
        admin: MarketplaceClient,
        visitor: MarketplaceClient,
        sellers: dict[str, MarketplaceClient],
        riders: list[Rider],
        pause_seconds: float,
    ) -> None:
        self._admin, self._visitor, self._sellers = admin, visitor, sellers
        self._riders = {rider.courier_id: rider for rider in riders}
        self._locks = {courier_id: asyncio.Lock() for courier_id in self._riders}
        self._waiting = asyncio.Semaphore(len(riders))
        self._pause_seconds = pause_seconds

    @classmethod
    @asynccontextmanager
    async def open(
        cls, target: str, logins: SeededLogins, pause_seconds: float, beat_seconds: float
    ) -> AsyncIterator[_Visitors]:
        """Sign everybody in and start the shifts."""
        async with AsyncExitStack() as stack:

            async def client(email: str, password: str) -> MarketplaceClient:
                return await stack.enter_async_context(signed_in(target, email, password))

            async def rider(email: str) -> Rider:
                opened = Rider.open(target, email, logins.password, speed_mps=_SCOOTER_MPS, beat_seconds=beat_seconds)
                return await stack.enter_async_context(opened)

            yield cls(
                admin=await client(logins.admin.email, logins.admin_password),
                visitor=await client(logins.visitor.email, logins.password),
                sellers={shop.seller_id: await client(shop.login.email, logins.password) for shop in logins.shops},
                riders=[await rider(login.email) for login in logins.runners],
                pause_seconds=pause_seconds,
            )

    async def run(self) -> None:
        """Find what there is to do, one task an order; it ends when the server cannot be asked."""
        at_work: dict[str, asyncio.Task[None]] = {}
        request = order_service_pb2.ListOrdersRequest(
            seller_ids=list(self._sellers), states=_TO_DO, order_by="create_time", page_size=100
        )
        async with asyncio.TaskGroup() as group:
            while True:
                for order in (await self._visitor.order.ListOrders(request)).orders:
                    if order.order_id not in at_work:
                        at_work[order.order_id] = group.create_task(self._try_to_serve(order))
                at_work = {order_id: task for order_id, task in at_work.items() if not task.done()}
                await asyncio.sleep(_LOOK_SECONDS)

    async def _try_to_serve(self, order: order_pb2.Order) -> None:
        """What goes wrong with one order, such as a person who was faster, is nothing to the others."""
        try:
            await self._serve(order)
        except MarketplaceError as error:
            _log.info("demo.visit_stumbled", order=order.order_number, reason=error.reason or error.code.name)
            await asyncio.sleep(_TROUBLE_SECONDS)

    async def _serve(self, order: order_pb2.Order) -> None:
        """Do what is left to do for the order."""
        seller = self._sellers[order.seller_id]
        if order.state == order_pb2.ORDER_STATE_PAID:
            await asyncio.sleep(self._pause_seconds)
            accept = order_service_pb2.AcceptOrderRequest(order_id=order.order_id, etag=order.etag)
            order = (await seller.order.AcceptOrder(accept)).order
        if order.state == order_pb2.ORDER_STATE_ACCEPTED:
            await asyncio.sleep(self._pause_seconds)
            ready = order_service_pb2.MarkOrderReadyRequest(order_id=order.order_id, etag=order.etag)
            await seller.order.MarkOrderReady(ready)
        delivery = await self._delivery(order.order_id)
        if delivery is None:
            return  # the event that makes it is on its way, or nothing of the order is sent; the next look tells
        async with self._waiting:
            taken = delivery.courier.courier_id
            rider_id = taken or next(courier_id for courier_id, lock in self._locks.items() if not lock.locked())
            if rider_id in self._riders:  # else somebody plays a courier, or sent one
                async with self._locks[rider_id]:
                    await self._bring(self._riders[rider_id], delivery)

    async def _delivery(self, order_id: str) -> delivery_pb2.Delivery | None:
        request = delivery_service_pb2.ListDeliveriesRequest(order_ids=[order_id], page_size=1)
        return next(iter((await self._visitor.delivery.ListDeliveries(request)).deliveries), None)

    async def _bring(self, rider: Rider, delivery: delivery_pb2.Delivery) -> None:
        """Fetch it and ride to the door. No buyer sees a courier before the pickup, so this one waits at the shop."""
        delivery_id, code = delivery.delivery_id, delivery.dropoff_code
        if not delivery.courier.courier_id:
            assign = delivery_service_pb2.AssignCourierRequest(delivery_id=delivery_id, courier_id=rider.courier_id)
            delivery = (await self._admin.delivery.AssignCourier(assign)).delivery
        if delivery.state in _BEFORE_PICKUP:
            await asyncio.sleep(self._pause_seconds)
            pick_up = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=delivery_id)
            delivery = (await rider.client.delivery.PickUpDelivery(pick_up)).delivery
            rider.at = place_of(delivery.pickup)
        if delivery.state in _ON_THE_WAY:
            await rider.ride_to(delivery.dropoff)
            complete = delivery_service_pb2.CompleteDeliveryRequest(delivery_id=delivery_id, code=code)
            await rider.client.delivery.CompleteDelivery(complete)
