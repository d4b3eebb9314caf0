"""Orders that meet: what one gives back another that waits for it gets, and of one buyer's two one is the first."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from marketd.cart.quotes import repository as quotes
from marketd.inventory import stocks
from marketd.inventory.values import Adjustment
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.order import place, service
from marketd.order.cancel import CancelOrder, cancel_order
from marketd.order.model import CancellationReason
from marketplace.cart.v1 import cart_service_pb2
from marketplace.order.v1 import order_pb2

from tests.worlds.codes import Codes
from tests.worlds.ends import Ends
from tests.worlds.ordering import Market


@pytest.mark.parametrize("comes", ["back", "in"])
async def test_pieces_that_come_while_an_order_waits_are_the_orders(market: Market, other: Market, comes: str) -> None:
    shop = await market.shop()
    variant = await market.variant(shop, stock=1)
    buyer, next_buyer = await market.buyer(), await market.buyer()
    await market.add(next_buyer, variant)
    quote = await market.quote(next_buyer)
    group = await market.place(buyer, (variant, 1))
    command = CancelOrder(UUID(group.orders[0].order_id), (), CancellationReason.OTHER, "", "")

    async def coming(uow: UnitOfWork) -> None:
        if comes == "back":
            await cancel_order(uow, buyer, command)
        else:
            await stocks.adjust_stock(uow, shop.caller, Adjustment(variant, 1))

    ends = Ends(market)
    async with ends.held(coming) as held:
        placing = asyncio.create_task(other.place_quote(next_buyer, quote))
        await ends.waits_for_a_lock(placing)
        await held.commit()
    assert (await placing).orders[0].state == order_pb2.ORDER_STATE_PENDING_PAYMENT
    assert await market.reserved(variant) == (1 if comes == "back" else 2)
    assert await market.violations() == []


UNLOCKED = quotes._TAKE.replace(
    "WHERE user_id = $2 AND EXISTS (SELECT 1 FROM taken)",
    "WHERE false AND user_id = $2 AND EXISTS (SELECT 1 FROM taken)",
)


@pytest.mark.parametrize("is_locked", [True, False], ids=["with the cart locked", "the control"])
async def test_of_two_first_orders_at_once_one_is_the_first(
    market: Market, other: Market, monkeypatch: pytest.MonkeyPatch, is_locked: bool
) -> None:
    """They have other goods and other codes: nothing in common but the buyer, whose cart PlaceOrder locks."""
    codes, shop, buyer = Codes(market), await market.shop(), await market.buyer()
    placing = []
    for _ in range(2):
        code = await codes.off(first_order_only=True)
        await market.add(buyer, await market.variant(shop))
        await codes.apply(buyer, code)
        placing.append(await market.quote(buyer))
        await market.call(buyer, market.carts.ClearCart, cart_service_pb2.ClearCartRequest())

    both = asyncio.Barrier(2)

    async def look_together(unit: UnitOfWork | ReadUnit, user_id: UUID, besides: UUID | None) -> bool:
        """Nobody has written when both look, unless one is kept from coming here until the other is done."""
        try:
            async with asyncio.timeout(0.5):
                await both.wait()
        except (TimeoutError, asyncio.BrokenBarrierError):
            await both.reset()
        return await service.has_ordered(unit, user_id, besides)

    monkeypatch.setattr(place, "has_ordered", look_together)
    if not is_locked:
        assert quotes._TAKE != UNLOCKED
        monkeypatch.setattr(quotes, "_TAKE", UNLOCKED)
    outcomes = await asyncio.gather(
        *(worker.place_quote(buyer, quote) for worker, quote in zip((market, other), placing, strict=True)),
        return_exceptions=True,
    )
    refused = [outcome.reason.value for outcome in outcomes if isinstance(outcome, Refusal)]
    assert refused == (["PROMO_NOT_APPLICABLE"] if is_locked else [])
