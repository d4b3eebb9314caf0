"""Each value with everything in it, rendered for each viewer in each state, is what docs/viewers.md says: neither less
nor more.

So also what is rare: every reason, every outcome, and texts where usually there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from google.protobuf.message import Message
from marketd.admin.convert import to_audit_entry
from marketd.audit.values import AuditEntry
from marketd.auth.accounts.convert import to_user
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.values import Account
from marketd.auth.addresses.convert import to_saved_address
from marketd.auth.addresses.values import SavedAddress
from marketd.delivery.convert import to_courier, to_delivery, to_shift
from marketd.delivery.model import CourierState, DeliveryOutcome, DeliveryState, StopKind
from marketd.delivery.values import Courier, Delivery, DeliveryCourier, Eta, Shift
from marketd.inventory.convert import to_movement
from marketd.inventory.values import Movement
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.media.convert import to_media
from marketd.media.values import Media
from marketd.order.access import viewer_of
from marketd.order.convert import to_order, to_order_group, to_shown_group
from marketd.order.groups import ShownGroup
from marketd.order.history.convert import to_order_event
from marketd.order.history.model import OrderEventKind
from marketd.order.history.values import OrderEvent
from marketd.order.model import CancellationReason, OrderState
from marketd.order.place import PlacedGroup
from marketd.order.receipts.convert import to_receipt
from marketd.order.receipts.render import RenderedReceipt
from marketd.order.receipts.values import Receipt
from marketd.order.values import Order
from marketd.payment.convert import to_payment, to_refund
from marketd.payment.model import PaymentState
from marketd.payment.values import Payment, Refund
from marketd.review.access import may_see
from marketd.review.access import viewer_of as review_viewer_of
from marketd.review.convert import to_review
from marketd.review.model import ReviewState
from marketd.review.values import Review
from marketd.seller.convert import to_seller
from marketd.seller.model import SellerState
from marketd.seller.values import Seller
from marketd.tracking.trip.gate import StopEvent
from marketd.tracking.values import Fix
from marketd.tracking.watch.convert import (
    eta_body,
    late_body,
    position_body,
    snapshot_body,
    state_change_body,
    stop_body,
)
from marketd.tracking.watch.values import WatchedDelivery, audience_of
from marketplace.order.v1 import order_pb2
from marketplace.tracking.v1.tracking_service_pb2 import WatchDeliveryResponse

from tests.viewers import KINDS, Seen, Viewer, judge, read_page

NEVER = {
    # Nothing makes these yet.
    *("Order.promo_codes", "Seller.logo", "Delivery.offer_time"),
    # The answer of a server with no courier to show has none.
    "TrackingSnapshot.position",
}


def filled(hint: Any, name: str = "") -> Any:
    """A value of the type with something in every field of it, texts saying where they stood."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return filled(next(part for part in arguments if part is not NoneType), name)
    if origin in (tuple, frozenset):
        return origin([filled(arguments[0], name)])
    if origin is not None and issubclass(origin, Mapping):
        return {"option": filled(arguments[1], name)}
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        given = {each.name: _given(each.name) or filled(hints[each.name], each.name) for each in fields(hint)}
        return hint(**given)
    return _plain(hint, name)


def _plain(hint: type[Any], name: str) -> Any:
    if issubclass(hint, Enum):
        return next(iter(hint))
    plain: Mapping[type[Any], Callable[[], Any]] = {
        str: lambda: f"canary of {name}",
        UUID: new_id,
        datetime: lambda: datetime(2030, 1, 1, 9, tzinfo=UTC),
        date: lambda: date(2030, 1, 1),
        timedelta: lambda: timedelta(minutes=7),
        bool: lambda: True,
        int: lambda: 7,
        float: lambda: 7.5,
        bytes: lambda: b"canary",
    }
    return plain[hint]()


def _given(name: str) -> Any:
    """What must be something, to be rendered at all."""
    given = {
        "currency": "EUR",
        "code": "NOT_FOUND",
        "rating_counts": (1, 0, 0, 0, 2),
        "day": 1,
        "hours": 9,
        "version": 3,
        "refusal_reason": "NOT_FOUND",
    }
    return given.get(name)


def callers(buyer: UUID, owner: UUID, courier: UUID) -> dict[str, Caller]:
    """Somebody of each kind."""
    return {
        "buyer": Caller(buyer, new_id(), frozenset({Role.BUYER})),
        "seller": Caller(owner, new_id(), frozenset({Role.SELLER})),
        "courier": Caller(courier, new_id(), frozenset({Role.COURIER})),
        "admin": Caller(new_id(), new_id(), frozenset({Role.ADMIN})),
        "service": Caller(new_id(), new_id(), frozenset({Role.SERVICE})),
    }


def _orders() -> Iterator[tuple[Any, str, Message | None]]:
    for state in OrderState:
        for reason in CancellationReason if state is OrderState.CANCELLED else list(CancellationReason)[:1]:
            order: Order = replace(filled(Order), state=state)
            order = replace(order, cancellations=tuple(replace(each, reason=reason) for each in order.cancellations))
            assert order.courier_user_id is not None
            for kind, caller in callers(order.buyer_id, order.owner_user_id, order.courier_user_id).items():
                yield order, kind, to_order(order, caller) if viewer_of(caller, order).may_see else None


