"""The second half of the story: a courier brings the order and is watched on the way until the door."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from marketplace.delivery.v1 import (
    courier_pb2,
    courier_service_pb2,
    delivery_pb2,
    delivery_service_pb2,
)
from marketplace_client import MarketplaceError, watch_deliveries, watch_delivery

from marketd.demo.buy import Purchase
from marketd.demo.people import Cast
from marketd.demo.play import Played, play
from marketd.demo.records import CheckFailed, DemoOptions, require
from marketd.demo.stage import Stage
from marketd.demo.traces.points import TracePoint, shifted_to_end
from marketd.demo.watches import (
    Watch,
    WatchDeliveries,
    WatchDelivery,
    Watchers,
    check_positions,
    delivery_states,
    kinds,
)

_DELIVERY_SECONDS = 20.0
_POLL_SECONDS = 0.1
# With fewer points the only ones stored may be flagged, and a flagged point alone moves nothing.
_POINTS_SURE_TO_SHOW = 10


class Ride:
    """The delivery of the story, with both watches over it."""

    def __init__(self, courier_id: str, jobs: Watch[WatchDeliveries]) -> None:
        self.courier_id = courier_id
        self.jobs = jobs
        self.delivery_id = ""
        self.watch: Watch[WatchDelivery] | None = None
        self.played = Played()

    @property
    def shown(self) -> Watch[WatchDelivery]:
        """The buyer's watch; it is opened before anybody is assigned."""
        if self.watch is None:
            raise CheckFailed("nobody watches the delivery")
        return self.watch


async def hire(stage: Stage, cast: Cast, watchers: Watchers) -> Ride:
    """A courier registers, is approved, starts a shift and waits for work."""
    async with stage.step("courier", "A courier registers and is approved") as detail:
        await cast.courier.register(cast.email("courier"), cast.password, full_name="Cory Demo")
        courier = (
            await cast.courier.courier.CreateCourier(
                courier_service_pb2.CreateCourierRequest(
                    courier=courier_pb2.Courier(
                        first_name="Cory",
                        last_name="Demo",
                        phone="+4930901821",
                        vehicle=courier_pb2.VEHICLE_TYPE_BICYCLE,
                    )
                )
            )
        ).courier
        require(courier.state == courier_pb2.COURIER_STATE_PENDING, "a new courier is not PENDING")
        approve = courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id, reason="demo")
        approved = (await cast.admin.courier.ApproveCourier(approve)).courier
        require(approved.state == courier_pb2.COURIER_STATE_ACTIVE, "an approved courier is not ACTIVE")
        detail["courier_id"] = courier.courier_id
    async with stage.step("shift", "The courier starts a shift and waits for work") as detail:
        shift = (await cast.courier.courier.StartShift(courier_service_pb2.StartShiftRequest())).shift
        detail["shift_id"] = shift.shift_id
        jobs = Watch("courier's watch", watch_deliveries(cast.courier, give_up_after=20))
        watchers.start(jobs)
        await jobs.until(lambda seen: any(message.HasField("snapshot") for message in seen), "a snapshot")
    return Ride(courier.courier_id, jobs)


async def assign(stage: Stage, cast: Cast, watchers: Watchers, purchase: Purchase, ride: Ride) -> None:
    """The delivery appears, the buyer begins to watch it, and the admin gives it to the courier."""
    async with stage.step("assign", "The admin assigns the courier, who sees it at once") as detail:
        delivery = await _delivery_of(cast, purchase.order.order_id)
        ride.delivery_id = detail["delivery_id"] = delivery.delivery_id
        ride.watch = Watch(
            "delivery watch", watch_delivery(cast.buyer, delivery.delivery_id, give_up_after=20), _shower(stage)
        )
        watchers.start(ride.watch)
        await ride.watch.until(lambda seen: bool(delivery_states(seen)), "a snapshot")
        request = delivery_service_pb2.AssignCourierRequest(
            delivery_id=delivery.delivery_id, courier_id=ride.courier_id
        )
        assigned = (await cast.admin.delivery.AssignCourier(request)).delivery
        require(assigned.state == delivery_pb2.DELIVERY_STATE_ASSIGNED, "the delivery is not ASSIGNED")
        await ride.jobs.until(
            lambda seen: any(message.assigned.delivery.delivery_id == ride.delivery_id for message in seen),
            "the assigned delivery",
        )
        await _shown(ride, delivery_pb2.DELIVERY_STATE_ASSIGNED)
        detail["courier"] = stage.progress.courier = assigned.courier.first_name


async def pick_up(stage: Stage, cast: Cast, ride: Ride) -> None:
    """The courier takes the goods."""
    async with stage.step("pick_up", "The courier picks it up") as detail:
        request = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=ride.delivery_id)
        delivery = (await cast.courier.delivery.PickUpDelivery(request)).delivery
        detail["state"] = delivery_pb2.DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_")
        require(not delivery.dropoff_code, "the courier was told the buyer's code")
        await _shown(ride, delivery_pb2.DELIVERY_STATE_PICKED_UP)


