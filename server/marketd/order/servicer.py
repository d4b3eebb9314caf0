"""OrderService: one method, one use case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.order.v1 import order_service_pb2, order_service_pb2_grpc

from marketd.cart.quotes.tokens import QuoteTokens
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager, parse_order
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import ResumeTokens
from marketd.kernel.wire import from_money
from marketd.order import convert
from marketd.order.cancel import cancel_order
from marketd.order.place import PlacedGroup, PlaceOrder, PlaceTerms, place_order
from marketd.order.prepare import accept_order, mark_order_ready
from marketd.order.read import get_order, list_orders
from marketd.order.receipts.convert import to_receipt
from marketd.order.receipts.get import get_receipt
from marketd.order.receipts.render import ReceiptRenderer
from marketd.order.reject import reject_order
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
