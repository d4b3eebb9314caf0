"""Couriers who send positions, and one of them under way with an order that is watched."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from marketd.bench.load_streams import SAMPLE_MICROS, batch, greet
from marketd.bench.operations import CONNECTIONS, Plain, Round, Side, Target, expect, path_on, split
from marketd.bench.orders import quoted
from marketd.bench.plan import FloorMethod, Shape
from marketd.bench.work import Fanout, Found, Positions, Uplink, Work
from marketd.bench.world import CALL_SECONDS, Account, World, bearer, gather, once_allowed

_STREAM = "/marketplace.tracking.v1.TrackingService/StreamLocations"
_WATCH = "/marketplace.tracking.v1.TrackingService/WatchDelivery"
_COURIERS, _COURIERS_QUICK = 100, 10
_WATCHERS, _WATCHERS_QUICK = 1000, 100
_WATCHERS_A_CONNECTION = 100
_WINDOW = 100
_MESSAGES_A_SECOND = {1: 2000, 10: 1000}
_PAST_MICROS = 6 * 3600 * 1_000_000
_DELIVERY_SECONDS = 15.0
_LATITUDE, _LONGITUDE = 52.535, 13.425


async def courier(world: World) -> tuple[Account, str]:
    """A courier on shift: the account and the courier's id."""
    account = await world.register("courier")
    admin = await world.admin()
    vehicle = courier_pb2.VEHICLE_TYPE_BICYCLE
    asked = courier_service_pb2.CreateCourierRequest(
        courier=courier_pb2.Courier(first_name="Kim", last_name="Bench", phone="+4930654321", vehicle=vehicle),
        request_id=str(uuid.uuid4()),
    )
    made = await world.couriers.CreateCourier(asked, metadata=bearer(account), timeout=CALL_SECONDS)
    approval = courier_service_pb2.ApproveCourierRequest(courier_id=made.courier.courier_id)
    await world.couriers.ApproveCourier(approval, metadata=bearer(admin), timeout=CALL_SECONDS)
    shift = courier_service_pb2.StartShiftRequest(request_id=str(uuid.uuid4()), vehicle=vehicle)
    await once_allowed(lambda: world.couriers.StartShift(shift, metadata=bearer(account), timeout=CALL_SECONDS))
    return account, made.courier.courier_id


async def delivery_under_way(world: World, buyer: Account, carrier: Account, courier_id: str) -> str:
    """The id of a delivery of the buyer's that the courier has picked up."""
    admin = await world.admin()
    (raw,) = await quoted(world, [buyer])
    request = order_service_pb2.PlaceOrderRequest.FromString(raw)
    placed = await world.orders.PlaceOrder(request, metadata=bearer(buyer), timeout=CALL_SECONDS)
    confirmation = payment_service_pb2.ConfirmPaymentRequest(
        request_id=str(uuid.uuid4()),
        payment_id=placed.order_group.payment.payment_id,
        payment_method=payment_pb2.PaymentMethod(sandbox="ok"),
    )
    await world.payments.ConfirmPayment(confirmation, metadata=bearer(buyer), timeout=CALL_SECONDS)
    order = next(order for order in placed.order_group.orders if order.seller_id == world.products[0].seller_id)
    owner = await world.sign_in(world.shops[0].email)
    acceptance = order_service_pb2.AcceptOrderRequest(order_id=order.order_id)
    await world.orders.AcceptOrder(acceptance, metadata=bearer(owner), timeout=CALL_SECONDS)
    readiness = order_service_pb2.MarkOrderReadyRequest(order_id=order.order_id)
    await world.orders.MarkOrderReady(readiness, metadata=bearer(owner), timeout=CALL_SECONDS)
    delivery_id = await _delivery_of(world, buyer, order.order_id)
    assignment = delivery_service_pb2.AssignCourierRequest(delivery_id=delivery_id, courier_id=courier_id)
    await world.deliveries.AssignCourier(assignment, metadata=bearer(admin), timeout=CALL_SECONDS)
    pickup = delivery_service_pb2.PickUpDeliveryRequest(request_id=str(uuid.uuid4()), delivery_id=delivery_id)
    await world.deliveries.PickUpDelivery(pickup, metadata=bearer(carrier), timeout=CALL_SECONDS)
    return delivery_id


async def _delivery_of(world: World, buyer: Account, order_id: str) -> str:
    """The order's delivery, which its event makes a moment later."""
    request = delivery_service_pb2.ListDeliveriesRequest(order_ids=[order_id])
    async with asyncio.timeout(_DELIVERY_SECONDS):
        while True:
            found = await world.deliveries.ListDeliveries(request, metadata=bearer(buyer), timeout=CALL_SECONDS)
            if found.deliveries:
                return found.deliveries[0].delivery_id
            await asyncio.sleep(0.1)


class Uplinks:
    """The couriers' uplinks, each going on from where it stood."""

    def __init__(self, couriers: Sequence[Account]) -> None:
        self._couriers = list(couriers)
        self.ids = [str(uuid.uuid4()) for _ in couriers]
        self._start_micros = time.time_ns() // 1000 - _PAST_MICROS
        self.sent = 0

    async def sign_in(self, world: World) -> None:
        """Fresh tokens."""
        self._couriers = await gather(world.fresh, self._couriers)

    def now(self) -> list[Uplink]:
        """Where each of them stands. They send faster than time goes, so their clocks began hours ago."""
        return [
            Uplink(
                courier.access_token,
                uplink_id,
                self.sent + 1,
                self._start_micros + self.sent * SAMPLE_MICROS,
                _LATITUDE + index / 1000,
                _LONGITUDE,
            )
            for index, (courier, uplink_id) in enumerate(zip(self._couriers, self.ids, strict=True))
        ]

    def advance(self, positions: int) -> None:
        """Each has sent so many."""
        self.sent += positions


