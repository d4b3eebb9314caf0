"""InventoryService: one method, one use case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.inventory.v1 import inventory_service_pb2 as pb
from marketplace.inventory.v1 import inventory_service_pb2_grpc

from marketd.inventory import convert, stocks
from marketd.inventory.movements import list_movements
from marketd.inventory.places import PlaceTokens
from marketd.inventory.values import Counted, Stock
from marketd.inventory.watch import watch_stocks
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager, parse_order
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.feed import Feed

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]


class InventoryServicer(inventory_service_pb2_grpc.InventoryServiceServicer):
    """Counts stock.

    `on_change` is called after a count was committed: what the catalog shows of the stock may have changed.
    """

    def __init__(
        self, *, tx: Transactor, pager: Pager, feed: Feed, resume: PlaceTokens, on_change: Callable[[], None]
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._feed = feed
        self._resume = resume
        self._on_change = on_change

    async def GetStock(self, request: pb.GetStockRequest, context: Context) -> pb.GetStockResponse:
        caller, variant_id = calls.current_caller(), UUID(request.variant_id)
        stock = await self._tx.read(lambda unit: stocks.get_stock(unit, caller, variant_id))
        return pb.GetStockResponse(stock=convert.to_stock(stock))

    async def BatchGetStock(self, request: pb.BatchGetStockRequest, context: Context) -> pb.BatchGetStockResponse:
        caller, variant_ids = calls.current_caller(), convert.ids(request.variant_ids)
        found = await self._tx.read(lambda unit: stocks.batch_get_stock(unit, caller, variant_ids))
        return pb.BatchGetStockResponse(stocks=map(convert.to_stock, found))

    async def AdjustStock(self, request: pb.AdjustStockRequest, context: Context) -> pb.AdjustStockResponse:
        caller, adjustment = calls.current_caller(), convert.from_adjust(request)

        async def work(uow: UnitOfWork) -> Stock:
            uow.after_commit(self._on_change)
            return await stocks.adjust_stock(uow, caller, adjustment)

        return await self._tx.answer(
            "inventory.adjust_stock", work, lambda stock: pb.AdjustStockResponse(stock=convert.to_stock(stock))
        )

    async def SetStock(self, request: pb.SetStockRequest, context: Context) -> pb.SetStockResponse:
        caller, count = calls.current_caller(), convert.from_set_stock(request)

        async def work(uow: UnitOfWork) -> Counted:
            uow.after_commit(self._on_change)
            return await stocks.set_stock(uow, caller, count)

        return await self._tx.answer("inventory.set_stock", work, convert.to_set_stock)

    async def ListStockMovements(
        self, request: pb.ListStockMovementsRequest, context: Context
    ) -> pb.ListStockMovementsResponse:
        caller, wanted = calls.current_caller(), convert.from_list(request)
        _, newest_first = parse_order(request.order_by, ("create_time",), default="create_time desc")
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: list_movements(unit, caller, wanted, after, limit, newest_first=newest_first),
            lambda movement: (movement.create_time, movement.movement_id),
            lambda movement: convert.to_movement(movement, caller),
        )
        return pb.ListStockMovementsResponse(stock_movements=page.items, next_page_token=page.next_page_token)

    async def WatchStock(self, request: pb.WatchStockRequest, context: Context) -> AsyncIterator[pb.WatchStockResponse]:
        caller, variant_ids = calls.current_caller(), tuple(sorted(convert.ids(request.variant_ids)))
        after = self._resume.after(caller, variant_ids, request.resume_token)
        async with aclosing(watch_stocks(self._tx, self._feed, caller, variant_ids, after)) as news:
            async for places, item in news:
                yield convert.to_watch(item, self._resume.token(caller, variant_ids, places))
