"""Workers of tracking on a real database, and couriers on shift with their deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from marketd.delivery.estimate import band
from marketd.delivery.events import DeliveryAssigned, DeliveryCreated, DeliveryPickedUp
from marketd.delivery.model import CourierState, DeliveryOutcome, DeliveryState, StopKind, Vehicle
from marketd.delivery.repository import couriers, deliveries
from marketd.delivery.transition import close, make_event, transition
from marketd.delivery.values import Courier, Delivery, DeliveryCourier, Stop
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.broadcast import Broadcast
from marketd.kernel.slice import Parts
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.tracking import wiring
from marketd.tracking.servicer import TrackingServicer
from marketplace.tracking.v1 import position_pb2
from marketplace.tracking.v1.tracking_service_pb2 import (
    ReportLocationsRequest,
    WatchDeliveryRequest,
)

from tests.worlds.built import Built
from tests.worlds.calls import call, caller_of
from tests.worlds.parts import make_parts, make_settings
from tests.worlds.tracking_clients import DROPOFF, PICKUP, Uplink, Watching

_QUICK: Final = {"gather_seconds": 0.02}


@dataclass(frozen=True)
class Bringing:
    """A delivery with its people."""

    delivery_id: UUID
    order_id: UUID
    buyer: Caller
    seller: Caller


class Worker:
    """Tracking in one process. Positions are gathered for a shorter time than in earnest; other times, and None for
    those of a server.
    """

    def __init__(self, parts: Parts, times: Mapping[str, float] | None = _QUICK) -> None:
        made = wiring.make_machinery(parts, **(times or {}))
        self.tx, self.feed = parts.tx, parts.feed
        self.hub, self.resume = made.hub, made.resume
        self.built = Built(parts, "tracking", instead={"tracking": partial(wiring.build_on, made)})
        self.servicer = self.built.servicer(TrackingServicer)
        self.open: list[Uplink | Watching] = []

    def uplink(self, courier: Caller) -> Uplink:
        made = Uplink(self.servicer, courier)
        self.open.append(made)
        return made

    def watch(self, caller: Caller, delivery_id: UUID, *, resume_token: str = "", max_rate_hz: float = 0) -> Watching:
        request = WatchDeliveryRequest(delivery_id=str(delivery_id), resume_token=resume_token, max_rate_hz=max_rate_hz)
        made = Watching(self.servicer, caller, request)
        self.open.append(made)
        return made

    async def report(
        self, courier: Caller, uplink_id: UUID, positions: Sequence[position_pb2.Position]
    ) -> position_pb2.Ack:
        request = ReportLocationsRequest(
            uplink_id=str(uplink_id), batch=position_pb2.PositionBatch(positions=positions)
        )
        return (await call(courier, self.servicer.ReportLocations, request)).ack


@asynccontextmanager
async def run_worker(
    tx: Transactor, broadcast: Broadcast, *, times: Mapping[str, float] | None = _QUICK, **settings: Any
) -> AsyncIterator[Worker]:
    """A worker with its background tasks, under these settings. times: see Worker."""
    parts = make_parts(tx, broadcast=broadcast, settings=make_settings(**settings))
    worker = Worker(parts, times)
    async with worker.built.running():
        try:
            yield worker
        finally:
            for client in worker.open:
                await client.drop()
            assert not worker.servicer._streams, "a stream that has ended is told nothing any more"


@dataclass
class World:
    """The database with its couriers and deliveries."""

    tx: Transactor

    async def courier(self) -> tuple[Caller, UUID]:
        """An active courier on shift."""
        user_id, courier_id = new_id(), new_id()

        async def work(uow: UnitOfWork) -> None:
            new = Courier(
                courier_id=courier_id,
                user_id=user_id,
                first_name="Noor",
                last_name="Quiet",
                phone="",
                vehicle=Vehicle.BICYCLE,
                plate_number="",
                state=CourierState.ACTIVE,
                create_time=uow.now,
                update_time=uow.now,
            )
            await couriers.insert(uow.connection, new)
            await couriers.start_shift(uow.connection, new_id(), courier_id, Vehicle.BICYCLE, uow.now)

        await self.tx.run("test.courier", work)
        return caller_of(user_id, Role.BUYER, Role.COURIER), courier_id

    async def end_shift(self, courier_id: UUID) -> None:
        async def work(uow: UnitOfWork) -> None:
            courier = await couriers.lock(uow.connection, courier_id)
            assert courier is not None
            assert courier.shift_id is not None
            await couriers.end_shift(uow.connection, courier.shift_id, uow.now)

        await self.tx.run("test.shift", work)

    async def delivery(self, courier_id: UUID | None = None) -> Bringing:
        """A delivery from PICKUP to DROPOFF, assigned when a courier is named."""
        made = Bringing(new_id(), new_id(), caller_of(new_id(), Role.BUYER), caller_of(new_id(), Role.SELLER))

        def address(point: Point) -> Address:
            return Address("Kim", "+4930111", ("Torstr. 1",), "Berlin", "", "10119", "DE", point)

        async def work(uow: UnitOfWork) -> None:
            new = Delivery(
                delivery_id=made.delivery_id,
                order_id=made.order_id,
                order_number="K7QW-2M9T",
                seller_id=new_id(),
                owner_user_id=made.seller.known_user_id,
                buyer_id=made.buyer.known_user_id,
                dropoff_code="123456",
                pickup=Stop(StopKind.PICKUP, address(PICKUP)),
                dropoff=Stop(StopKind.DROPOFF, address(DROPOFF)),
                fee_minor=490,
                currency="EUR",
                item_count=1,
                ready_time=uow.now,
                eta=band(uow.now, uow.now + timedelta(minutes=30)),
                create_time=uow.now,
                update_time=uow.now,
            )
            assert await deliveries.insert(uow.connection, new)
            people = {"seller_id": new.seller_id, "buyer_id": new.buyer_id}
            uow.emit(make_event(DeliveryCreated, new, new.state, uow.now, people))

        await self.tx.run("test.delivery", work)
        if courier_id is not None:
            await self.step(made.delivery_id, DeliveryState.ASSIGNED, courier_id)
        return made

    async def step(self, delivery_id: UUID, state: DeliveryState, courier_id: UUID | None = None) -> None:
        """Move the delivery on as delivery's use cases do, without its order. CLOSED: it was delivered."""

        async def work(uow: UnitOfWork) -> None:
            before = await deliveries.lock(uow.connection, delivery_id)
            assert before is not None
            if state is DeliveryState.CLOSED:
                await close(uow, before, DeliveryOutcome.DELIVERED)
            elif courier_id is None:
                await transition(uow, before, state, DeliveryPickedUp)
            else:
                courier = await couriers.lock(uow.connection, courier_id)
                assert courier is not None
                told = {"courier_user_id": courier.user_id}
                brings = DeliveryCourier(courier_id, courier.user_id, courier.first_name, Vehicle.BICYCLE)
                await transition(uow, before, state, DeliveryAssigned, told, courier=brings, assign_time=uow.now)

        await self.tx.run("test.step", work)

    async def stored(self, courier_id: UUID) -> list[int]:
        """The numbers of the courier's stored positions, with repeats if there were any."""
        rows = await self.tx.read(
            lambda unit: unit.connection.fetch(
                "SELECT seq FROM position_points WHERE courier_id = $1 ORDER BY seq", courier_id
            )
        )
        return [row["seq"] for row in rows]

    async def violations(self) -> list[str]:
        """What the invariants find."""
        return await Built(make_parts(self.tx), "tracking").violations()
