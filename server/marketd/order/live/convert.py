"""Watched orders as messages. What all see who see as much is made once; only the token is a watcher's own."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from marketplace.order.v1 import order_service_pb2 as pb

from marketd.kernel.call.caller import Caller
from marketd.kernel.events.watch import Beat
from marketd.kernel.wire import to_stream_reset, to_timestamp
from marketd.order.access import viewer_of
from marketd.order.convert import STATES, ids, to_order
from marketd.order.live.values import OrdersNews, OrdersReset, OrdersSnapshot, Step, StepTold, Way
from marketd.order.live.watch import OPEN
from marketd.order.values import OrderFilter


def from_watch(request: pb.WatchOrdersRequest) -> OrderFilter:
    """What WatchOrders is narrowed to."""
    return OrderFilter(
        states=STATES.all_from_wire(request.states),
        buyer_ids=ids(request.buyer_ids),
        seller_ids=ids(request.seller_ids),
        order_group_ids=ids(request.order_group_ids),
    )


def context_of(request: pb.WatchOrdersRequest, caller: Caller) -> bytes:
    """What a resume token is bound to: who watches, and the filters whatever their order and spelling."""
    wanted = from_watch(request)
    filters = (wanted.states, wanted.buyer_ids, wanted.seller_ids, wanted.order_group_ids)
    return "|".join([caller.key, *(",".join(sorted(map(str, each))) for each in filters)]).encode()


def list_request(request: pb.WatchOrdersRequest) -> pb.ListOrdersRequest:
    """The list that goes on where the snapshot of a watch ends."""
    return pb.ListOrdersRequest(
        states=request.states or STATES.all_to_wire(OPEN),
        buyer_ids=request.buyer_ids,
        seller_ids=request.seller_ids,
        order_group_ids=request.order_group_ids,
    )


def to_watch_orders(
    news: OrdersNews | Beat, caller: Caller, resume_token: bytes, next_page: Callable[[UUID], str]
) -> bytes:
    """One message of WatchOrders, serialized. next_page: the token of the list behind that order."""
    # A message's bytes are its parts' bytes one behind the other, so the token comes to what is shared.
    token = pb.WatchOrdersResponse(resume_token=resume_token.decode("ascii")).SerializeToString()
    if isinstance(news, StepTold):
        return _step_body(news.way, news.step, caller) + token
    message = pb.WatchOrdersResponse()
    match news:
        case OrdersSnapshot():
            message.snapshot.orders.extend(to_order(order, caller) for order in news.orders)
            message.snapshot.next_page_token = next_page(news.orders[-1].order_id) if news.has_more else ""
        case OrdersReset():
            message.reset.CopyFrom(to_stream_reset(news.reason))
        case Beat():
            message.heartbeat.server_time.CopyFrom(to_timestamp(news.time))
    return message.SerializeToString() + token


def _step_body(way: Way, step: Step, caller: Caller) -> bytes:
    viewer = viewer_of(caller, step.order)
    body = step.bodies.get((way, viewer))
    if body is None:
        body = step.bodies[way, viewer] = _change(way, step, caller).SerializeToString()
    return body


def _change(way: Way, step: Step, caller: Caller) -> pb.WatchOrdersResponse:
    change = pb.OrderChange(
        order=to_order(step.order, caller),
        previous_state=STATES.to_wire(step.event.previous_state),
        change_time=to_timestamp(step.event.occur_time),
    )
    match way:
        case Way.ADDED:
            return pb.WatchOrdersResponse(added=change)
        case Way.CHANGED:
            return pb.WatchOrdersResponse(changed=change)
        case Way.REMOVED:
            return pb.WatchOrdersResponse(removed=change)