class StreamLocations(Plain):
    """Couriers who send at a steady pace, with `positions` in a message.

    A pace, since a message that comes alone costs several times one that comes in a burst: as fast as acknowledgements
    allow, the floor, which acknowledges at once, would see other bursts than the server, which commits first.
    """

    def __init__(self, positions: int, target: Target) -> None:
        self.name = f"stream_locations_{positions}"
        self.target = target
        self._positions = positions
        self.note = (
            f"{_MESSAGES_A_SECOND[positions]:,} messages a second from all couriers, whatever the server could take; "
            "p50 and p99 are until the acknowledgement, which comes after the commit"
        )

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Couriers of this operation's own."""
        count = _COURIERS_QUICK if size.quick else _COURIERS
        couriers = await gather(lambda _: courier(world), range(count))
        self._uplinks = Uplinks([account for account, _ in couriers])
        self._floor = FloorMethod(self.name, Shape.UPLINK, positions_per_message=self._positions)
        return [self._floor]

    async def begin(self, world: World) -> None:
        """Fresh tokens."""
        await self._uplinks.sign_in(world)

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work]:
        """Each courier's next messages; a multiple of ten, since a floor acknowledges one in ten."""
        uplinks = self._uplinks.now()
        rate_hz = _MESSAGES_A_SECOND[self._positions] / len(uplinks)
        messages = max(10, int(size.seconds * rate_hz) // 10 * 10)
        path = path_on(side, _STREAM, self._floor)
        return [
            Positions(side.target, path, part, messages, self._positions, rate_hz, _WINDOW, CONNECTIONS)
            for part in split(uplinks, processes)
        ]

    def absorb(self, side: Side, found: Found) -> None:
        """The numbers go on."""
        if not side.is_floor:
            self._uplinks.advance(found.positions)

    async def verify(self, world: World) -> None:
        """Every position that was acknowledged is stored."""
        stored = await world.read(
            "SELECT count(*) FROM position_points WHERE uplink_id = ANY($1::uuid[])", self._uplinks.ids
        )
        expect(self.name, stored, self._uplinks.sent * len(self._uplinks.ids))


class WatchFanout(Plain):
    """A delivery under way with many watchers: each position goes to all of them before the next is sent."""

    name = "watch_fanout"
    target = Target(tuned=1.2)

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Bring a delivery under way, and see what a watcher gets."""
        await world.open_shops()
        self._watchers = _WATCHERS_QUICK if size.quick else _WATCHERS
        self.note = f"a message to one of {self._watchers} watchers counts as one call"
        (self._buyer,) = await world.buyers(1)
        self._courier, courier_id = await courier(world)
        self._delivery_id = await delivery_under_way(world, self._buyer, self._courier, courier_id)
        self._uplink_id = str(uuid.uuid4())
        self._sent = 0
        self._request = tracking_service_pb2.WatchDeliveryRequest(delivery_id=self._delivery_id).SerializeToString()
        self._watch = FloorMethod(self.name, Shape.WATCH, await self._capture(world))
        self._up = FloorMethod(f"{self.name}_uplink", Shape.UPLINK)
        return [self._watch, self._up]

    async def begin(self, world: World) -> None:
        """Fresh tokens."""
        self._courier = await world.fresh(self._courier)
        self._buyer = await world.fresh(self._buyer)

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work]:
        """One process: what is timed spans all watchers."""
        return [
            Fanout(
                side.target,
                path_on(side, _WATCH, self._watch),
                self._buyer.access_token,
                self._request,
                path_on(side, _STREAM, self._up),
                self._uplink(),
                self._watchers,
                max(1, self._watchers // _WATCHERS_A_CONNECTION),
                size.seconds,
            )
        ]

    def absorb(self, side: Side, found: Found) -> None:
        """The numbers go on."""
        if not side.is_floor:
            self._sent += found.positions

    def _uplink(self) -> Uplink:
        micros = time.time_ns() // 1000
        return Uplink(self._courier.access_token, self._uplink_id, self._sent + 1, micros, _LATITUDE, _LONGITUDE)

    async def _capture(self, world: World) -> bytes:
        """A position as a watcher gets it."""
        watching: Any = world.channel.unary_stream(_WATCH)
        watcher = watching(self._request, metadata=bearer(self._buyer))
        try:
            async with asyncio.timeout(_DELIVERY_SECONDS):
                await watcher.read()
                await self._report(world)
                while True:
                    raw: bytes = await watcher.read()
                    if tracking_service_pb2.WatchDeliveryResponse.FromString(raw).HasField("position"):
                        return raw
        finally:
            watcher.cancel()

    async def _report(self, world: World) -> None:
        """Send one position and see it acknowledged."""
        uplink = self._uplink()
        streaming: Any = world.channel.stream_stream(_STREAM)
        stream = streaming(metadata=bearer(self._courier))
        try:
            await greet(stream, uplink)
            await stream.write(batch(uplink, 0, 1))
            while not tracking_service_pb2.StreamLocationsResponse.FromString(await stream.read()).HasField("ack"):
                pass
            await stream.done_writing()
            while await stream.read() is not grpc.aio.EOF:
                pass
        finally:
            stream.cancel()
        self._sent += 1