def _receipts() -> Iterator[tuple[Any, str, Message]]:
    receipt: Receipt = filled(Receipt)
    receipt = replace(receipt, lines=tuple(replace(line, quantity=3) for line in receipt.lines))
    for kind in ("buyer", "seller", "admin"):
        yield receipt.order, kind, to_receipt(receipt, filled(RenderedReceipt))


def _deliveries() -> Iterator[tuple[Any, str, Message]]:
    for state in DeliveryState:
        delivery: Delivery = replace(filled(Delivery), state=state)
        assert delivery.courier is not None
        for kind, caller in callers(delivery.buyer_id, delivery.owner_user_id, delivery.courier.user_id).items():
            yield delivery, kind, to_delivery(delivery, caller)


def _tracked() -> Iterator[tuple[Any, str, Message | None]]:
    for state in DeliveryState:
        watched: WatchedDelivery = replace(filled(WatchedDelivery), state=state)
        assert watched.courier is not None
        fix = Fix(1, 2, 10**15, Point(1.0, 2.0), 1.0, 1.0, 1.0)
        for kind, caller in callers(watched.buyer_id, watched.owner_user_id, watched.courier.user_id).items():
            audience = audience_of(watched, caller)
            if audience is None:
                yield watched, kind, None
                continue
            shown = fix if watched.shows(fix, audience) else None
            body = snapshot_body(watched, audience, shown, late=True, now_micros=10**15)
            yield watched, kind, WatchDeliveryResponse.FromString(body).snapshot


