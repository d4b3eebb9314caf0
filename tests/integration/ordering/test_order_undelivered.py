"""How orders end on their way, and what of them holds others: refunds against pickups, goods that nobody delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from alembic import command
from marketd.kernel.call.refusals import IllegalTransition, Refusal
from marketd.kernel.events import outbox
from marketd.kernel.values.ids import new_id
from marketd.order import service
from marketd.order.model import Goods
from marketd.schema import migrate
from marketplace.order.v1 import order_pb2
from marketplace.payment.v1 import payment_pb2

from tests.worlds.order_ways import (
    assign,
    deliver,
    give_up,
    order_on_its_way,
    paid_order,
    pick_up,
    ready_order,
    stock_of,
)
from tests.worlds.ordering import Market, minor

CANCELLED = order_pb2.ORDER_STATE_CANCELLED
DELIVERED = order_pb2.ORDER_STATE_DELIVERED


async def test_a_group_that_is_refunded_whole_ends_with_all_of_its_orders_that_are_in_their_shops(
    market: Market,
) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    lamp, chair = await market.variant(one), await market.variant(two)
    group = await market.paid(buyer, (lamp, 2), (chair, 1))
    first, second = group.orders
    owner, variant, rest = (one, lamp, chair) if first.seller_id == str(one.seller_id) else (two, chair, lamp)
    await market.accept(owner, first.order_id)
    await market.ready(owner, first.order_id)
    await assign(market, first.order_id)
    await pick_up(market, first.order_id)
    await market.refund(market.admin, group.payment.payment_id)
    assert (await market.get(buyer, second.order_id)).state == CANCELLED
    assert (await market.get(buyer, first.order_id)).state == order_pb2.ORDER_STATE_OUT_FOR_DELIVERY
    assert await stock_of(market, rest) == (100, 0)
    await deliver(market, first.order_id)
    assert (await market.get(buyer, first.order_id)).state == order_pb2.ORDER_STATE_REFUNDED
    assert (await stock_of(market, variant))[1] == 0
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert await market.violations() == []


async def test_refunds_against_ready_and_pickup_leave_nothing_that_goes_on_for_nothing(
    market: Market, other: Market
) -> None:
    ready, out = order_pb2.ORDER_STATE_READY, order_pb2.ORDER_STATE_OUT_FOR_DELIVERY
    for round_ in range(20):
        _, shop, _, order = await (ready_order(market) if round_ % 2 else paid_order(market))
        if not round_ % 2:
            await market.accept(shop, order.order_id)
            step: Awaitable[object] = other.ready(shop, order.order_id)
        else:
            step = pick_up(other, order.order_id)
        results = await asyncio.gather(
            step, market.refund(shop.caller, order.payment_id, order_id=order.order_id), return_exceptions=True
        )
        assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, Refusal)]
        state = (await market.get(shop.caller, order.order_id)).state
        assert state in ((CANCELLED, out) if round_ % 2 else (CANCELLED,)), (round_, state)
        assert state != ready
    await market.run_jobs()
    assert await market.violations() == []


async def test_the_check_finds_what_is_refunded_and_still_going_and_no_step_is_taken_with_it(market: Market) -> None:
    _, shop, _, order = await ready_order(market)
    await market.tx.run(
        "t",
        lambda uow: uow.connection.execute(
            "UPDATE orders SET refund_reserved_minor = due_minor WHERE order_id = $1", UUID(order.order_id)
        ),
    )
    assert any("although all of its money is given back" in wrong for wrong in await market.violations())
    for step in (
        lambda uow: service.delivery_assigned(uow, UUID(order.order_id), new_id(), new_id()),
        lambda uow: service.out_for_delivery(uow, UUID(order.order_id)),
    ):
        with pytest.raises(IllegalTransition) as refusal:
            await market.tx.run("t", step)
        assert "money is given back" in refusal.value.message
    made = await market.tx.run("t", lambda uow: service.delivery_made(uow, UUID(order.order_id), new_id()))
    assert made is None
    assert (await market.get(shop.caller, order.order_id)).state == order_pb2.ORDER_STATE_READY


@pytest.mark.parametrize(
    ("goods", "on_hand"), [(Goods.KEPT_BACK, 100), (Goods.RETURNED, 100), (Goods.LOST, 98)], ids=lambda each: str(each)
)
async def test_an_undeliverable_order_ends_with_its_money_and_what_is_left_of_its_goods(
    market: Market, goods: Goods, on_hand: int
) -> None:
    way = ready_order if goods is Goods.KEPT_BACK else order_on_its_way
    buyer, _, variant, order = await way(market, 2)
    await give_up(market, order.order_id, goods)
    await give_up(market, order.order_id, goods, note="once more")
    over = await market.get(buyer, order.order_id)
    assert over.state == CANCELLED
    assert [(one.reason, one.note, one.actor) for one in over.cancellations] == [
        (order_pb2.CANCELLATION_REASON_UNDELIVERABLE, "nobody opened", order_pb2.CANCELLATION_ACTOR_ADMIN)
    ]
    await market.run_jobs()
    assert minor((await market.get(buyer, order.order_id)).refunded_amount) == minor(order.total)
    assert await stock_of(market, variant) == (on_hand, 0)
    for _ in range(2):
        await market.tx.run("t", lambda uow: service.goods_returned(uow, UUID(order.order_id)))
        assert await stock_of(market, variant) == (100, 0)
    assert await market.violations() == []


async def test_pieces_that_were_cancelled_before_do_not_come_back_with_the_rest(market: Market) -> None:
    buyer, _, variant, order = await ready_order(market, 3)
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    await assign(market, order.order_id)
    await pick_up(market, order.order_id)
    assert await stock_of(market, variant) == (98, 0)
    await give_up(market, order.order_id, Goods.LOST)
    await market.tx.run("t", lambda uow: service.goods_returned(uow, UUID(order.order_id)))
    assert await stock_of(market, variant) == (100, 0)
    assert await market.violations() == []


async def test_only_what_a_courier_could_bring_can_be_undeliverable(market: Market) -> None:
    _, _, _, order = await paid_order(market)
    with pytest.raises(IllegalTransition):
        await give_up(market, order.order_id, Goods.KEPT_BACK)
    _, _, _, out = await order_on_its_way(market)
    await deliver(market, out.order_id)
    with pytest.raises(IllegalTransition):
        await give_up(market, out.order_id, Goods.RETURNED)


async def test_delivering_and_giving_up_at_once_has_one_winner(market: Market, other: Market) -> None:
    for _ in range(8):
        buyer, _, _, order = await order_on_its_way(market)
        delivered, given_up = await asyncio.gather(
            deliver(market, order.order_id),
            give_up(other, order.order_id, Goods.RETURNED),
            return_exceptions=True,
        )
        assert isinstance(delivered, IllegalTransition) != isinstance(given_up, IllegalTransition)
        state = (await market.get(buyer, order.order_id)).state
        assert state == (CANCELLED if isinstance(delivered, IllegalTransition) else DELIVERED)
    await market.run_jobs()
    assert await market.violations() == []


async def test_an_order_knows_its_delivery_and_loses_its_courier(market: Market) -> None:
    buyer, shop, _, order = await ready_order(market)
    delivery_id = new_id()
    for _ in range(2):
        made = await market.tx.run("t", lambda uow: service.delivery_made(uow, UUID(order.order_id), delivery_id))
        assert made is not None
    seen = await market.get(buyer, order.order_id)
    assert seen.delivery_id == str(delivery_id)
    await assign(market, order.order_id)
    assert (await market.get(buyer, order.order_id)).HasField("courier_id")
    for _ in range(2):
        await market.tx.run("t", lambda uow: service.courier_withdrawn(uow, UUID(order.order_id)))
    assert not (await market.get(buyer, order.order_id)).HasField("courier_id")
    await market.cancel(shop.caller, order.order_id)
    assert await market.tx.run("t", lambda uow: service.delivery_made(uow, UUID(order.order_id), new_id())) is None
    _, _, _, out = await ready_order(market)
    await assign(market, out.order_id)
    await market.tx.run("t", lambda uow: service.out_for_delivery(uow, UUID(out.order_id)))
    with pytest.raises(IllegalTransition):
        await market.tx.run("t", lambda uow: service.courier_withdrawn(uow, UUID(out.order_id)))
    told = await market.tx.read(lambda unit: outbox.read_aggregate(unit.connection, UUID(order.order_id), 4))
    assert [event.event_type.removeprefix("order.") for event in told] == [
        "delivery_made",
        "courier_assigned",
        "courier_withdrawn",
        "cancelled",
    ]


async def test_open_orders_hold_their_buyer_and_their_shop(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variant = await market.variant(shop)
    orders = [(await market.place(buyer, (variant, 1))).orders[0], (await market.paid(buyer, (variant, 1))).orders[0]]

    async def held() -> set[str | None]:
        return {
            await market.tx.run("t", lambda uow: service.holds_account(uow, buyer.known_user_id)),
            await market.tx.run("t", lambda uow: service.holds_seller(uow, shop.seller_id)),
        }

    assert await held() == {f"order {orders[0].order_number} and 1 more"}
    await market.cancel(buyer, orders[0].order_id)
    assert await held() == {f"order {orders[1].order_number}"}
    await market.reject(shop, orders[1].order_id)
    assert await held() == {None}
    assert await market.tx.run("t", lambda uow: service.holds_account(uow, uuid4())) is None


@pytest.mark.faults
async def test_what_ended_under_the_version_before_agrees_after_the_migration(
    market: Market, other: Market, database_url: str
) -> None:
    buyer, _, _, order = await paid_order(market, 3)
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    await market.cancel(buyer, order.order_id, note="none at all")
    shop = await market.shop()
    expired = (await market.place(buyer, (await market.variant(shop), 2))).orders[0]
    await market.cancel(buyer, expired.order_id, (expired.items[0].item_id, 1))
    await market.run_jobs(ahead=timedelta(minutes=31))
    unpaid = (await market.place(buyer, (await market.variant(shop), 2))).orders[0]
    await market.cancel(buyer, unpaid.order_id, (unpaid.items[0].item_id, 1))
    _, shop, _, rejected = await paid_order(market)
    await market.reject(shop, rejected.order_id)
    _, _, _, refunded = await paid_order(market)
    await market.refund(market.admin, refunded.payment_id, order_id=refunded.order_id)
    await market.run_jobs()
    await asyncio.to_thread(command.downgrade, migrate.config(database_url), "0025")
    # The version before reads no reason that it does not know.
    connection = await asyncpg.connect(database_url)
    reasons = await connection.fetch("SELECT DISTINCT cancel_reason FROM orders WHERE cancel_reason IS NOT NULL")
    await connection.close()
    assert {row["cancel_reason"] for row in reasons} <= {"UNSPECIFIED", "CHANGED_MIND", "OUT_OF_STOCK", "OTHER"}
    await asyncio.to_thread(migrate.upgrade, database_url)
    assert await other.violations() == []
    over = await other.get(buyer, order.order_id)
    assert [(one.note, len(one.lines), minor(one.amount)) for one in over.cancellations] == [
        ("none at all", 1, minor(over.total))
    ]
    for one in (unpaid, expired):
        assert minor((await other.get(buyer, one.order_id)).cancelled_amount) == 1_000
