"""Between inventory's values and its messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from marketplace.inventory.v1 import inventory_service_pb2, stock_pb2

from marketd.inventory.model import ActorKind, MovementKind, StockPolicy
from marketd.inventory.values import Adjustment, Counted, Movement, MovementQuery, Stock, StockCount
from marketd.inventory.watch import StockNews, StockReset, StockSnapshot, StockUpdate
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import Beat
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import from_interval, to_stream_reset, to_timestamp

POLICIES: Final = EnumMap(StockPolicy, stock_pb2.StockPolicy)
_KINDS: Final = EnumMap(MovementKind, stock_pb2.StockMovementKind)
_ACTORS: Final = EnumMap(ActorKind, stock_pb2.StockMovementActor)


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


def ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    """Each once, in the order given."""
    return tuple(dict.fromkeys(map(UUID, texts)))


def from_adjust(request: inventory_service_pb2.AdjustStockRequest) -> Adjustment:
    """The change that a seller asks for."""
    return Adjustment(UUID(request.variant_id), request.delta, request.reason, request.etag)


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


def from_list(request: inventory_service_pb2.ListStockMovementsRequest) -> MovementQuery:
    """What the list is narrowed to. Raises ValidationFailed for an interval that ends before it begins."""
    begin, end = from_interval(request, "create_time")
    return MovementQuery(
        variant_ids=ids(request.variant_ids),
        seller_ids=ids(request.seller_ids),
        kinds=_KINDS.all_from_wire(request.kinds),
        create_time_from=begin,
        create_time_before=end,
    )


def to_movement(movement: Movement, caller: Caller) -> stock_pb2.StockMovement:
    """The movement as a message; who it was by id is for admins."""
    tells_who = movement.actor_id is not None and caller.has(Role.ADMIN)
    return stock_pb2.StockMovement(
        movement_id=str(movement.movement_id),
        variant_id=str(movement.variant_id),
        seller_id=str(movement.seller_id),
        kind=_KINDS.to_wire(movement.kind),
        delta=movement.delta,
        on_hand=movement.on_hand,
        reason=movement.reason,
        actor=_ACTORS.to_wire(movement.actor),
        actor_id=str(movement.actor_id) if tells_who else None,
        order_id=None if movement.reference is None else str(movement.reference),
        create_time=to_timestamp(movement.create_time),
    )


def to_watch(news: StockNews | Beat, resume_token: str) -> inventory_service_pb2.WatchStockResponse:
    """One message of WatchStock."""
    response = inventory_service_pb2.WatchStockResponse(resume_token=resume_token)
    match news:
        case StockSnapshot():
            response.snapshot.stocks.extend(map(to_stock, news.stocks))
        case StockUpdate():
            response.changed.stock.CopyFrom(to_stock(news.stock))
            response.changed.change_time.CopyFrom(to_timestamp(news.stock.update_time))
        case Beat():
            response.heartbeat.server_time.CopyFrom(to_timestamp(news.time))
        case StockReset():
            response.reset.CopyFrom(to_stream_reset(news.reason))
    return response