def _told() -> Iterator[tuple[Any, str, Message]]:
    """What watchers get after the snapshot, which is the same for all of them."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    fix = Fix(1, 10**15, 10**15, Point(1.0, 2.0), 1.0, 1.0, 1.0)
    bodies = [
        position_body(fix),
        state_change_body(
            DeliveryState.ASSIGNED,
            DeliveryState.CLOSED,
            DeliveryOutcome.DELIVERED,
            filled(DeliveryCourier),
            now,
        ),
        eta_body(filled(Eta)),
        stop_body(StopKind.DROPOFF, StopEvent.ARRIVED, now),
        late_body(now, filled(Eta)),
    ]
    for body in bodies:
        message = WatchDeliveryResponse.FromString(body)
        for kind in ("buyer", "seller", "courier", "admin"):
            yield None, kind, getattr(message, str(message.WhichOneof("event")))
    order: Order = filled(Order)
    payment: Payment = replace(filled(Payment), buyer_id=order.buyer_id)
    buyer = Caller(order.buyer_id, new_id(), frozenset({Role.BUYER}))
    yield order, "buyer", to_order_group(PlacedGroup(new_id(), (order,), payment), buyer)
    whole = ShownGroup(new_id(), (order,), payment, order.money(700), now)
    part = replace(whole, payment=None, total=None)
    for kind in ("buyer", "seller", "admin", "service"):
        caller = callers(order.buyer_id, order.owner_user_id, new_id())[kind]
        yield order, kind, to_shown_group(part if kind == "seller" else whole, caller)


def _story() -> Iterator[tuple[Any, str, Message]]:
    details: Mapping[OrderEventKind, Mapping[str, Any]] = {
        OrderEventKind.PAID: {"payment_id": str(new_id())},
        OrderEventKind.ACCEPTED: {"prep_duration": 600.0, "expected_ready_time": "2030-01-01T09:00:00+00:00"},
        OrderEventKind.DELIVERY_CREATED: {"delivery_id": str(new_id())},
        OrderEventKind.COURIER_ASSIGNED: {"delivery_id": str(new_id()), "courier_id": str(new_id())},
        OrderEventKind.CANCELLED: {"cancellation": 0},
        OrderEventKind.REFUNDED: {"amount_minor": 7},
    }
    order: Order = filled(Order)
    told = tuple(replace(each, reason=CancellationReason.OTHER) for each in order.cancellations)
    order = replace(order, cancellations=told)
    for event_kind in OrderEventKind:
        event = replace(filled(OrderEvent), kind=event_kind, detail=details.get(event_kind, {}))
        for kind, caller in callers(order.buyer_id, order.owner_user_id, new_id()).items():
            if kind != "courier":
                yield order, kind, to_order_event(order, event, caller)


def _payments() -> Iterator[tuple[Any, str, Message]]:
    for state in PaymentState:
        payment: Payment = replace(filled(Payment), state=state)
        for kind in ("buyer", "admin", "service"):
            yield payment, kind, to_payment(payment)
    for kind in ("buyer", "seller", "admin", "service"):
        refund: Refund = filled(Refund)
        yield refund, kind, to_refund(refund)


def _others() -> Iterator[tuple[Any, str, Message]]:
    for courier_state in CourierState:
        courier: Courier = replace(filled(Courier), state=courier_state)
        for courier_kind in ("courier", "admin"):
            yield courier, courier_kind, to_courier(courier)
    shift: Shift = filled(Shift)
    yield shift, "courier", to_shift(shift)
    for seller_state in SellerState:
        seller: Seller = replace(filled(Seller), state=seller_state)
        for seller_kind in ("everybody", "owner", "admin", "service"):
            yield seller, seller_kind, to_seller(seller, "/media/", whole=seller_kind != "everybody")
    for account_state in AccountState:
        account: Account = replace(filled(Account), state=account_state)
        for account_kind in ("owner", "admin", "service"):
            yield account, account_kind, to_user(account)
    yield filled(SavedAddress), "owner", to_saved_address(filled(SavedAddress))
    media: Media = filled(Media)
    for media_kind in ("everybody", "owner", "admin"):
        yield media, media_kind, to_media(media, "/media/", own=media_kind != "everybody")
    for review_state in ReviewState:
        review: Review = replace(filled(Review), state=review_state)
        looks = callers(review.author_user_id, new_id(), new_id())
        for review_kind, caller_kind in (
            ("author", "buyer"),
            ("everybody", "seller"),
            ("admin", "admin"),
            ("service", "service"),
        ):
            looker = looks[caller_kind]
            if may_see(looker, review):
                yield review, review_kind, to_review(review, "/media/", review_viewer_of(looker, review))
    yield filled(AuditEntry), "admin", to_audit_entry(filled(AuditEntry))
    for role in (Role.SELLER, Role.ADMIN):
        looking = Caller(new_id(), None, frozenset({role}))
        yield filled(Movement), role.value.lower(), to_movement(filled(Movement), looking)


def _viewer(value: Any, kind: str) -> Viewer:
    """Who stands so to the value, as the judge knows people."""
    user_id = {
        "buyer": getattr(value, "buyer_id", ""),
        "author": getattr(value, "author_user_id", ""),
        "owner": getattr(value, "user_id", "") or getattr(value, "owner_user_id", ""),
        "courier": getattr(value, "user_id", ""),
    }.get(kind, new_id())
    known = kind if kind in KINDS else "anonymous"
    return Viewer(kind, known, str(user_id))


@pytest.mark.parametrize("rendered", [_orders, _deliveries, _tracked, _told, _story, _receipts, _payments, _others])
def test_everybody_sees_what_the_page_says(rendered: Callable[[], Iterable[tuple[Any, str, Message | None]]]) -> None:
    page, seen, names = read_page(), Seen(), set[str]()
    for value, kind, message in rendered():
        if message is not None:
            names.add(message.DESCRIPTOR.name)
            assert judge(_viewer(value, kind), message, seen) == [], f"{kind}: {value}"
    promised = {
        (name, column, path)
        for name in names
        for path, columns in page.tables[name].rows.items()
        for column in columns
        if f"{name}.{path}" not in NEVER
    }
    # What the page promises is rendered for somebody in some state; else a row could say anything.
    assert promised - seen.fields == set()


def test_every_table_of_the_page_is_tried() -> None:
    tried = {
        message.DESCRIPTOR.name
        for rendered in (_orders, _deliveries, _tracked, _told, _story, _receipts, _payments, _others)
        for _, _, message in rendered()
        if message is not None
    }
    assert tried == read_page().tables.keys()


def test_couriers_find_orders_only_while_these_are_in_their_hands() -> None:
    found = {value.state.value for value, kind, message in _orders() if kind == "courier" and message is not None}
    assert found == set(read_page().found["Order"]["courier"].split(", "))
    assert {kind for _, kind, message in _orders() if message is not None} == set(KINDS)
    assert {kind for _, kind, message in _tracked() if message is not None} == {"buyer", "seller", "courier", "admin"}


def test_of_a_suspicion_the_buyer_reads_nothing_and_the_seller_all() -> None:
    for order, kind, message in _orders():
        if order.cancellations[0].reason is not CancellationReason.SUSPECTED_FRAUD or message is None:
            continue
        assert isinstance(message, order_pb2.Order)
        told = [(each.reason, each.note) for each in message.cancellations]
        if kind == "buyer":
            assert told == [(order_pb2.CANCELLATION_REASON_OTHER, "")]
        elif kind != "courier":
            assert told == [(order_pb2.CANCELLATION_REASON_SUSPECTED_FRAUD, "canary of note")]


def test_whoever_is_several_of_these_sees_what_any_of_them_sees() -> None:
    delivery: Delivery = filled(Delivery)
    both = Caller(delivery.owner_user_id, new_id(), frozenset({Role.BUYER, Role.SELLER}))
    message = to_delivery(replace(delivery, buyer_id=delivery.owner_user_id), both)
    assert message.pickup.address.lines
    assert message.dropoff.address.lines
    assert message.dropoff_code
    order: Order = replace(filled(Order), buyer_id=delivery.owner_user_id, owner_user_id=delivery.owner_user_id)
    shown = to_order(order, both)
    assert shown.address.phone
