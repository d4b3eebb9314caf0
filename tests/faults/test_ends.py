"""What ends while others depend on it: two processes make their moves at one instant, against two workers.

Whichever comes first, nothing is stuck afterwards: what docs/decisions/0019 says has followed, the books are right, no
money is kept for what will not come, and an administrator has a way out. A few rounds in every run, 20 in the long one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from google.protobuf.duration_pb2 import Duration
from marketplace.auth.v1 import user_service_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2

from tests.faults import books
from tests.worlds.faults import Variant, World
from tests.worlds.lines import Account, Lines, as_role, register
from tests.worlds.rivals import Move, Outcome, Rivals
from tests.worlds.served import Served
from tests.worlds.things import PASSWORD, new_key

pytestmark = pytest.mark.usefixtures("both_workers")

ROUNDS = pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.faults)])
# The second of the two is sent a little earlier or later in each round, so that either comes first.
_STEP_SECONDS = 0.0007


@dataclass(frozen=True)
class Stage:
    """Where a round plays: one order of one buyer at one shop, and who has to do with it."""

    buyer: Account
    seller: Account
    seller_id: str
    variant: Variant
    order: order_pb2.Order | None = None
    payment_id: str = ""
    delivery_id: str = ""
    courier: Account | None = None
    courier_id: str = ""

    @property
    def order_id(self) -> str:
        assert self.order is not None
        return str(self.order.order_id)


@pytest.fixture(scope="module")
def rivals(served: Served) -> Iterator[Rivals]:
    """The two processes."""
    with Rivals(served.port) as both:
        yield both


@pytest.fixture
async def lines(world: World) -> AsyncIterator[Lines]:
    """Connections to set the rounds up with, and to look at what came of them."""
    async with world.lines(8) as opened:
        yield opened


async def shop(world: World, lines: Lines) -> Stage:
    """A shop of its own, and a buyer."""
    buyer, seller = await register(lines), await register(lines)
    seller_id = await world.open_shop(lines, seller)
    return Stage(buyer, seller, seller_id, await world.product(lines, 10, seller))


async def paid(world: World, lines: Lines) -> Stage:
    """An order that is paid and that nobody has accepted."""
    stage = await shop(world, lines)
    group = await world.paid(lines, stage.buyer, stage.variant)
    return replace(stage, order=group.orders[0], payment_id=group.payment.payment_id)


async def accepted(world: World, lines: Lines) -> Stage:
    """An order that the shop prepares."""
    stage = await paid(world, lines)
    accept = order_service_pb2.AcceptOrderRequest(order_id=stage.order_id, prep_duration=Duration(seconds=60))
    await as_role(lines, stage.seller, accept)
    return stage


async def ready(world: World, lines: Lines) -> Stage:
    """An order with its delivery, and a courier on shift who has not got it."""
    stage = await accepted(world, lines)
    await as_role(lines, stage.seller, order_service_pb2.MarkOrderReadyRequest(order_id=stage.order_id))
    delivery_id = await world.delivery_of(lines, stage.buyer, stage.order_id)
    courier, courier_id = await world.courier(lines)
    return replace(stage, delivery_id=delivery_id, courier=courier, courier_id=courier_id)


async def assigned(world: World, lines: Lines) -> Stage:
    """An order whose courier is on the way to the shop."""
    stage = await ready(world, lines)
    assign = delivery_service_pb2.AssignCourierRequest(delivery_id=stage.delivery_id, courier_id=stage.courier_id)
    await lines.settled(world.admin, assign)
    return stage


async def stages(
    world: World, lines: Lines, rounds: int, build: Callable[[World, Lines], Awaitable[Stage]]
) -> list[Stage]:
    """One for each round, four at a time."""
    gate = asyncio.Semaphore(4)

    async def one() -> Stage:
        async with gate:
            return await build(world, lines)

    return list(await asyncio.gather(*(one() for _ in range(rounds))))


def race(rivals: Rivals, number: int, rounds: int, one: Move, other: Move) -> tuple[Outcome, Outcome]:
    """Both moves at one instant, shifted against each other by the number of the round."""
    shift = (number - rounds // 2) * _STEP_SECONDS
    if shift < 0:
        one = replace(one, after_seconds=-shift)
    else:
        other = replace(other, after_seconds=shift)
    (first,), (second,) = rivals.race([one], [other])
    return first, second


async def order_of(world: World, lines: Lines, stage: Stage) -> order_pb2.Order:
    """The order as an administrator sees it."""
    found: order_pb2.Order = (
        await lines.settled(world.admin, order_service_pb2.GetOrderRequest(order_id=stage.order_id))
    ).order
    return found


async def delivery_of(world: World, lines: Lines, stage: Stage) -> delivery_pb2.Delivery:
    """The delivery as an administrator sees it."""
    found: delivery_pb2.Delivery = (
        await lines.settled(world.admin, delivery_service_pb2.GetDeliveryRequest(delivery_id=stage.delivery_id))
    ).delivery
    return found


async def assert_money_is_back(world: World, lines: Lines, stage: Stage) -> None:
    """All that was taken for the order's group was given back."""
    asked = payment_service_pb2.GetPaymentRequest(payment_id=stage.payment_id)
    found = (await lines.settled(world.admin, asked)).payment
    assert found.state == payment_pb2.PAYMENT_STATE_REFUNDED, found
    assert found.refunded_amount == found.captured_amount


