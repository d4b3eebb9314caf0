"""Between inventory's values and its messages."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from marketplace.inventory.v1 import inventory_service_pb2, stock_pb2

from marketd.inventory.model import StockPolicy
from marketd.inventory.values import Counted, Stock, StockCount
from marketd.kernel.enums import EnumMap
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import to_timestamp

POLICIES: Final = EnumMap(StockPolicy, stock_pb2.StockPolicy)


def to_stock(stock: Stock) -> stock_pb2.Stock:
    """The stock as a message."""
    return stock_pb2.Stock(
        variant_id=str(stock.variant_id),
        seller_id=str(stock.seller_id),
        stock_policy=POLICIES.to_wire(stock.policy),
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        oversold=stock.oversold,
        source_version=stock.source_version,
        create_time=to_timestamp(stock.create_time),
        update_time=to_timestamp(stock.update_time),
        etag=etag_of(stock.version),
    )


def from_set_stock(request: inventory_service_pb2.SetStockRequest) -> StockCount:
    """The count that a seller sends."""
    return StockCount(
        variant_id=UUID(request.variant_id),
        quantity=request.quantity,
        reason=request.reason,
        source_version=request.source_version if request.HasField("source_version") else None,
        etag=request.etag,
    )


def to_set_stock(counted: Counted) -> inventory_service_pb2.SetStockResponse:
    """What came of the count."""
    return inventory_service_pb2.SetStockResponse(stock=to_stock(counted.stock), applied=counted.applied)
