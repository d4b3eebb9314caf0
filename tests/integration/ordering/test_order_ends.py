"""How orders end while they are in their shops: cancelled, rejected, forgotten, refunded."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from uuid import UUID

import pytest
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition, NotFound, ValidationFailed
from marketd.kernel.events import outbox
from marketd.order.cancellations import MAX_CANCELLATIONS
from marketplace.order.v1 import order_pb2

from tests.worlds.order_ways import (
    assign,
    paid_order,
    stock_of,
)
from tests.worlds.ordering import Market, minor

PAID = order_pb2.ORDER_STATE_PAID
ACCEPTED = order_pb2.ORDER_STATE_ACCEPTED
CANCELLED = order_pb2.ORDER_STATE_CANCELLED
REJECTED = order_pb2.ORDER_STATE_REJECTED
FEE = 490


async def test_each_cancellation_is_told_with_its_pieces_money_reason_and_actor(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp, chair = await market.variant(shop, price_minor=700), await market.variant(shop, price_minor=300)
    group = await market.place(buyer, (lamp, 3), (chair, 2))
    placed = group.orders[0]
    items = {item.variant_id: item.item_id for item in placed.items}
    assert (minor(placed.payable_amount), minor(placed.cancelled_amount)) == (2_700 + FEE, 0)
    fewer = await market.cancel(
        buyer, placed.order_id, (items[str(lamp)], 1), reason=order_pb2.CANCELLATION_REASON_CHANGED_MIND, note="two do"
    )
    assert (minor(fewer.payable_amount), minor(fewer.cancelled_amount)) == (2_000 + FEE, 700)
    assert minor(fewer.total) == 2_700 + FEE
    await market.confirm(buyer, group.payment.payment_id)
    paid = await market.get(buyer, placed.order_id)
    assert (minor(paid.payable_amount), minor(paid.cancelled_amount), minor(paid.refunded_amount)) == (0, 700, 0)
    await market.cancel(
        shop.caller, placed.order_id, (items[str(chair)], None), reason=order_pb2.CANCELLATION_REASON_OUT_OF_STOCK
    )
    last = await market.cancel(market.admin, placed.order_id, note="asked on the phone")
    await market.run_jobs()
    order = await market.get(buyer, placed.order_id)
    told = [
        (each.actor, each.reason, each.note, [(one.item_id, one.quantity, minor(one.amount)) for one in each.lines])
        for each in order.cancellations
    ]
    assert told == [
        (
            order_pb2.CANCELLATION_ACTOR_BUYER,
            order_pb2.CANCELLATION_REASON_CHANGED_MIND,
            "two do",
            [(items[str(lamp)], 1, 700)],
        ),
        (
            order_pb2.CANCELLATION_ACTOR_SELLER,
            order_pb2.CANCELLATION_REASON_OUT_OF_STOCK,
            "",
            [(items[str(chair)], 2, 600)],
        ),
        (
            order_pb2.CANCELLATION_ACTOR_ADMIN,
            order_pb2.CANCELLATION_REASON_OTHER,
            "asked on the phone",
            [(items[str(lamp)], 2, 1_400)],
        ),
    ]
    assert [minor(each.amount) for each in order.cancellations] == [700, 600, 1_400 + FEE]
    assert order.cancellations[2].cancel_time == last.cancel_time
    assert minor(order.cancelled_amount) == minor(order.total)
    assert minor(order.refunded_amount) == 2_000 + FEE
    assert await market.violations() == []


@pytest.mark.parametrize(
    ("who", "refused", "given"),
    [
        ("buyer", order_pb2.CANCELLATION_REASON_OUT_OF_STOCK, order_pb2.CANCELLATION_REASON_TOO_SLOW),
        ("seller", order_pb2.CANCELLATION_REASON_CHANGED_MIND, order_pb2.CANCELLATION_REASON_SUSPECTED_FRAUD),
        ("admin", order_pb2.CANCELLATION_REASON_NOT_ACCEPTED_IN_TIME, order_pb2.CANCELLATION_REASON_OUT_OF_STOCK),
        ("admin", order_pb2.CANCELLATION_REASON_REFUNDED, order_pb2.CANCELLATION_REASON_CHANGED_MIND),
    ],
)
async def test_a_reason_is_given_by_those_who_can_know_it(
    market: Market,
    who: str,
    refused: order_pb2.CancellationReason.ValueType,
    given: order_pb2.CancellationReason.ValueType,
) -> None:
    buyer, shop, _, order = await paid_order(market)
    caller = {"buyer": buyer, "seller": shop.caller, "admin": market.admin}[who]
    with pytest.raises(ValidationFailed) as refusal:
        await market.cancel(caller, order.order_id, reason=refused)
    assert [field.field for field in refusal.value.fields] == ["reason"]
    assert order_pb2.CancellationReason.Name(given).removeprefix("CANCELLATION_REASON_") in str(
        refusal.value.fields[0].description
    )
    cancelled = await market.cancel(caller, order.order_id, reason=given)
    assert cancelled.cancellations[0].reason == given


async def test_what_people_write_stays_out_of_events_and_refunds(market: Market) -> None:
    buyer, shop, _, order = await paid_order(market)
    await market.reject(
        shop, order.order_id, reason=order_pb2.CANCELLATION_REASON_SUSPECTED_FRAUD, note="the same card as yesterday"
    )
    await market.run_jobs()
    payment = await market.get_payment(buyer, order.payment_id)
    assert "card" not in payment.refunds[0].reason
    events = await market.tx.read(lambda unit: outbox.read_aggregate(unit.connection, UUID(order.order_id), 0))
    assert "card" not in str([event.payload for event in events])


async def test_a_seller_rejects_a_paid_order_and_stock_and_money_go_back(market: Market) -> None:
    buyer, shop, variant, order = await paid_order(market, 2)
    seen = await market.get(shop.caller, order.order_id)
    assert order_pb2.ORDER_ACTION_REJECT in seen.allowed_actions
    rival = await market.shop()
    with pytest.raises(NotFound):
        await market.reject(rival, order.order_id)
    with pytest.raises(ValidationFailed):
        await market.reject(shop, order.order_id, reason=order_pb2.CANCELLATION_REASON_TOO_SLOW)
    with pytest.raises(EtagMismatch):
        await market.reject(shop, order.order_id, etag="v1")
    rejected = await market.reject(shop, order.order_id, note="closing early", etag=seen.etag)
    assert rejected.state == REJECTED
    assert rejected.HasField("reject_time")
    assert [(one.reason, one.note, one.actor) for one in rejected.cancellations] == [
        (order_pb2.CANCELLATION_REASON_OUT_OF_STOCK, "closing early", order_pb2.CANCELLATION_ACTOR_SELLER)
    ]
    assert await market.reject(shop, order.order_id, note="closing early", etag=seen.etag) == rejected
    with pytest.raises(IllegalTransition):
        await market.reject(shop, order.order_id, note="another word")
    await market.run_jobs()
    after = await market.get(buyer, order.order_id)
    assert minor(after.refunded_amount) == minor(after.total)
    (refund,) = (await market.get_payment(buyer, order.payment_id)).refunds
    assert refund.reason == "Order rejected."
    assert await stock_of(market, variant) == (100, 0)
    assert await market.violations() == []


async def test_only_a_paid_order_can_be_rejected(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    group = await market.place(buyer, (await market.variant(shop), 1))
    with pytest.raises(IllegalTransition):
        await market.reject(shop, group.orders[0].order_id)
    await market.confirm(buyer, group.payment.payment_id)
    await market.accept(shop, group.orders[0].order_id)
    with pytest.raises(IllegalTransition) as refusal:
        await market.reject(shop, group.orders[0].order_id)
    assert refusal.value.metadata["allowed"] == "READY,CANCELLED"


async def test_a_paid_order_that_nobody_accepts_in_time_is_cancelled_with_its_money(market: Market) -> None:
    buyer, _, variant, forgotten = await paid_order(market)
    _, shop, _, accepted = await paid_order(market)
    waiting = await market.get(buyer, forgotten.order_id)
    assert waiting.accept_expire_time.ToDatetime() - waiting.pay_time.ToDatetime() == timedelta(hours=1)
    await market.accept(shop, accepted.order_id)
    await market.run_jobs(ahead=timedelta(minutes=59))
    assert (await market.get(buyer, forgotten.order_id)).state == PAID
    await market.run_jobs(ahead=timedelta(minutes=61))
    order = await market.get(buyer, forgotten.order_id)
    assert order.state == CANCELLED
    assert [(one.reason, one.actor) for one in order.cancellations] == [
        (order_pb2.CANCELLATION_REASON_NOT_ACCEPTED_IN_TIME, order_pb2.CANCELLATION_ACTOR_SYSTEM)
    ]
    assert (await market.get(shop.caller, accepted.order_id)).state == ACCEPTED
    await market.run_jobs()
    assert minor((await market.get(buyer, forgotten.order_id)).refunded_amount) == minor(order.total)
    assert await stock_of(market, variant) == (100, 0)
    entry = await market.tx.read(
        lambda unit: unit.connection.fetchrow(
            "SELECT actor_kind, method, comment FROM audit_entries WHERE resource_id = $1", forgotten.order_id
        )
    )
    assert entry is not None
    assert tuple(entry) == ("SYSTEM", "order.end", "NOT_ACCEPTED_IN_TIME")
    assert await market.violations() == []


async def test_accepting_and_running_out_of_time_at_once_has_one_winner(market: Market, other: Market) -> None:
    for _ in range(8):
        _, shop, _, order = await paid_order(market)
        accepted, _ = await asyncio.gather(
            market.accept(shop, order.order_id), other.run_jobs(ahead=timedelta(hours=2)), return_exceptions=True
        )
        state = (await market.get(shop.caller, order.order_id)).state
        assert state == (CANCELLED if isinstance(accepted, IllegalTransition) else ACCEPTED), accepted
    await market.run_jobs()
    assert await market.violations() == []


async def test_a_refund_that_leaves_nothing_ends_the_order_at_once(market: Market) -> None:
    for prepared in range(3):
        buyer, shop, variant, order = await paid_order(market)
        if prepared:
            await market.accept(shop, order.order_id)
        if prepared > 1:
            await market.ready(shop, order.order_id)
        await market.refund(shop.caller, order.payment_id, order_id=order.order_id, minor=500)
        going = await market.get(buyer, order.order_id)
        assert going.state == PAID + prepared
        await market.refund(shop.caller, order.payment_id, order_id=order.order_id)
        over = await market.get(buyer, order.order_id)
        assert over.state == CANCELLED
        assert [(one.reason, one.actor, minor(one.amount)) for one in over.cancellations] == [
            (order_pb2.CANCELLATION_REASON_REFUNDED, order_pb2.CANCELLATION_ACTOR_SYSTEM, minor(order.total) - 500)
        ]
        assert minor(over.refunded_amount) == minor(order.total)
        assert await stock_of(market, variant) == (100, 0)
        with pytest.raises(IllegalTransition):
            await market.accept(shop, order.order_id)
        with pytest.raises(IllegalTransition):
            await assign(market, order.order_id)
    assert await market.violations() == []


async def test_what_costs_nothing_any_more_is_cancelled_with_it(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp, gift = await market.variant(shop), await market.variant(shop, price_minor=0)
    # As much as the fee is given back before, and more: then less is left than the piece has cost.
    for given_back in (FEE, FEE + 300):
        order = (await market.paid(buyer, (lamp, 1), (gift, 1))).orders[0]
        item = next(one.item_id for one in order.items if one.variant_id == str(lamp))
        await market.refund(shop.caller, order.payment_id, order_id=order.order_id, minor=given_back)
        over = await market.cancel(buyer, order.order_id, (item, 1))
        assert over.state == CANCELLED
        assert len(over.cancellations[0].lines) == 2
        await market.run_jobs()
        assert minor((await market.get(buyer, order.order_id)).refunded_amount) == minor(order.total)
    assert await market.violations() == []


async def test_parts_are_cancelled_a_bounded_number_of_times_and_then_the_rest_at_once(market: Market) -> None:
    buyer, _, _, order = await paid_order(market, 5)
    item = order.items[0].item_id
    await market.cancel(buyer, order.order_id, (item, 1))
    # More of them, which took nothing.
    one = await market.value("SELECT cancellations -> 0 FROM orders")
    more = [{**one, "lines": [], "amount_minor": 0}] * (MAX_CANCELLATIONS - 2)
    await market.tx.run(
        "t",
        lambda uow: uow.connection.execute(
            "UPDATE orders SET cancellations = cancellations || $1::text::jsonb", json.dumps(more)
        ),
    )
    with pytest.raises(ValidationFailed) as refusal:
        await market.cancel(buyer, order.order_id, (item, 1))
    assert refusal.value.fields[0].field == "lines"
    over = await market.cancel(buyer, order.order_id)
    assert over.state == CANCELLED
    assert len(over.cancellations) == MAX_CANCELLATIONS
    assert await market.violations() == []


async def test_ends_are_audited_with_what_changed(market: Market) -> None:
    _, shop, _, order = await paid_order(market)
    await market.reject(shop, order.order_id, note="private words")
    rows = await market.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT actor_id, changes FROM audit_entries WHERE resource_id = $1", order.order_id
        )
    )
    assert [row["actor_id"] for row in rows] == [shop.caller.user_id]
    assert "PAID" in str(rows[0]["changes"])
    assert "REJECTED" in str(rows[0]["changes"])
    assert "private words" not in str(rows[0]["changes"])
