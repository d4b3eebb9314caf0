"""What tracking asks of the delivery slice, and tells it: the one place where the two meet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.delivery import service as delivery
from marketd.delivery.states import CourierState, StopKind
from marketd.delivery.values import Eta, LatestPosition, WatchedDelivery
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.tracking.instants import instant, micros
from marketd.tracking.trip.trip import Leg
from marketd.tracking.uplink.judge import Fix
from marketd.tracking.watch.audience import CourierBrief, Followed


async def reporting_courier(unit: ReadUnit | UnitOfWork, user_id: UUID) -> UUID | None:
    """The id of the account's courier while positions are taken from them: active and on shift."""
    courier = await delivery.courier_of(unit, user_id)
    if courier is None or courier.state is not CourierState.ACTIVE or not courier.on_shift:
        return None
    return courier.courier_id


async def read_followed(unit: ReadUnit | UnitOfWork, delivery_id: UUID) -> Followed | None:
    """The delivery as watchers follow it, whosever it is."""
    found = await delivery.read_delivery_for_watch(unit, delivery_id)
    return _followed(found) if found is not None else None


async def read_legs(unit: ReadUnit | UnitOfWork, courier_id: UUID) -> list[tuple[Leg, datetime | None]]:
    """The courier's open deliveries, each with the latest arrival that its estimate names now."""
    return [
        (
            Leg(
                delivery_id=found.delivery_id,
                order_id=found.order_id,
                courier_id=courier_id,
                is_picked_up=found.state.is_picked_up,
                pickup=found.pickup_point,
                dropoff=found.dropoff_point,
            ),
            found.eta.latest_time if found.eta is not None else None,
        )
        for found in await delivery.open_deliveries_of(unit, courier_id)
    ]


async def latest_fix(unit: ReadUnit | UnitOfWork, courier_id: UUID) -> Fix | None:
    """Where the courier's live marker stands in the database."""
    found = await delivery.read_latest_position(unit, courier_id)
    if found is None:
        return None
    return Fix(
        seq=found.seq,
        sample_micros=micros(found.sample_time),
        receive_micros=micros(found.receive_time),
        point=found.point,
        accuracy_meters=found.accuracy_meters,
        speed_mps=found.speed_mps,
        heading_degrees=found.heading_degrees,
    )


async def save_latest(uow: UnitOfWork, fixes: Sequence[tuple[UUID, Fix]]) -> None:
    """Write down the live markers; an older one than is kept changes nothing."""
    if not fixes:
        return
    await delivery.save_latest_positions(
        uow,
        [
            LatestPosition(
                courier_id=courier_id,
                sample_time=instant(fix.sample_micros),
                receive_time=instant(fix.receive_micros),
                point=fix.point,
                speed_mps=fix.speed_mps,
                heading_degrees=fix.heading_degrees,
                accuracy_meters=fix.accuracy_meters,
                seq=fix.seq,
            )
            for courier_id, fix in fixes
        ],
    )


async def save_eta(uow: UnitOfWork, delivery_id: UUID, eta: Eta) -> None:
    """A new estimate; delivery tells it unless the delivery is closed."""
    await delivery.save_eta(uow, delivery_id, eta)


async def save_arrival(uow: UnitOfWork, delivery_id: UUID, stop: StopKind, occurred_micros: int) -> None:
    """The courier is at the stop; delivery tells it once."""
    await delivery.arrive_at_stop(uow, delivery_id, stop, instant(occurred_micros))


async def save_departure(uow: UnitOfWork, delivery_id: UUID, stop: StopKind, occurred_micros: int) -> None:
    """The courier has left the stop; delivery tells it once."""
    await delivery.depart_from_stop(uow, delivery_id, stop, instant(occurred_micros))


def _followed(found: WatchedDelivery) -> Followed:
    courier: CourierBrief | None = None
    if found.courier_id is not None:
        rating = found.courier_rating
        courier = CourierBrief(
            courier_id=found.courier_id,
            first_name=found.courier_first_name or "",
            vehicle=found.courier_vehicle or "UNSPECIFIED",
            rating_average=rating.average if rating is not None else 0.0,
            rating_counts=rating.counts if rating is not None else (),
        )
    return Followed(
        delivery_id=found.delivery_id,
        order_id=found.order_id,
        buyer_id=found.buyer_id,
        owner_user_id=found.owner_user_id,
        courier_user_id=found.courier_user_id,
        courier=courier,
        state=found.state.value,
        outcome=found.outcome.value if found.outcome is not None else None,
        picked_up_micros=micros(found.pick_up_time) if found.pick_up_time is not None else None,
        closed_micros=micros(found.close_time) if found.close_time is not None else None,
        pickup=found.pickup_point,
        dropoff=found.dropoff_point,
        eta=found.eta,
    )