async def track(stage: Stage, cast: Cast, ride: Ride, options: DemoOptions, points: Sequence[TracePoint]) -> None:
    """The courier's positions go up, and each is acknowledged once."""
    async with stage.step("track", f"The courier rides {options.trace.name}") as detail:
        progress = stage.progress
        progress.positions = len(points)

        def show(played: Played) -> None:
            ride.played = played
            progress.sent, progress.stored, progress.rejected = played.sent, played.stored, played.rejected
            stage.moved()

        now = datetime.now(UTC)
        played = await play(cast.courier, shifted_to_end(points, now), options.speed, show, options.silence_seconds)
        detail["sent"], detail["stored"], detail["rejected"] = played.sent, played.stored, played.rejected
        detail["reasons"], detail["connections"] = played.reasons(), played.connections
        require(played.sent == len(points), f"{played.sent} of {len(points)} positions were sent")
        played.check()
        if played.stored >= _POINTS_SURE_TO_SHOW:
            await ride.shown.until(lambda seen: any(message.HasField("position") for message in seen), "a position")


async def complete(stage: Stage, cast: Cast, ride: Ride) -> None:
    """The buyer's code closes the delivery; a wrong one does not."""
    async with stage.step("complete", "The buyer tells the code at the door") as detail:
        read = delivery_service_pb2.GetDeliveryRequest(delivery_id=ride.delivery_id)
        code = (await cast.buyer.delivery.GetDelivery(read)).delivery.dropoff_code
        require(code.isdigit(), "the buyer is told no code")
        wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
        request = delivery_service_pb2.CompleteDeliveryRequest(delivery_id=ride.delivery_id, code=wrong)
        try:
            await cast.courier.delivery.CompleteDelivery(request)
        except MarketplaceError as refusal:
            require(refusal.reason == "PROOF_CODE_MISMATCH", f"a wrong code is refused with {refusal}")
            detail["wrong_code"] = refusal.reason
        else:
            raise CheckFailed("a wrong code closed the delivery")
        request.code = code
        delivery = (await cast.courier.delivery.CompleteDelivery(request)).delivery
        require(delivery.outcome == delivery_pb2.DELIVERY_OUTCOME_DELIVERED, "the delivery is not DELIVERED")
        detail["outcome"] = "DELIVERED"


async def check_watch(stage: Stage, ride: Ride) -> None:
    """The buyer was shown every change of state, positions in order, and the close."""
    async with stage.step("watch", "The buyer saw every change, the way in order, and the close") as detail:
        watch = ride.shown
        await watch.until_end()
        states = delivery_states(watch.seen)
        names = [delivery_pb2.DeliveryState.Name(state).removeprefix("DELIVERY_STATE_") for state in states]
        detail["states"], detail["events"] = names, dict(kinds(watch.seen))
        detail["positions"] = check_positions(watch.seen)
        needed = [name for name in names if name in ("CREATED", "ASSIGNED", "PICKED_UP", "CLOSED")]
        wanted = ["CREATED", "ASSIGNED", "PICKED_UP", "CLOSED"]
        require(needed == wanted, f"the watch showed {names}, which lacks some of {wanted}")
        require(names[-1:] == ["CLOSED"], "the close was not the last change that the watch showed")


async def end_shift(stage: Stage, cast: Cast, ride: Ride) -> None:
    """The delivery leaves the courier's list, and the shift ends."""
    async with stage.step("end_shift", "The courier ends the shift") as detail:
        await ride.jobs.until(
            lambda seen: any(message.removed.delivery_id == ride.delivery_id for message in seen),
            "that the delivery is done",
        )
        shift = (await cast.courier.courier.EndShift(courier_service_pb2.EndShiftRequest())).shift
        detail["completed_deliveries"] = shift.completed_deliveries
        require(shift.HasField("end_time"), "the ended shift has no end")


async def _delivery_of(cast: Cast, order_id: str) -> delivery_pb2.Delivery:
    """The order's delivery; it is made by an event soon after the order is ready."""
    request = delivery_service_pb2.ListDeliveriesRequest(order_ids=[order_id])
    end = time.monotonic() + _DELIVERY_SECONDS
    found: Sequence[delivery_pb2.Delivery] = ()
    while not found and time.monotonic() < end:
        found = (await cast.buyer.delivery.ListDeliveries(request)).deliveries
        await asyncio.sleep(0 if found else _POLL_SECONDS)
    require(found, f"no delivery was made within {_DELIVERY_SECONDS:g} s after the order was ready")
    require(len(found) == 1, f"{len(found)} deliveries were made for one order")
    return found[0]


async def _shown(ride: Ride, state: delivery_pb2.DeliveryState.ValueType) -> None:
    name = delivery_pb2.DeliveryState.Name(state)
    await ride.shown.until(lambda seen: state in delivery_states(seen), name)


def _shower(stage: Stage) -> Callable[[WatchDelivery], None]:
    def show(message: WatchDelivery) -> None:
        progress, kind = stage.progress, message.WhichOneof("event") or "none"
        progress.watch_events[kind] = progress.watch_events.get(kind, 0) + 1
        if kind in ("snapshot", "state_change"):
            state = message.snapshot.state if kind == "snapshot" else message.state_change.state
            progress.delivery_state = delivery_pb2.DeliveryState.Name(state).removeprefix("DELIVERY_STATE_")
        elif kind == "position":
            point = message.position.point
            progress.where = f"{point.latitude:.5f}, {point.longitude:.5f}"
        elif kind == "eta":
            progress.eta = message.eta.eta.expected_time.ToDatetime(tzinfo=UTC).astimezone().strftime("%H:%M:%S")
        stage.moved()

    return show