async def in_stock(world: World, stage: Stage) -> str:
    """Pieces on hand, and how many of them are reserved."""
    found = await world.sql(
        "SELECT on_hand || ' ' || reserved FROM stocks WHERE variant_id = $1::text::uuid", stage.variant.variant_id
    )
    return str(found)


async def assert_settled(world: World) -> None:
    """Everything that follows has followed, and the books are right."""
    await world.drained()
    await books.assert_sound(world.database_url)


@ROUNDS
async def test_a_buyer_who_deletes_the_account_waits_for_the_courier(
    world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    for number, stage in enumerate(await stages(world, lines, rounds, assigned)):
        assert stage.courier is not None
        delete = user_service_pb2.DeleteUserRequest(user_id="me", password=PASSWORD)
        pick_up = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=stage.delivery_id)
        deleted, picked_up = race(rivals, number, rounds, Move(stage.buyer, delete), Move(stage.courier, pick_up))
        assert picked_up.is_ok, picked_up
        assert deleted.reason == "IN_USE", deleted
        assert stage.order is not None
        assert stage.order.order_number in deleted.message
        # The way out: an administrator ends what the courier cannot, and then the account may go.
        fail = delivery_service_pb2.FailDeliveryRequest(
            request_id=new_key(),
            delivery_id=stage.delivery_id,
            reason=delivery_pb2.DELIVERY_FAILURE_REASON_OTHER,
            note="the bicycle was stolen",
        )
        await lines.settled(world.admin, fail)
        await world.drained()
        assert (await order_of(world, lines, stage)).state == order_pb2.ORDER_STATE_CANCELLED
        await assert_money_is_back(world, lines, stage)
        await lines.settled(stage.buyer, delete)
    await assert_settled(world)


