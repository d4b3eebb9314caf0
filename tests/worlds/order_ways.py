"""How far an order goes in tests of what ends it, by what deliveries ask of orders."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.values.ids import new_id
from marketd.order import service
from marketd.order.model import CancellationActor, Goods
from marketplace.order.v1 import order_pb2

from tests.worlds.goods import Shop
from tests.worlds.ordering import Market


async def paid_order(market: Market, quantity: int = 1) -> tuple[Caller, Shop, UUID, order_pb2.Order]:
    """A paid order of one line, with its buyer, shop and variant."""
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    group = await market.paid(buyer, (variant, quantity))
    return buyer, shop, variant, group.orders[0]


async def ready_order(market: Market, quantity: int = 1) -> tuple[Caller, Shop, UUID, order_pb2.Order]:
    """The same, READY."""
    buyer, shop, variant, order = await paid_order(market, quantity)
    await market.accept(shop, order.order_id)
    await market.ready(shop, order.order_id)
    return buyer, shop, variant, order


async def order_on_its_way(market: Market, quantity: int = 1) -> tuple[Caller, Shop, UUID, order_pb2.Order]:
    """The same, OUT_FOR_DELIVERY."""
    buyer, shop, variant, order = await ready_order(market, quantity)
    await assign(market, order.order_id)
    await pick_up(market, order.order_id)
    return buyer, shop, variant, order


async def assign(market: Market, order_id: str) -> None:
    """A courier is to bring it."""
    await market.tx.run(
        "t", lambda uow: service.delivery_assigned(uow, UUID(order_id), new_id(), new_id(), courier_id=new_id())
    )


async def give_up(market: Market, order_id: str, goods: Goods, note: str = "nobody opened") -> None:
    """Nobody can deliver it."""
    actor = CancellationActor.ADMIN
    await market.tx.run(
        "t", lambda uow: service.undeliverable(uow, UUID(order_id), actor=actor, note=note, goods=goods)
    )


async def pick_up(market: Market, order_id: str) -> object:
    """The courier has it."""
    return await market.tx.run("t", lambda uow: service.out_for_delivery(uow, UUID(order_id)))


async def deliver(market: Market, order_id: str) -> object:
    """The buyer has it."""
    return await market.tx.run("t", lambda uow: service.delivered(uow, UUID(order_id)))


async def stock_of(market: Market, variant: UUID) -> tuple[int, int]:
    """On hand and reserved."""
    row = await market.tx.read(
        lambda unit: unit.connection.fetchrow("SELECT on_hand, reserved FROM stocks WHERE variant_id = $1", variant)
    )
    assert row is not None
    return row["on_hand"], row["reserved"]
