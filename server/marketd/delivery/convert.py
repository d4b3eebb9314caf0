"""Between delivery's values and marketplace.delivery.v1; here it is decided who sees which part."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_pb2, delivery_service_pb2

from marketd.delivery.assign import ReassignDelivery
from marketd.delivery.couriers import CreateCourier
from marketd.delivery.end import EndDelivery
from marketd.delivery.life import CourierMove
from marketd.delivery.model import (
    CourierState,
    DeliveryActor,
    DeliveryOutcome,
    DeliveryState,
    FailureReason,
    RemovalReason,
    StopKind,
    Vehicle,
)
from marketd.delivery.values import (
    Courier,
    CourierFilter,
    Delivery,
    DeliveryCourier,
    DeliveryFilter,
    DeliveryOrder,
    Eta,
    Failure,
    Shift,
    Stop,
)
from marketd.delivery.viewers import viewer_of
from marketd.delivery.watch import Assigned, Changed, CourierNews, CourierSnapshot, Removed, Reset
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import parse_order
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import Beat
from marketd.kernel.values.address import Address
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.geo import distance_meters
from marketd.kernel.wire import from_timestamp, to_address, to_money, to_rating, to_stream_reset, to_timestamp

COURIER_STATES: Final = EnumMap(CourierState, courier_pb2.CourierState)
VEHICLES: Final = EnumMap(Vehicle, courier_pb2.VehicleType)
DELIVERY_STATES: Final = EnumMap(DeliveryState, delivery_pb2.DeliveryState)
OUTCOMES: Final = EnumMap(DeliveryOutcome, delivery_pb2.DeliveryOutcome)
FAILURE_REASONS: Final = EnumMap(FailureReason, delivery_pb2.DeliveryFailureReason)
ACTORS: Final = EnumMap(DeliveryActor, delivery_pb2.DeliveryActor)
STOP_KINDS: Final = EnumMap(StopKind, delivery_pb2.StopKind)
REMOVAL_REASONS: Final = EnumMap(RemovalReason, delivery_service_pb2.DeliveryRemovalReason)


Move: TypeAlias = (
    courier_service_pb2.ApproveCourierRequest
    | courier_service_pb2.RejectCourierRequest
    | courier_service_pb2.SuspendCourierRequest
    | courier_service_pb2.ReinstateCourierRequest
    | courier_service_pb2.CloseCourierRequest
)
End: TypeAlias = (
    delivery_service_pb2.CancelDeliveryRequest
    | delivery_service_pb2.FailDeliveryRequest
    | delivery_service_pb2.ReturnToSellerRequest
)


def from_create_courier(courier: courier_pb2.Courier) -> CreateCourier:
    """The command in a validated request."""
    return CreateCourier(
        first_name=courier.first_name,
        last_name=courier.last_name,
        phone=courier.phone,
        vehicle=VEHICLES.from_wire(courier.vehicle),
        plate_number=courier.plate_number,
    )


def from_courier_id(text: str) -> UUID | None:
    """The id in a validated request; None for `me`."""
    return None if text == "me" else UUID(text)


def from_move(request: Move) -> CourierMove:
    """The command in a validated request."""
    return CourierMove(courier_id=from_courier_id(request.courier_id), reason=request.reason, etag=request.etag)


def from_list_couriers(request: courier_service_pb2.ListCouriersRequest) -> CourierFilter:
    """The filter in a validated request. Raises ValidationFailed for an order that there is not."""
    _, is_descending = parse_order(request.order_by, ("create_time",), default="create_time desc")
    return CourierFilter(
        states=COURIER_STATES.all_from_wire(request.states),
        user_ids=_ids(request.user_ids),
        is_descending=is_descending,
    )


def from_reassign(request: delivery_service_pb2.ReassignDeliveryRequest) -> ReassignDelivery:
    """The command in a validated request."""
    return ReassignDelivery(
        delivery_id=UUID(request.delivery_id),
        courier_id=UUID(request.courier_id) if request.HasField("courier_id") else None,
        reason=request.reason,
        etag=request.etag,
    )


def from_end(request: End) -> EndDelivery:
    """The command in a validated request. Raises ValidationFailed for a time that is none."""
    return EndDelivery(
        delivery_id=UUID(request.delivery_id),
        reason=FAILURE_REASONS.from_wire(request.reason),
        note=request.note,
        occurred_time=None
        if isinstance(request, delivery_service_pb2.CancelDeliveryRequest)
        else from_occurred_time(request.occurred_time if request.HasField("occurred_time") else None),
        etag=request.etag,
    )


def from_list_deliveries(request: delivery_service_pb2.ListDeliveriesRequest) -> DeliveryFilter:
    """The filter in a validated request. Raises ValidationFailed for an interval that ends before it begins."""
    create_time_from, create_time_before = _interval(request, "create_time")
    close_time_from, close_time_before = _interval(request, "close_time")
    return DeliveryFilter(
        states=DELIVERY_STATES.all_from_wire(request.states),
        outcomes=OUTCOMES.all_from_wire(request.outcomes),
        order_ids=_ids(request.order_ids),
        buyer_ids=_ids(request.buyer_ids),
        seller_ids=_ids(request.seller_ids),
        courier_ids=_ids(request.courier_ids),
        create_time_from=create_time_from,
        create_time_before=create_time_before,
        close_time_from=close_time_from,
        close_time_before=close_time_before,
    )


def from_order_by(text: str) -> DeliveryOrder:
    """The order that was asked for. Raises ValidationFailed for one that there is not."""
    name, is_descending = parse_order(text, ("create_time", "close_time"), default="create_time desc")
    return DeliveryOrder(by_close_time=name == "close_time", is_descending=is_descending)


def to_courier(courier: Courier) -> courier_pb2.Courier:
    """All of a courier: for the courier and for admins."""
    return courier_pb2.Courier(
        courier_id=str(courier.courier_id),
        user_id=str(courier.user_id),
        first_name=courier.first_name,
        last_name=courier.last_name or None,
        phone=courier.phone or None,
        vehicle=VEHICLES.to_wire(courier.vehicle),
        plate_number=courier.plate_number or None,
        state=COURIER_STATES.to_wire(courier.state),
        state_reason=courier.state_reason or None,
        rating=to_rating(courier.rating),
        on_shift=courier.on_shift,
        completed_deliveries=courier.completed_deliveries,
        create_time=to_timestamp(courier.create_time),
        update_time=to_timestamp(courier.update_time),
        approve_time=_instant(courier.approve_time),
        etag=etag_of(courier.version),
    )


def to_shift(shift: Shift) -> courier_pb2.Shift:
    return courier_pb2.Shift(
        shift_id=str(shift.shift_id),
        courier_id=str(shift.courier_id),
        vehicle=VEHICLES.to_wire(shift.vehicle),
        start_time=to_timestamp(shift.start_time),
        end_time=_instant(shift.end_time),
        completed_deliveries=shift.completed_deliveries,
        etag=etag_of(shift.version),
    )


def to_delivery_courier(courier: DeliveryCourier) -> delivery_pb2.DeliveryCourier:
    """What buyers and sellers may know of a courier: never the last name or the phone."""
    return delivery_pb2.DeliveryCourier(
        courier_id=str(courier.courier_id),
        first_name=courier.first_name,
        vehicle=VEHICLES.to_wire(courier.vehicle),
        rating=to_rating(courier.rating),
    )


def to_eta(eta: Eta) -> delivery_pb2.Eta:
    return delivery_pb2.Eta(
        expected_time=to_timestamp(eta.expected_time),
        earliest_time=to_timestamp(eta.earliest_time),
        latest_time=to_timestamp(eta.latest_time),
        estimate_time=to_timestamp(eta.estimate_time),
    )


def to_failure(failure: Failure, *, in_words: bool) -> delivery_pb2.DeliveryFailure:
    return delivery_pb2.DeliveryFailure(
        reason=FAILURE_REASONS.to_wire(failure.reason),
        note=(failure.note or None) if in_words else None,
        actor=ACTORS.to_wire(failure.actor),
    )


def to_delivery(delivery: Delivery, caller: Caller) -> delivery_pb2.Delivery:
    """The delivery as this caller may see it."""
    viewer = viewer_of(caller, delivery)
    message = delivery_pb2.Delivery(
        delivery_id=str(delivery.delivery_id),
        order_id=str(delivery.order_id),
        order_number=delivery.order_number,
        seller_id=str(delivery.seller_id),
        buyer_id=str(delivery.buyer_id) if viewer.sees_people else None,
        state=DELIVERY_STATES.to_wire(delivery.state),
        outcome=OUTCOMES.optional_to_wire(delivery.outcome),
        failure=to_failure(delivery.failure, in_words=viewer.sees_people) if delivery.failure is not None else None,
        courier=to_delivery_courier(delivery.courier) if delivery.courier is not None else None,
        dropoff_code=delivery.dropoff_code if viewer.sees_code else None,
        pickup=_stop(delivery.pickup, viewer.pickup_address(delivery)),
        dropoff=_stop(delivery.dropoff, viewer.dropoff_address(delivery)),
        eta=to_eta(delivery.eta) if delivery.eta is not None else None,
        fee=to_money(delivery.fee),
        item_count=delivery.item_count,
        proof_media_ids=[str(media_id) for media_id in delivery.proof_media_ids],
        create_time=to_timestamp(delivery.create_time),
        update_time=to_timestamp(delivery.update_time),
        ready_time=_instant(delivery.ready_time),
        offer_time=_instant(delivery.offer_time),
        assign_time=_instant(delivery.assign_time),
        pick_up_time=_instant(delivery.pick_up_time),
        close_time=_instant(delivery.close_time),
        etag=etag_of(delivery.version),
    )
    if viewer.sees_way and delivery.pickup.point is not None and delivery.dropoff.point is not None:
        message.distance_meters = distance_meters(delivery.pickup.point, delivery.dropoff.point)
    return message


def to_watch_response(
    news: CourierNews | Beat, caller: Caller, resume_token: str
) -> delivery_service_pb2.WatchDeliveriesResponse:
    """One message of a courier's stream."""
    response = delivery_service_pb2.WatchDeliveriesResponse(resume_token=resume_token)
    if isinstance(news, CourierSnapshot):
        response.snapshot.SetInParent()
        response.snapshot.deliveries.extend(to_delivery(delivery, caller) for delivery in news.deliveries)
    elif isinstance(news, Assigned):
        response.assigned.delivery.CopyFrom(to_delivery(news.delivery, caller))
    elif isinstance(news, Changed):
        response.changed.delivery.CopyFrom(to_delivery(news.delivery, caller))
        response.changed.previous_state = DELIVERY_STATES.to_wire(news.previous_state)
    elif isinstance(news, Removed):
        response.removed.delivery_id = str(news.delivery_id)
        response.removed.reason = REMOVAL_REASONS.to_wire(news.removal_reason)
    elif isinstance(news, Reset):
        response.reset.CopyFrom(to_stream_reset(news.reason))
    else:
        response.heartbeat.server_time.CopyFrom(to_timestamp(news.time))
    return response