@ROUNDS
async def test_nobody_orders_with_an_account_that_ends_meanwhile(
    world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    for number, stage in enumerate(await stages(world, lines, rounds, shop)):
        place = await world.quoted(lines, stage.buyer, [(stage.variant, 1)])
        delete = user_service_pb2.DeleteUserRequest(user_id="me", password=PASSWORD)
        placed, deleted = race(rivals, number, rounds, Move(stage.buyer, place), Move(stage.buyer, delete))
        assert placed.is_ok != deleted.is_ok, (placed, deleted)
        if placed.is_ok:
            assert deleted.reason == "IN_USE", deleted
    await assert_settled(world)
    orphans = await world.sql(
        "SELECT count(*) FROM orders o JOIN accounts a ON a.user_id = o.buyer_id"
        " WHERE a.state = 'DELETED' AND o.state NOT IN ('DELIVERED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'REFUNDED')"
    )
    assert orphans == 0


@ROUNDS
async def test_the_orders_of_a_blocked_shop_end_whether_they_were_accepted_just_before_or_not(
    world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    played = await stages(world, lines, rounds, paid)
    for number, stage in enumerate(played):
        block = user_service_pb2.BlockUserRequest(user_id=stage.seller.user_id, reason="fraud")
        accept = order_service_pb2.AcceptOrderRequest(order_id=stage.order_id, prep_duration=Duration(seconds=60))
        blocked, accepting = race(rivals, number, rounds, Move(world.admin, block), Move(stage.seller, accept))
        assert blocked.is_ok, blocked
        assert accepting.is_ok or accepting.reason in {
            "ACCOUNT_BLOCKED",
            "SESSION_REVOKED",
            "ROLE_REQUIRED",
            "ILLEGAL_TRANSITION",
        }, accepting
    await assert_settled(world)
    for stage in played:
        order = await order_of(world, lines, stage)
        assert order.state == order_pb2.ORDER_STATE_CANCELLED
        assert order.cancellations[-1].reason == order_pb2.CANCELLATION_REASON_SELLER_UNAVAILABLE
        await assert_money_is_back(world, lines, stage)
        assert await in_stock(world, stage) == "10 0"
        seen = seller_service_pb2.GetSellerRequest(seller_id=stage.seller_id)
        assert (await lines.settled(world.admin, seen)).seller.state == seller_pb2.SELLER_STATE_SUSPENDED
        # The way out: the account is let in again and its shop sells again.
        await lines.settled(world.admin, user_service_pb2.UnblockUserRequest(user_id=stage.seller.user_id))
        reinstate = seller_service_pb2.ReinstateSellerRequest(seller_id=stage.seller_id, reason="a mistake")
        assert (await lines.settled(world.admin, reinstate)).seller.state == seller_pb2.SELLER_STATE_ACTIVE
    await assert_settled(world)


@ROUNDS
async def test_an_order_whose_money_is_given_back_ends_whether_it_was_ready_just_before_or_not(
    world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    played = await stages(world, lines, rounds, accepted)
    for number, stage in enumerate(played):
        refund = payment_service_pb2.RefundPaymentRequest(
            request_id=new_key(),
            payment_id=stage.payment_id,
            order=payment_service_pb2.OrderRefund(order_id=stage.order_id),
            reason="sorry",
        )
        mark = order_service_pb2.MarkOrderReadyRequest(order_id=stage.order_id)
        refunded, marked = race(rivals, number, rounds, Move(world.admin, refund), Move(stage.seller, mark))
        assert refunded.is_ok, refunded
        assert marked.is_ok or marked.reason == "ILLEGAL_TRANSITION", marked
    await assert_settled(world)
    for stage in played:
        order = await order_of(world, lines, stage)
        assert order.state == order_pb2.ORDER_STATE_CANCELLED
        assert order.cancellations[-1].reason == order_pb2.CANCELLATION_REASON_REFUNDED
        await assert_money_is_back(world, lines, stage)
        assert await in_stock(world, stage) == "10 0"
        asked = delivery_service_pb2.ListDeliveriesRequest(order_ids=[stage.order_id])
        for delivery in (await lines.settled(world.admin, asked)).deliveries:
            assert delivery.outcome == delivery_pb2.DELIVERY_OUTCOME_CANCELLED, delivery


@ROUNDS
async def test_a_shop_closes_or_takes_the_order_and_never_both(
    world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    for number, stage in enumerate(await stages(world, lines, rounds, shop)):
        place = await world.quoted(lines, stage.buyer, [(stage.variant, 1)])
        close = seller_service_pb2.CloseSellerRequest(seller_id=stage.seller_id, reason="moving away")
        closed, placed = race(rivals, number, rounds, Move(stage.seller, close), Move(stage.buyer, place))
        assert closed.is_ok != placed.is_ok, (closed, placed)
        if closed.is_ok:
            assert placed.reason == "SELLER_CLOSED", placed
            assert await in_stock(world, stage) == "10 0"
            continue
        assert closed.reason == "IN_USE", closed
        order = placed.answer.order_group.orders[0]
        assert order.order_number in closed.message
        # The way out: the order is cancelled, and then the shop may close.
        cancel = order_service_pb2.CancelOrderRequest(
            request_id=new_key(), order_id=order.order_id, reason=order_pb2.CANCELLATION_REASON_SELLER_UNAVAILABLE
        )
        await lines.settled(world.admin, cancel)
        await lines.settled(stage.seller, close)
    await assert_settled(world)


@ROUNDS
async def test_a_suspended_courier_keeps_no_delivery_that_was_assigned_just_before(
    world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    played = await stages(world, lines, rounds, ready)
    for number, stage in enumerate(played):
        suspend = courier_service_pb2.SuspendCourierRequest(courier_id=stage.courier_id, reason="complaints")
        assign = delivery_service_pb2.AssignCourierRequest(delivery_id=stage.delivery_id, courier_id=stage.courier_id)
        suspended, assigning = race(rivals, number, rounds, Move(world.admin, suspend), Move(world.admin, assign))
        assert suspended.is_ok, suspended
        assert assigning.is_ok or assigning.reason == "COURIER_OFF_SHIFT", assigning
    await assert_settled(world)
    for stage in played:
        delivery = await delivery_of(world, lines, stage)
        assert delivery.state == delivery_pb2.DELIVERY_STATE_CREATED
        assert not delivery.HasField("courier")
        order = await order_of(world, lines, stage)
        assert (order.state, order.HasField("courier_id")) == (order_pb2.ORDER_STATE_READY, False)
        got = courier_service_pb2.GetCourierRequest(courier_id=stage.courier_id)
        courier = (await lines.settled(world.admin, got)).courier
        assert (courier.state, courier.on_shift) == (courier_pb2.COURIER_STATE_SUSPENDED, False)
        # The way out: somebody else brings it.
        _, other_id = await world.courier(lines)
        assign = delivery_service_pb2.AssignCourierRequest(delivery_id=stage.delivery_id, courier_id=other_id)
        given = (await lines.settled(world.admin, assign)).delivery
        assert given.state == delivery_pb2.DELIVERY_STATE_ASSIGNED
    await assert_settled(world)
