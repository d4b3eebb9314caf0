"""Orders as messages, and requests as commands."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money as MoneyMessage
from marketplace.order.v1 import order_pb2, order_service_pb2

from marketd.cart.convert import to_eta
from marketd.kernel.call.caller import Caller
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import Beat
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.money import Money
from marketd.kernel.wire import from_timestamp, to_address, to_money, to_timestamp
from marketd.order.access import allowed_actions, viewer_of
from marketd.order.cancel import CancelledLine, CancelOrder
from marketd.order.model import CancellationActor, CancellationReason, OrderAction, OrderState
from marketd.order.place import PlacedGroup
from marketd.order.prepare import AcceptOrder
from marketd.order.values import Order, OrderFilter, OrderItem
from marketd.order.watch import OrderChange, OrderNews, OrderReset, OrderSnapshot
from marketd.payment.convert import to_payment

_STATES = EnumMap(OrderState, order_pb2.OrderState)
_ACTIONS = EnumMap(OrderAction, order_pb2.OrderAction)
_REASONS = EnumMap(CancellationReason, order_pb2.CancellationReason)
_ACTORS = EnumMap(CancellationActor, order_pb2.CancellationActor)


def to_order(order: Order, caller: Caller) -> order_pb2.Order:
    """marketplace.order.v1.Order, with what this caller may do."""

    def money(amount_minor: int) -> MoneyMessage:
        return to_money(Money(amount_minor, order.currency))

    message = order_pb2.Order(
        order_id=str(order.order_id),
        order_number=order.order_number,
        order_group_id=str(order.order_group_id),
        buyer_id=str(order.buyer_id),
        seller_id=str(order.seller_id),
        shop_name=order.shop_name,
        state=_STATES.to_wire(order.state),
        allowed_actions=[_ACTIONS.to_wire(action) for action in allowed_actions(order, viewer_of(caller, order))],
        items=[_item(order, item) for item in order.items],
        address=to_address(order.address),
        subtotal=money(order.subtotal_minor),
        discount=money(order.discount_minor),
        delivery_fee=money(order.delivery_fee_minor),
        total=money(order.total_minor),
        refunded=money(order.refunded_minor),
        payment_id=str(order.payment_id),
        delivery_id=str(order.delivery_id or ""),
        courier_id=str(order.courier_id or ""),
        prep_minutes=order.prep_minutes,
        eta=to_eta(order.eta_earliest_time, order.eta_latest_time),
        create_time=to_timestamp(order.create_time),
        update_time=to_timestamp(order.update_time),
        payment_expire_time=to_timestamp(order.payment_expire_time),
        paid_time=_instant(order.pay_time),
        accepted_time=_instant(order.accept_time),
        expected_ready_time=_instant(order.expected_ready_time),
        ready_time=_instant(order.ready_time),
        out_for_delivery_time=_instant(order.out_for_delivery_time),
        delivered_time=_instant(order.deliver_time),
        cancelled_time=_instant(order.cancel_time),
        rejected_time=_instant(order.reject_time),
        expired_time=_instant(order.expire_time),
        refunded_time=_instant(order.refund_time),
        etag=etag_of(order.version),
    )
    if order.cancel_reason is not None and order.cancel_actor is not None:
        message.cancellation.CopyFrom(
            order_pb2.Cancellation(
                reason=_REASONS.to_wire(order.cancel_reason),
                note=order.cancel_note or "",
                actor=_ACTORS.to_wire(order.cancel_actor),
                cancel_time=_instant(order.cancellation_time),
            )
        )
    return message


def _item(order: Order, item: OrderItem) -> order_pb2.OrderItem:
    return order_pb2.OrderItem(
        item_id=str(item.item_id),
        variant_id=str(item.variant_id),
        product_id=str(item.product_id),
        title=item.title,
        sku=item.sku,
        options=item.options,
        image_url=item.image_url,
        quantity=item.quantity,
        cancelled_quantity=item.cancelled_quantity,
        unit_price=to_money(order.money(item.unit_price_minor)),
        line_total=to_money(order.money(item.line_total_minor)),
        discount=to_money(order.money(item.discount_minor)),
    )


def to_order_group(placed: PlacedGroup, caller: Caller) -> order_pb2.OrderGroup:
    """marketplace.order.v1.OrderGroup of what was just placed."""
    first = placed.orders[0]
    return order_pb2.OrderGroup(
        order_group_id=str(placed.order_group_id),
        orders=[to_order(order, caller) for order in placed.orders],
        payment=to_payment(placed.payment),
        total=to_money(first.money(sum(order.total_minor for order in placed.orders))),
        create_time=to_timestamp(first.create_time),
    )


def to_watch(news: OrderNews | Beat, caller: Caller, resume_token: str) -> order_service_pb2.WatchOrderResponse:
    """One message of WatchOrder."""
    response = order_service_pb2.WatchOrderResponse(resume_token=resume_token)
    match news:
        case OrderSnapshot():
            response.snapshot.order.CopyFrom(to_order(news.order, caller))
        case OrderChange():
            response.changed.order.CopyFrom(to_order(news.order, caller))
            response.changed.previous_state = _STATES.to_wire(news.previous_state)
            response.changed.change_time.CopyFrom(to_timestamp(news.change_time))
        case Beat():
            response.heartbeat.server_time.CopyFrom(to_timestamp(news.time))
        case OrderReset():
            response.reset.message = "What happened since the resume token cannot be told any more."
    return response


def from_list(request: order_service_pb2.ListOrdersRequest) -> OrderFilter:
    """What ListOrders is narrowed to."""
    return OrderFilter(
        states=_STATES.all_from_wire(request.states),
        buyer_id=_id(request.buyer_id),
        seller_id=_id(request.seller_id),
        courier_id=_id(request.courier_id),
        order_group_id=_id(request.order_group_id),
        create_time_from=(
            from_timestamp(request.create_time_from, "create_time_from")
            if request.HasField("create_time_from")
            else None
        ),
        create_time_before=(
            from_timestamp(request.create_time_before, "create_time_before")
            if request.HasField("create_time_before")
            else None
        ),
    )


def from_accept(request: order_service_pb2.AcceptOrderRequest) -> AcceptOrder:
    """The command of AcceptOrder."""
    minutes = request.prep_minutes if request.HasField("prep_minutes") else None
    return AcceptOrder(UUID(request.order_id), minutes, request.etag)


def from_cancel(request: order_service_pb2.CancelOrderRequest) -> CancelOrder:
    """The command of CancelOrder."""
    return CancelOrder(
        UUID(request.order_id),
        tuple(CancelledLine(UUID(line.item_id), line.quantity) for line in request.lines),
        _REASONS.from_wire(request.reason),
        request.note,
    )


def _id(text: str) -> UUID | None:
    return UUID(text) if text else None


def _instant(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else to_timestamp(instant)
