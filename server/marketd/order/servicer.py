"""OrderService: one method, one use case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from marketplace.order.v1 import order_service_pb2, order_service_pb2_grpc

from marketd.cart.quotes.tokens import QuoteTokens
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager, parse_order
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import ResumeTokens
from marketd.kernel.values.clock import Clock
from marketd.kernel.wire import from_money
from marketd.order import convert
from marketd.order.cancel import cancel_order
from marketd.order.groups import get_order_group
from marketd.order.history.convert import to_order_event
from marketd.order.history.list import list_order_events
from marketd.order.history.values import OrderEvent
from marketd.order.live import convert as live
from marketd.order.live.hub import OrderHub
from marketd.order.live.places import OrdersPlaceTokens
from marketd.order.live.watch import watch_orders
from marketd.order.place import PlacedGroup, PlaceOrder, PlaceTerms, place_order
from marketd.order.prepare import accept_order, mark_order_ready
from marketd.order.read import batch_get_orders, get_order, list_orders
from marketd.order.receipts.convert import to_receipt
from marketd.order.receipts.get import get_receipt
from marketd.order.receipts.render import ReceiptRenderer
from marketd.order.reject import reject_order
from marketd.order.values import Order
from marketd.order.watch import watch_order
from marketd.payment.ports import Providers

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class OrderServicer(order_service_pb2_grpc.OrderServiceServicer):
    """The calls on orders."""

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        resume: ResumeTokens,
        feed: Feed,
        hub: OrderHub,
        places: OrdersPlaceTokens,
        clock: Clock,
        quotes: QuoteTokens,
        providers: Providers,
        receipts: ReceiptRenderer,
        terms: PlaceTerms,
        currency: str,
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._resume = resume
        self._feed = feed
        self._hub = hub
        self._places = places
        self._clock = clock
        self._quotes = quotes
        self._providers = providers
        self._receipts = receipts
        self._terms = terms
        self._currency = currency

    async def PlaceOrder(
        self, request: order_service_pb2.PlaceOrderRequest, context: Context
    ) -> order_service_pb2.PlaceOrderResponse:
        caller = calls.current_caller()
        command = PlaceOrder(
            self._quotes.read(request.quote_token),
            from_money(request.expected_total, self._currency, "expected_total"),
            self._providers.resolve(request.payment_provider),
        )

        def render(placed: PlacedGroup) -> order_service_pb2.PlaceOrderResponse:
            return order_service_pb2.PlaceOrderResponse(order_group=convert.to_order_group(placed, caller))

        return await self._tx.answer("order.place", lambda uow: place_order(uow, caller, command, self._terms), render)

    async def GetOrder(
        self, request: order_service_pb2.GetOrderRequest, context: Context
    ) -> order_service_pb2.GetOrderResponse:
        caller = calls.current_caller()
        order_id = UUID(request.order_id)
        order = await self._tx.read(lambda unit: get_order(unit, caller, order_id))
        return order_service_pb2.GetOrderResponse(order=convert.to_order(order, caller))

    async def BatchGetOrders(
        self, request: order_service_pb2.BatchGetOrdersRequest, context: Context
    ) -> order_service_pb2.BatchGetOrdersResponse:
        caller, order_ids = calls.current_caller(), [UUID(order_id) for order_id in request.order_ids]
        found = await self._tx.read(lambda unit: batch_get_orders(unit, caller, order_ids))
        return order_service_pb2.BatchGetOrdersResponse(orders=[convert.to_order(order, caller) for order in found])

    async def GetOrderGroup(
        self, request: order_service_pb2.GetOrderGroupRequest, context: Context
    ) -> order_service_pb2.GetOrderGroupResponse:
        caller = calls.current_caller()
        group_id = UUID(request.order_group_id)
        group = await self._tx.read(lambda unit: get_order_group(unit, caller, group_id))
        return order_service_pb2.GetOrderGroupResponse(order_group=convert.to_shown_group(group, caller))

    async def ListOrderEvents(
        self, request: order_service_pb2.ListOrderEventsRequest, context: Context
    ) -> order_service_pb2.ListOrderEventsResponse:
        caller = calls.current_caller()
        order_id = UUID(request.order_id)
        _, newest_first = parse_order(request.order_by, ["number"], "number")

        async def fetch(unit: ReadUnit, after: int | None, limit: int) -> list[tuple[Order, OrderEvent]]:
            return await list_order_events(unit, caller, order_id, after, limit, newest_first=newest_first)

        page = await self._pager.list(
            request, caller, fetch, lambda each: each[1].number, lambda each: to_order_event(*each, caller)
        )
        return order_service_pb2.ListOrderEventsResponse(order_events=page.items, next_page_token=page.next_page_token)

    async def GetReceipt(
        self, request: order_service_pb2.GetReceiptRequest, context: Context
    ) -> order_service_pb2.GetReceiptResponse:
        caller, language = calls.current_caller(), calls.current().language
        order_id = UUID(request.order_id)
        receipt = await self._tx.read(lambda unit: get_receipt(unit, caller, order_id))
        rendered = self._receipts.render(receipt, language)
        return order_service_pb2.GetReceiptResponse(receipt=to_receipt(receipt, rendered))

    async def ListOrders(
        self, request: order_service_pb2.ListOrdersRequest, context: Context
    ) -> order_service_pb2.ListOrdersResponse:
        caller = calls.current_caller()
        wanted = convert.from_list(request)
        _, newest_first = parse_order(request.order_by, ("create_time",), default="create_time desc")
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: list_orders(unit, caller, wanted, after, limit, newest_first=newest_first),
            lambda order: order.order_id,
            lambda order: convert.to_order(order, caller),
        )
        return order_service_pb2.ListOrdersResponse(orders=page.items, next_page_token=page.next_page_token)

    async def AcceptOrder(
        self, request: order_service_pb2.AcceptOrderRequest, context: Context
    ) -> order_service_pb2.AcceptOrderResponse:
        caller = calls.current_caller()
        command = convert.from_accept(request)
        return await self._tx.answer(
            "order.accept",
            lambda uow: accept_order(uow, caller, command),
            lambda order: order_service_pb2.AcceptOrderResponse(order=convert.to_order(order, caller)),
        )

    async def RejectOrder(
        self, request: order_service_pb2.RejectOrderRequest, context: Context
    ) -> order_service_pb2.RejectOrderResponse:
        caller = calls.current_caller()
        command = convert.from_reject(request)
        return await self._tx.answer(
            "order.reject",
            lambda uow: reject_order(uow, caller, command),
            lambda order: order_service_pb2.RejectOrderResponse(order=convert.to_order(order, caller)),
        )

    async def MarkOrderReady(
        self, request: order_service_pb2.MarkOrderReadyRequest, context: Context
    ) -> order_service_pb2.MarkOrderReadyResponse:
        caller = calls.current_caller()
        order_id = UUID(request.order_id)
        return await self._tx.answer(
            "order.mark_ready",
            lambda uow: mark_order_ready(uow, caller, order_id, request.etag),
            lambda order: order_service_pb2.MarkOrderReadyResponse(order=convert.to_order(order, caller)),
        )

    async def CancelOrder(
        self, request: order_service_pb2.CancelOrderRequest, context: Context
    ) -> order_service_pb2.CancelOrderResponse:
        caller = calls.current_caller()
        command = convert.from_cancel(request)
        return await self._tx.answer(
            "order.cancel",
            lambda uow: cancel_order(uow, caller, command),
            lambda order: order_service_pb2.CancelOrderResponse(order=convert.to_order(order, caller)),
        )

    async def WatchOrder(
        self, request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_service_pb2.WatchOrderResponse]:
        caller = calls.current_caller()
        order_id = UUID(request.order_id)
        bound_to = f"{order_id} {caller.key}".encode()
        news = watch_order(self._tx, self._feed, caller, order_id, self._resume.after(request.resume_token, bound_to))
        async with aclosing(news) as each:
            async for seq, item in each:
                yield convert.to_watch(item, caller, self._resume.token(bound_to, seq))

    async def WatchOrders(
        self, request: order_service_pb2.WatchOrdersRequest, context: Context
    ) -> AsyncIterator[order_service_pb2.WatchOrdersResponse]:
        caller = calls.current_caller()
        bound_to = live.context_of(request, caller)
        after = self._places.read(request.resume_token, bound_to)
        news = watch_orders(self._tx, self._hub, self._clock, caller, live.from_watch(request), after)

        def next_page(order_id: UUID) -> str:
            return self._pager.token(live.list_request(request), caller, order_id)

        async with aclosing(news) as each:
            async for place, item in each:
                token = b"" if place is None else self._places.token(place, bound_to)
                serialized = live.to_watch_orders(item, caller, token, next_page)
                # Transport sends serialized messages as they stand; the type keeps the contract's signature.
                yield cast("order_service_pb2.WatchOrdersResponse", serialized)
