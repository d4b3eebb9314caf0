"""InventoryService: one method, one use case."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.inventory.v1 import inventory_service_pb2 as pb
from marketplace.inventory.v1 import inventory_service_pb2_grpc

from marketd.inventory import convert, stocks
from marketd.inventory.values import Counted
from marketd.kernel.call import call as calls
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork

if TYPE_CHECKING:
    import grpc.aio


class InventoryServicer(inventory_service_pb2_grpc.InventoryServiceServicer):
    """Counts stock.

    `on_change` is called after a count was committed: what the catalog shows of the stock may have changed.
    """

    def __init__(self, *, tx: Transactor, on_change: Callable[[], None]) -> None:
        self._tx = tx
        self._on_change = on_change

    async def SetStock(
        self, request: pb.SetStockRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.SetStockResponse:
        caller, count = calls.current_caller(), convert.from_set_stock(request)

        async def work(uow: UnitOfWork) -> Counted:
            uow.after_commit(self._on_change)
            return await stocks.set_stock(uow, caller, count)

        return await self._tx.answer("inventory.set_stock", work, convert.to_set_stock)

    async def GetStock(
        self, request: pb.GetStockRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetStockResponse:
        caller, variant_id = calls.current_caller(), UUID(request.variant_id)
        stock = await self._tx.read(lambda unit: stocks.get_stock(unit, caller, variant_id))
        return pb.GetStockResponse(stock=convert.to_stock(stock))
