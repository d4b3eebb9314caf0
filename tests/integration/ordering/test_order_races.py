"""Races of paying, cancelling, expiring and refunding the same orders: legal moves, no deadlock, books that agree."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import Refusal
from marketd.order.expire import expire_group
from marketd.order.prepare import AcceptOrder, accept_order
from marketplace.order.v1 import order_pb2
from marketplace.payment.v1 import payment_pb2
from structlog.testing import capture_logs

from tests.worlds.ends import Ends
from tests.worlds.order_ways import paid_order
from tests.worlds.ordering import Market, minor
from tests.worlds.providers import HeldProvider

GROUPS = 40


async def _refused(work: Awaitable[object]) -> str:
    try:
        await work
    except Refusal as refusal:
        return refusal.reason.value
    return "OK"


async def test_paying_cancelling_expiring_and_refunding_at_once_keep_the_books(market: Market, other: Market) -> None:
    dice = random.Random(7)  # noqa: S311 - a test's
    one, two = await market.shop(), await market.shop()
    variants = [await market.variant(shop, stock=100_000) for shop in (one, two, one)]
    gate = asyncio.Semaphore(8)

    async def placed(worker: Market) -> tuple[Caller, order_pb2.OrderGroup]:
        async with gate:
            buyer = await market.buyer()
            lines = dice.sample(variants, dice.randint(1, 3))
            return buyer, await worker.place(buyer, *((variant, dice.randint(1, 4)) for variant in lines))

    groups = await asyncio.gather(*(placed((market, other)[n % 2]) for n in range(GROUPS)))
    moves: list[Awaitable[str]] = []
    for buyer, group in groups:
        payment_id, order = group.payment.payment_id, dice.choice(group.orders)
        worker, rival = dice.sample([market, other], 2)

        async def expire(worker: Market = worker, group_id: str = group.order_group_id) -> None:
            await worker.tx.run("test.expire", lambda uow: expire_group(uow, {"order_group_id": group_id}))

        moves.append(_refused(worker.confirm(buyer, payment_id, dice.choice(["ok", "ok", "decline", "action"]))))
        moves.append(_refused(rival.confirm(buyer, payment_id)))
        moves.append(_refused(rival.cancel(buyer, order.order_id)))
        moves.append(_refused(worker.cancel(market.admin, order.order_id, (order.items[0].item_id, 1))))
        moves.append(_refused(rival.refund(market.admin, payment_id, order_id=order.order_id, minor=300)))
        if dice.random() < 0.5:
            moves.append(_refused(expire()))
    dice.shuffle(moves)

    with capture_logs() as logs:
        # So many at once that they meet, and so few that hardly one waits out its own deadline on a busy machine.
        room = asyncio.Semaphore(24)

        async def in_turn(move: Awaitable[str]) -> str:
            async with room:
                return await move

        outcomes = await asyncio.gather(*map(in_turn, moves))
    allowed = {
        "OK",
        "ILLEGAL_TRANSITION",
        "VALIDATION_FAILED",
        "REQUEST_IN_PROGRESS",
        "PAYMENT_DECLINED",
        "PAYMENT_ACTION_REQUIRED",
        # Where it happens, nobody knows whether the move was made; the books must be right either way.
        "DEADLINE_EXCEEDED",
    }
    assert set(outcomes) <= allowed
    assert outcomes.count("OK") > GROUPS
    assert await market.violations() == []
    await market.run_jobs(ahead=timedelta(seconds=20))
    await market.run_jobs(ahead=timedelta(minutes=31))
    assert await market.violations() == []
    assert [entry for entry in logs if entry["event"] == "transaction_retry"] == []
    states = {
        row["state"]
        for row in await market.tx.read(lambda unit: unit.connection.fetch("SELECT DISTINCT state FROM orders"))
    }
    assert {"PAID", "CANCELLED", "EXPIRED"} >= states
    assert "PENDING_PAYMENT" not in states
    # The provider's books say the same as ours: nothing is kept that no order accounts for.
    kept = await market.value("SELECT sum(captured_amount_minor - refunded_amount_minor) FROM sandbox_charges")
    owed = await market.value("SELECT sum(due_minor - refunded_amount_minor) FROM orders WHERE state = 'PAID'")
    assert (kept or 0) == (owed or 0)
    assert await market.value("SELECT count(*) FROM refunds WHERE state <> 'SUCCEEDED'") == 0


@pytest.mark.parametrize("way", ["expire", "cancel"])
async def test_money_taken_after_the_orders_were_gone_goes_back(market: Market, way: str) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 2))
    provider = HeldProvider(market.sandbox)
    worker = market.on(market.tx, provider)
    paying = asyncio.create_task(_refused(worker.confirm(buyer, group.payment.payment_id)))
    await provider.captured.wait()
    if way == "expire":
        payload = {"order_group_id": group.order_group_id}
        await market.tx.run("test.expire", lambda uow: expire_group(uow, payload))
    else:
        await market.cancel(buyer, group.orders[0].order_id)
    provider.go.set()
    assert await paying == "ILLEGAL_TRANSITION"
    await market.run_jobs(ahead=timedelta(seconds=20))
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert payment.state == payment_pb2.PAYMENT_STATE_REFUNDED
    assert minor(payment.refunded_amount) == minor(group.total)
    assert await market.value("SELECT captured_amount_minor - refunded_amount_minor FROM sandbox_charges") == 0
    assert await market.reserved(variant) == 0
    assert await market.violations() == []


async def test_what_was_cancelled_while_the_money_was_taken_goes_back(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 3))
    order = group.orders[0]
    provider = HeldProvider(market.sandbox)
    worker = market.on(market.tx, provider)
    paying = asyncio.create_task(worker.confirm(buyer, group.payment.payment_id))
    await provider.captured.wait()
    await market.cancel(buyer, order.order_id, (order.items[0].item_id, 1))
    provider.go.set()
    assert minor((await paying).captured_amount) == minor(group.total)
    await market.run_jobs()
    payment = await market.get_payment(buyer, group.payment.payment_id)
    assert minor(payment.refunded_amount) == 1_000
    assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_PAID
    assert await market.violations() == []


async def test_killed_after_the_capture_of_an_expired_order_the_reconciler_gives_it_back(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    group = await market.place(buyer, (variant, 1))
    provider = HeldProvider(market.sandbox)
    worker = market.on(market.tx, provider)
    paying = asyncio.create_task(worker.confirm(buyer, group.payment.payment_id, request_id=str(uuid4())))
    await provider.captured.wait()
    paying.cancel()
    await asyncio.wait([paying])
    await market.run_jobs(ahead=timedelta(minutes=31))
    await market.run_jobs(ahead=timedelta(minutes=32))
    states = (
        (await market.get(buyer, group.orders[0].order_id)).state,
        (await market.get_payment(buyer, group.payment.payment_id)).state,
    )
    # Both jobs were due: whichever ran first, either the order is paid or the money is back.
    assert states in (
        (order_pb2.ORDER_STATE_PAID, payment_pb2.PAYMENT_STATE_CAPTURED),
        (order_pb2.ORDER_STATE_EXPIRED, payment_pb2.PAYMENT_STATE_REFUNDED),
    )
    assert await market.violations() == []


@pytest.mark.parametrize("what", ["cancel", "refund"])
async def test_what_ends_an_order_waits_for_a_step_of_that_order_alone_and_goes_on_from_it(
    market: Market, other: Market, what: str
) -> None:
    """Such a step takes no lock of the group, so whoever has the group's must wait for the order's as well."""
    buyer, shop, _, order = await paid_order(market)
    ends, command = Ends(market), AcceptOrder(UUID(order.order_id), None, "")
    async with ends.held(lambda uow: accept_order(uow, shop.caller, command)) as accepted:
        payment_id = str(await market.value("SELECT payment_id FROM payments"))
        move: Awaitable[object] = (
            other.cancel(buyer, order.order_id)
            if what == "cancel"
            else other.refund(market.admin, payment_id, order_id=order.order_id, minor=300)
        )
        moving = asyncio.create_task(_refused(move))
        await ends.waits_for_a_lock(moving)
        await accepted.commit()
        assert await moving == "OK"
    await market.run_jobs()
    now = await market.get(buyer, order.order_id)
    ended, back = (
        (order_pb2.ORDER_STATE_CANCELLED, 1_490) if what == "cancel" else (order_pb2.ORDER_STATE_ACCEPTED, 300)
    )
    assert (now.state, minor(now.refunded_amount)) == (ended, back)
    assert now.HasField("accept_time")
    assert await market.violations() == []
