"""The recipes of orders, payments, deliveries and tracking."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import latlng_pb2
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2

from tests.e2e.matrix.scenes import ADMIN, BUYER, COURIER, SELLER, SERVICE, VIEWER, Book, Scene
from tests.worlds.matrix import Market
from tests.worlds.things import Person, Trip, assignment, money, new_key, payment

ORDER = Book("marketplace.order.v1.OrderService")
PAYMENT = Book("marketplace.payment.v1.PaymentService")
DELIVERY = Book("marketplace.delivery.v1.DeliveryService")
TRACKING = Book("marketplace.tracking.v1.TrackingService")
BOOKS = (ORDER, PAYMENT, DELIVERY, TRACKING)


def part_in(market: Market, trip: Trip, who: str) -> Person:
    """Who sees this order as this kind of caller."""
    if who == "COURIER":
        assert trip.rider is not None
        return trip.rider.person
    others = {"BUYER": trip.buyer, "SELLER": trip.shop.owner, "ADMIN": market.admin}
    return others.get(who, market.service)


def positions(first_seq: int = 1, count: int = 3) -> position_pb2.PositionBatch:
    """Good positions, a second apart, up to now."""
    now = Timestamp()
    now.GetCurrentTime()
    return position_pb2.PositionBatch(
        positions=[
            position_pb2.Position(
                seq=first_seq + index,
                sample_time=Timestamp(seconds=now.seconds - count + index, nanos=now.nanos),
                point=latlng_pb2.LatLng(latitude=52.53, longitude=13.40 + index / 100_000),
                accuracy_meters=5,
                speed_mps=4,
                heading_degrees=90,
            )
            for index in range(count)
        ]
    )


@ORDER.add("PlaceOrder", BUYER)
async def place_order(market: Market, who: str) -> Scene:
    buyer, request = await market.quoted()
    return Scene(buyer, (request,))


@ORDER.add("GetOrder", BUYER, SELLER, COURIER, ADMIN, SERVICE)
async def get_order(market: Market, who: str) -> Scene:
    request = order_service_pb2.GetOrderRequest(order_id=market.trip.order_id)
    return Scene(part_in(market, market.trip, who), (request,))


@ORDER.add("BatchGetOrders", BUYER, SELLER, COURIER, ADMIN, SERVICE)
async def batch_get_orders(market: Market, who: str) -> Scene:
    request = order_service_pb2.BatchGetOrdersRequest(order_ids=[market.trip.order_id, new_key()])
    return Scene(part_in(market, market.trip, who), (request,))


@ORDER.add("GetOrderGroup", BUYER, SELLER, ADMIN, SERVICE)
async def get_order_group(market: Market, who: str) -> Scene:
    request = order_service_pb2.GetOrderGroupRequest(order_group_id=market.trip.group.order_group_id)
    return Scene(part_in(market, market.trip, who), (request,))


@ORDER.add("ListOrderEvents", BUYER, SELLER, ADMIN, SERVICE)
async def list_order_events(market: Market, who: str) -> Scene:
    request = order_service_pb2.ListOrderEventsRequest(
        order_id=market.trip.order_id, page_size=5, order_by="number desc"
    )
    return Scene(part_in(market, market.trip, who), (request,))


@ORDER.add("GetReceipt", BUYER, SELLER, ADMIN)
async def get_receipt(market: Market, who: str) -> Scene:
    request = order_service_pb2.GetReceiptRequest(order_id=market.trip.order_id)
    return Scene(part_in(market, market.trip, who), (request,))


@ORDER.add("ListOrders", BUYER, SELLER, COURIER, ADMIN, SERVICE)
async def list_orders(market: Market, who: str) -> Scene:
    request = order_service_pb2.ListOrdersRequest(
        page_size=5, order_by="create_time", states=[order_pb2.ORDER_STATE_READY]
    )
    return Scene(part_in(market, market.trip, who), (request,))


@ORDER.add("AcceptOrder", SELLER)
async def accept_order(market: Market, who: str) -> Scene:
    trip = await market.paid()
    request = order_service_pb2.AcceptOrderRequest(
        request_id=new_key(), order_id=trip.order_id, prep_duration=Duration(seconds=600)
    )
    return Scene(trip.shop.owner, (request,))


@ORDER.add("RejectOrder", SELLER)
async def reject_order(market: Market, who: str) -> Scene:
    trip = await market.paid()
    request = order_service_pb2.RejectOrderRequest(
        request_id=new_key(), order_id=trip.order_id, reason=order_pb2.CANCELLATION_REASON_OUT_OF_STOCK, note="gone"
    )
    return Scene(trip.shop.owner, (request,))


@ORDER.add("MarkOrderReady", SELLER)
async def mark_ready(market: Market, who: str) -> Scene:
    trip = await market.accepted()
    request = order_service_pb2.MarkOrderReadyRequest(request_id=new_key(), order_id=trip.order_id)
    return Scene(trip.shop.owner, (request,))


@ORDER.add("CancelOrder", BUYER, SELLER, ADMIN)
async def cancel_order(market: Market, who: str) -> Scene:
    trip = await market.paid()
    request = order_service_pb2.CancelOrderRequest(
        request_id=new_key(),
        order_id=trip.order_id,
        lines=[order_service_pb2.CancelledLine(item_id=trip.item_id, quantity=1)],
        reason=order_pb2.CANCELLATION_REASON_OTHER,
        note="one too many",
    )
    return Scene(part_in(market, trip, who), (request,))


@ORDER.add("WatchOrder", BUYER, SELLER, ADMIN, take=1)
async def watch_order(market: Market, who: str) -> Scene:
    request = order_service_pb2.WatchOrderRequest(order_id=market.trip.order_id)
    return Scene(part_in(market, market.trip, who), (request,))


@ORDER.add("WatchOrders", BUYER, SELLER, ADMIN, take=1)
async def watch_orders(market: Market, who: str) -> Scene:
    request = order_service_pb2.WatchOrdersRequest(states=[order_pb2.ORDER_STATE_READY])
    return Scene(part_in(market, market.trip, who), (request,))


@PAYMENT.add("CreatePayment", BUYER)
async def create_payment(market: Market, who: str) -> Scene:
    trip = await market.placed()
    request = payment_service_pb2.CreatePaymentRequest(
        request_id=new_key(), order_group_id=trip.group.order_group_id, payment_provider="sandbox"
    )
    return Scene(trip.buyer, (request,))


@PAYMENT.add("ConfirmPayment", BUYER)
async def confirm_payment(market: Market, who: str) -> Scene:
    trip = await market.placed()
    request = payment(trip.group)
    request.return_url = "https://shop.example/paid"
    return Scene(trip.buyer, (request,))


@PAYMENT.add("GetPayment", BUYER, ADMIN, SERVICE)
async def get_payment(market: Market, who: str) -> Scene:
    request = payment_service_pb2.GetPaymentRequest(payment_id=market.trip.payment_id)
    return Scene(part_in(market, market.trip, who), (request,))


@PAYMENT.add("RefundPayment", ADMIN, SELLER)
async def refund_payment(market: Market, who: str) -> Scene:
    trip = await market.paid()
    request = payment_service_pb2.RefundPaymentRequest(
        request_id=new_key(),
        payment_id=trip.payment_id,
        order=payment_service_pb2.OrderRefund(order_id=trip.order_id, amount=money(3)),
        reason="a scratch",
    )
    return Scene(part_in(market, trip, who), (request,))


@DELIVERY.add("AssignCourier", ADMIN)
async def assign_courier(market: Market, who: str) -> Scene:
    trip, rider = await market.ready(), await market.ride()
    return Scene(market.admin, (assignment(trip, rider),))


@DELIVERY.add("ReassignDelivery", ADMIN)
async def reassign(market: Market, who: str) -> Scene:
    trip, rider = await market.assigned(), await market.ride()
    request = delivery_service_pb2.ReassignDeliveryRequest(
        delivery_id=trip.delivery_id, courier_id=rider.courier_id, reason="a flat tyre"
    )
    return Scene(market.admin, (request,))


@DELIVERY.add("CancelDelivery", ADMIN)
async def cancel_delivery(market: Market, who: str) -> Scene:
    trip = await market.ready()
    request = delivery_service_pb2.CancelDeliveryRequest(
        delivery_id=trip.delivery_id, reason=delivery_pb2.DELIVERY_FAILURE_REASON_SHOP_CLOSED, note="all dark"
    )
    return Scene(market.admin, (request,))


@DELIVERY.add("FailDelivery", COURIER, ADMIN)
async def fail_delivery(market: Market, who: str) -> Scene:
    trip = await market.picked_up()
    now = Timestamp()
    now.GetCurrentTime()
    request = delivery_service_pb2.FailDeliveryRequest(
        request_id=new_key(),
        delivery_id=trip.delivery_id,
        reason=delivery_pb2.DELIVERY_FAILURE_REASON_LOST,
        note="fell into the river",
        occurred_time=now,
    )
    return Scene(part_in(market, trip, who), (request,))


@DELIVERY.add("ReturnToSeller", COURIER, ADMIN)
async def return_to_seller(market: Market, who: str) -> Scene:
    trip = await market.picked_up()
    now = Timestamp()
    now.GetCurrentTime()
    request = delivery_service_pb2.ReturnToSellerRequest(
        request_id=new_key(),
        delivery_id=trip.delivery_id,
        reason=delivery_pb2.DELIVERY_FAILURE_REASON_REFUSED,
        note="the wrong colour",
        occurred_time=now,
    )
    return Scene(part_in(market, trip, who), (request,))


@DELIVERY.add("GetDelivery", BUYER, SELLER, COURIER, ADMIN, SERVICE)
async def get_delivery(market: Market, who: str) -> Scene:
    request = delivery_service_pb2.GetDeliveryRequest(delivery_id=market.trip.delivery_id)
    return Scene(part_in(market, market.trip, who), (request,))


@DELIVERY.add("ListDeliveries", BUYER, SELLER, COURIER, ADMIN, SERVICE)
async def list_deliveries(market: Market, who: str) -> Scene:
    request = delivery_service_pb2.ListDeliveriesRequest(page_size=5, order_ids=[market.trip.order_id])
    return Scene(part_in(market, market.trip, who), (request,))


@DELIVERY.add("WatchDeliveries", COURIER, take=1)
async def watch_deliveries(market: Market, who: str) -> Scene:
    return Scene(market.rider.person, (delivery_service_pb2.WatchDeliveriesRequest(),))


@DELIVERY.add("PickUpDelivery", COURIER)
async def pick_up(market: Market, who: str) -> Scene:
    trip = await market.assigned()
    now = Timestamp()
    now.GetCurrentTime()
    request = delivery_service_pb2.PickUpDeliveryRequest(
        request_id=new_key(), delivery_id=trip.delivery_id, occurred_time=now
    )
    return Scene(part_in(market, trip, "COURIER"), (request,))


@DELIVERY.add("CompleteDelivery", COURIER)
async def complete(market: Market, who: str) -> Scene:
    trip = await market.picked_up()
    assert trip.rider is not None
    now = Timestamp()
    now.GetCurrentTime()
    request = delivery_service_pb2.CompleteDeliveryRequest(
        request_id=new_key(),
        delivery_id=trip.delivery_id,
        code=await market.code_of(trip),
        media_ids=[await market.photographed(trip.rider.person)],
        occurred_time=now,
    )
    return Scene(part_in(market, trip, "COURIER"), (request,))


@TRACKING.add("StreamLocations", COURIER)
async def stream_locations(market: Market, who: str) -> Scene:
    rider = await market.ride()
    hello = tracking_service_pb2.Hello(uplink_id=new_key(), device_id="phone")
    ping = tracking_service_pb2.Ping(send_time=Timestamp(seconds=1))
    messages = (
        tracking_service_pb2.StreamLocationsRequest(hello=hello),
        tracking_service_pb2.StreamLocationsRequest(batch=positions()),
        tracking_service_pb2.StreamLocationsRequest(ping=ping),
    )
    return Scene(rider.person, messages)


@TRACKING.add("ReportLocations", COURIER)
async def report_locations(market: Market, who: str) -> Scene:
    rider = await market.ride()
    request = tracking_service_pb2.ReportLocationsRequest(uplink_id=new_key(), device_id="phone", batch=positions())
    return Scene(rider.person, (request,))


@TRACKING.add("WatchDelivery", BUYER, SELLER, COURIER, ADMIN, VIEWER, take=1)
async def watch_delivery(market: Market, who: str) -> Scene:
    request = tracking_service_pb2.WatchDeliveryRequest(delivery_id=market.trip.delivery_id, max_rate_hz=2)
    return Scene(part_in(market, market.trip, who), (request,))
