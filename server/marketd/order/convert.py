"""Orders as messages, and requests as commands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money as MoneyMessage
from marketplace.cart.v1 import quote_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2

from marketd.cart.convert import to_eta, to_promotion
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import Beat
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.money import Money
from marketd.kernel.wire import (
    from_duration,
    from_timestamp,
    to_address,
    to_duration,
    to_money,
    to_percent,
    to_stream_reset,
    to_timestamp,
)
from marketd.order.access import Viewer, allowed_actions, viewer_of
from marketd.order.cancel import CancelledLine, CancelOrder
from marketd.order.cancellations import Cancellation
from marketd.order.discounts import StandingDiscount
from marketd.order.groups import ShownGroup
from marketd.order.model import CancellationActor, CancellationReason, OrderAction, OrderState
from marketd.order.place import PlacedGroup
from marketd.order.prepare import AcceptOrder
from marketd.order.reject import RejectOrder
from marketd.order.values import Order, OrderFilter, OrderItem
from marketd.order.watch import OrderChange, OrderNews, OrderReset, OrderSnapshot
from marketd.payment.convert import to_payment

STATES = EnumMap(OrderState, order_pb2.OrderState)
_ACTIONS = EnumMap(OrderAction, order_pb2.OrderAction)
_REASONS = EnumMap(CancellationReason, order_pb2.CancellationReason)
_ACTORS = EnumMap(CancellationActor, order_pb2.CancellationActor)
# What the courier needs to find, take and hand over an order.
_PARCEL: Final = frozenset(
    {
        *("order_id", "order_number", "seller_id", "shop_name", "state", "items", "address", "delivery_id"),
        *("courier_id", "prep_duration", "shop_open_time", "eta", "create_time", "update_time", "accept_time"),
        *("expected_ready_time", "ready_time", "out_for_delivery_time", "etag"),
    }
)
_PARCEL_ITEM: Final = frozenset(
    {
        *("item_id", "variant_id", "product_id", "title", "sku", "options", "image_url"),
        *("quantity", "cancelled_quantity", "requires_shipping"),
    }
)


def to_order(order: Order, caller: Caller) -> order_pb2.Order:
    """marketplace.order.v1.Order, as far as this caller may see it, with what the caller may do."""
    viewer = viewer_of(caller, order)
    order = viewer.with_known_codes(order)
    address = viewer.address(order)

    def money(amount_minor: int) -> MoneyMessage:
        return to_money(Money(amount_minor, order.currency))

    message = order_pb2.Order(
        order_id=str(order.order_id),
        order_number=order.order_number,
        order_group_id=str(order.order_group_id),
        buyer_id=str(order.buyer_id),
        seller_id=str(order.seller_id),
        shop_name=order.shop_name,
        state=STATES.to_wire(order.state),
        allowed_actions=[_ACTIONS.to_wire(action) for action in allowed_actions(order, viewer)],
        items=[_item(order, item) for item in order.items],
        address=None if address is None else to_address(address),
        subtotal=money(order.subtotal_minor),
        discount_amount=money(order.discount_amount_minor),
        delivery_fee=money(order.delivery_fee_minor),
        delivery_discount_amount=money(order.delivery_discount_amount_minor),
        total=money(order.total_minor),
        delivery_tax_rate=to_percent(order.delivery_tax_rate),
        delivery_tax_amount=money(order.delivery_tax_amount_minor),
        tax_amount=money(order.tax_amount_minor),
        cancelled_amount=money(order.cancelled_amount_minor),
        payable_amount=money(order.payable_minor),
        refunded_amount=money(order.refunded_amount_minor),
        promo_codes=[promotion.code for promotion in order.promotions if promotion.code],
        promotions=to_promotions(order.standing_discounts, order.currency),
        payment_id=str(order.payment_id),
        delivery_id=None if order.delivery_id is None else str(order.delivery_id),
        courier_id=None if order.courier_id is None else str(order.courier_id),
        prep_duration=None if order.prep_duration is None else to_duration(order.prep_duration),
        shop_open_time=_instant(order.shop_open_time),
        eta=to_eta(order.eta_earliest_time, order.eta_latest_time),
        cancellations=[to_cancellation(order, cancellation, viewer) for cancellation in order.cancellations],
        create_time=to_timestamp(order.create_time),
        update_time=to_timestamp(order.update_time),
        payment_expire_time=to_timestamp(order.payment_expire_time),
        pay_time=_instant(order.pay_time),
        accept_expire_time=_instant(order.accept_expire_time),
        accept_time=_instant(order.accept_time),
        expected_ready_time=_instant(order.expected_ready_time),
        ready_time=_instant(order.ready_time),
        out_for_delivery_time=_instant(order.out_for_delivery_time),
        deliver_time=_instant(order.deliver_time),
        cancel_time=_instant(order.cancel_time),
        reject_time=_instant(order.reject_time),
        expire_time=_instant(order.expire_time),
        refund_time=_instant(order.refund_time),
        etag=etag_of(order.version),
    )
    if not viewer.sees_whole:
        _keep(message, _PARCEL)
        for item in message.items:
            _keep(item, _PARCEL_ITEM)
    return message


def to_promotions(standing: Iterable[StandingDiscount], currency: str) -> list[quote_pb2.AppliedPromotion]:
    """What promotions take off what is left of an order."""
    return [
        to_promotion(
            each.promotion.promo_code_id,
            each.promotion.code,
            each.promotion.funded_by,
            Money(each.discount_amount_minor, currency),
            Money(each.delivery_discount_amount_minor, currency),
        )
        for each in standing
    ]


def _keep(message: Message, names: frozenset[str]) -> None:
    """Clear all other fields: what is new is hidden until somebody names it."""
    for field, _ in message.ListFields():
        if field.name not in names:
            message.ClearField(field.name)


def _item(order: Order, item: OrderItem) -> order_pb2.OrderItem:
    return order_pb2.OrderItem(
        item_id=str(item.item_id),
        variant_id=str(item.variant_id),
        product_id=str(item.product_id),
        title=item.title,
        sku=item.sku or None,
        options=item.options,
        image_url=item.image_url or None,
        quantity=item.quantity,
        cancelled_quantity=item.cancelled_quantity,
        unit_price=to_money(order.money(item.unit_price_minor)),
        line_total=to_money(order.money(item.line_total_minor)),
        discount_amount=to_money(order.money(item.discount_amount_minor)),
        tax_rate=to_percent(item.tax_rate),
        tax_amount=to_money(order.money(item.tax_amount_minor)),
        requires_shipping=item.requires_shipping,
    )


def to_cancellation(order: Order, cancellation: Cancellation, viewer: Viewer) -> order_pb2.Cancellation:
    """marketplace.order.v1.Cancellation, with as much of the reason as the viewer may know."""
    is_told = viewer.sees_why(cancellation.reason)
    return order_pb2.Cancellation(
        lines=[
            order_pb2.CancelledItem(
                item_id=str(line.item_id), quantity=line.quantity, amount=to_money(order.money(line.amount_minor))
            )
            for line in cancellation.lines
        ],
        reason=_REASONS.to_wire(cancellation.reason if is_told else CancellationReason.OTHER),
        note=(cancellation.note or None) if is_told else None,
        actor=_ACTORS.to_wire(cancellation.actor),
        amount=to_money(order.money(cancellation.amount_minor)),
        cancel_time=to_timestamp(cancellation.cancel_time),
    )


def to_order_group(placed: PlacedGroup, caller: Caller) -> order_pb2.OrderGroup:
    """marketplace.order.v1.OrderGroup of what was just placed."""
    first = placed.orders[0]
    total = first.money(sum(order.total_minor for order in placed.orders))
    shown = ShownGroup(placed.order_group_id, placed.orders, placed.payment, total, first.create_time)
    return to_shown_group(shown, caller)


def to_shown_group(group: ShownGroup, caller: Caller) -> order_pb2.OrderGroup:
    """marketplace.order.v1.OrderGroup, as far as the caller may see it."""
    return order_pb2.OrderGroup(
        order_group_id=str(group.order_group_id),
        orders=[to_order(order, caller) for order in group.orders],
        payment=None if group.payment is None else to_payment(group.payment),
        total=None if group.total is None else to_money(group.total),
        create_time=to_timestamp(group.create_time),
    )


def to_watch(news: OrderNews | Beat, caller: Caller, resume_token: str) -> order_service_pb2.WatchOrderResponse:
    """One message of WatchOrder."""
    response = order_service_pb2.WatchOrderResponse(resume_token=resume_token)
    match news:
        case OrderSnapshot():
            response.snapshot.order.CopyFrom(to_order(news.order, caller))
        case OrderChange():
            response.changed.order.CopyFrom(to_order(news.order, caller))
            response.changed.previous_state = STATES.to_wire(news.previous_state)
            response.changed.change_time.CopyFrom(to_timestamp(news.change_time))
        case Beat():
            response.heartbeat.server_time.CopyFrom(to_timestamp(news.time))
        case OrderReset():
            response.reset.CopyFrom(to_stream_reset(news.reason))
    return response


def from_list(request: order_service_pb2.ListOrdersRequest) -> OrderFilter:
    """What ListOrders is narrowed to. Raises ValidationFailed for an interval that ends before it begins."""
    begin = (
        from_timestamp(request.create_time_from, "create_time_from") if request.HasField("create_time_from") else None
    )
    end = (
        from_timestamp(request.create_time_before, "create_time_before")
        if request.HasField("create_time_before")
        else None
    )
    if begin is not None and end is not None and end < begin:
        raise ValidationFailed(FieldViolation("create_time_before", "must not be before create_time_from"))
    return OrderFilter(
        states=STATES.all_from_wire(request.states),
        order_numbers=tuple(request.order_numbers),
        buyer_ids=ids(request.buyer_ids),
        seller_ids=ids(request.seller_ids),
        courier_ids=ids(request.courier_ids),
        order_group_ids=ids(request.order_group_ids),
        create_time_from=begin,
        create_time_before=end,
    )


def from_accept(request: order_service_pb2.AcceptOrderRequest) -> AcceptOrder:
    """The command of AcceptOrder."""
    span = from_duration(request.prep_duration) if request.HasField("prep_duration") else None
    return AcceptOrder(UUID(request.order_id), span, request.etag)


def from_reject(request: order_service_pb2.RejectOrderRequest) -> RejectOrder:
    """The command of RejectOrder."""
    return RejectOrder(UUID(request.order_id), _REASONS.from_wire(request.reason), request.note, request.etag)


def from_cancel(request: order_service_pb2.CancelOrderRequest) -> CancelOrder:
    """The command of CancelOrder."""
    return CancelOrder(
        UUID(request.order_id),
        tuple(
            CancelledLine(UUID(line.item_id), line.quantity if line.HasField("quantity") else None)
            for line in request.lines
        ),
        _REASONS.from_wire(request.reason),
        request.note,
        request.etag,
    )


def ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    """Each once, although the contract compares texts and case does not count in ids."""
    return tuple(dict.fromkeys(map(UUID, texts)))


def _instant(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else to_timestamp(instant)