def _stop(stop: Stop, address: Address | None) -> delivery_pb2.Stop:
    return delivery_pb2.Stop(
        kind=STOP_KINDS.to_wire(stop.kind),
        address=to_address(address) if address is not None else None,
        arrive_time=_instant(stop.arrive_time),
        depart_time=_instant(stop.depart_time),
    )


def _instant(instant: datetime | None) -> Timestamp | None:
    return to_timestamp(instant) if instant is not None else None


def from_occurred_time(message: Timestamp | None) -> datetime | None:
    """The instant in an optional `occurred_time`. Raises ValidationFailed for what is none."""
    return from_timestamp(message, "occurred_time") if message is not None else None


def _ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    return tuple(UUID(text) for text in texts)


def _interval(
    request: delivery_service_pb2.ListDeliveriesRequest, name: Literal["create_time", "close_time"]
) -> tuple[datetime | None, datetime | None]:
    """From when and before when, of the two fields that begin with `name`."""
    given = {field.name: message for field, message in request.ListFields()}
    begin, end = (
        from_timestamp(given[field], field) if field in given else None for field in (f"{name}_from", f"{name}_before")
    )
    if begin is not None and end is not None and end < begin:
        raise ValidationFailed(FieldViolation(f"{name}_before", f"must not be before {name}_from"))
    return begin, end
