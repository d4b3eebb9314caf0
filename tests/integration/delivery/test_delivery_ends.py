"""Deliveries that end otherwise than at the buyer's door, on real Postgres: with their order and its goods."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.delivery.errors import TimeBeforeStep, TimeInFuture
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition, NotFound, Refusal
from marketplace.delivery.v1 import courier_service_pb2, delivery_pb2, delivery_service_pb2

from tests.worlds.calls import caller_of

if TYPE_CHECKING:
    from tests.worlds.delivery import Ready, World

Why, End, Who = delivery_pb2.DeliveryFailureReason, delivery_pb2.DeliveryOutcome, delivery_pb2.DeliveryActor
END_SHIFT = courier_service_pb2.EndShiftRequest()


async def cancellation(world: World, ready: Ready) -> tuple[str, str, str, str]:
    """The order's state, and the reason, note and actor of what ended it."""
    row = await world.tx.read(
        lambda unit: unit.connection.fetchrow(
            "SELECT state, cancellations->-1 AS last FROM orders WHERE order_id = $1", ready.order_id
        )
    )
    assert row is not None
    last = row["last"]
    return row["state"], last["reason"], last["note"], last["actor"]


async def test_an_admin_gives_a_delivery_up_before_the_pickup_and_the_order_ends_with_it(world: World) -> None:
    ready, courier, _ = await world.assigned()
    etag = (await world.get(world.admin, ready.delivery_id)).etag
    with pytest.raises(EtagMismatch):
        await world.end(world.admin, "CancelDelivery", ready.delivery_id, etag="v99")
    closed = Why.DELIVERY_FAILURE_REASON_SHOP_CLOSED
    ended = await world.end(world.admin, "CancelDelivery", ready.delivery_id, closed, note="dark", etag=etag)
    assert (ended.state, ended.outcome) == (delivery_pb2.DELIVERY_STATE_CLOSED, End.DELIVERY_OUTCOME_CANCELLED)
    failure = ended.failure
    assert (failure.reason, failure.note) == (closed, "dark")
    assert failure.actor == Who.DELIVERY_ACTOR_ADMIN
    assert await cancellation(world, ready) == ("CANCELLED", "UNDELIVERABLE", "dark", "ADMIN")
    assert await world.stock(ready) == (5, 0)
    again = await world.end(world.admin, "CancelDelivery", ready.delivery_id, closed, note="dark", etag=etag)
    assert again == ended
    with pytest.raises(IllegalTransition):
        await world.end(world.admin, "CancelDelivery", ready.delivery_id, Why.DELIVERY_FAILURE_REASON_UNSAFE)
    await world.hand_on()
    await world.call(courier, world.couriers.EndShift, END_SHIFT)
    assert await world.violations() == []


async def test_what_is_picked_up_is_not_cancelled(world: World) -> None:
    ready, _, _ = await world.picked_up()
    with pytest.raises(IllegalTransition) as refused:
        await world.end(world.admin, "CancelDelivery", ready.delivery_id)
    assert refused.value.metadata["current"] == "PICKED_UP"
    assert "FailDelivery or ReturnToSeller" in refused.value.message


async def test_a_courier_who_cannot_deliver_says_so_and_is_free(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    failed = await world.end(courier, "FailDelivery", ready.delivery_id, note="rang three times")
    assert failed.outcome == End.DELIVERY_OUTCOME_FAILED
    assert failed.failure.actor == Who.DELIVERY_ACTOR_COURIER
    # The goods left the stock with the pickup, and nobody has them.
    assert await world.stock(ready) == (3, 0)
    assert await cancellation(world, ready) == ("CANCELLED", "UNDELIVERABLE", "rang three times", "SYSTEM")
    assert await world.end(courier, "FailDelivery", ready.delivery_id, note="rang three times", etag="v1") == failed
    await world.hand_on()
    shift = (await world.call(courier, world.couriers.EndShift, END_SHIFT)).shift
    assert shift.completed_deliveries == 0
    assert await world.violations() == []
    entry = await world.value(
        "SELECT changes::text FROM audit_entries WHERE resource_id = $1 AND comment = 'rang three times'",
        str(ready.delivery_id),
    )
    assert "FAILED" in entry


async def test_before_the_pickup_only_an_admin_says_that_it_failed_and_the_goods_were_never_away(world: World) -> None:
    ready, courier, _ = await world.assigned()
    with pytest.raises(IllegalTransition, match="an admin ends it"):
        await world.end(courier, "FailDelivery", ready.delivery_id)
    failed = await world.end(world.admin, "FailDelivery", ready.delivery_id, Why.DELIVERY_FAILURE_REASON_NO_COURIER)
    assert failed.failure.actor == Who.DELIVERY_ACTOR_ADMIN
    assert await world.stock(ready) == (5, 0)
    with pytest.raises(IllegalTransition):
        await world.end(world.admin, "ReturnToSeller", ready.delivery_id)
    assert await world.violations() == []


async def test_who_is_courier_and_admin_acts_as_an_admin_where_a_courier_could_do_nothing(world: World) -> None:
    ready, courier, _ = await world.assigned()
    both = caller_of(courier.known_user_id, Role.COURIER, Role.ADMIN)
    ended = await world.end(both, "FailDelivery", ready.delivery_id)
    assert ended.failure.actor == Who.DELIVERY_ACTOR_ADMIN
    ready, courier, _ = await world.picked_up()
    etag = (await world.get(courier, ready.delivery_id)).etag
    for method in ("FailDelivery", "ReturnToSeller"):
        with pytest.raises(EtagMismatch):
            await world.end(courier, method, ready.delivery_id, etag="v99")
    # Whose role was taken is no courier any more.
    with pytest.raises(NotFound):
        await world.end(caller_of(courier.known_user_id, Role.BUYER), "FailDelivery", ready.delivery_id)
    ended = await world.end(courier, "FailDelivery", ready.delivery_id, etag=etag)
    assert ended.failure.actor == Who.DELIVERY_ACTOR_COURIER


async def test_goods_that_come_back_are_in_stock_again_at_once_or_later_and_once(world: World) -> None:
    at_once, courier, _ = await world.picked_up()
    returned = await world.end(courier, "ReturnToSeller", at_once.delivery_id, Why.DELIVERY_FAILURE_REASON_REFUSED)
    assert returned.outcome == End.DELIVERY_OUTCOME_RETURNED
    assert await world.stock(at_once) == (5, 0)

    later, courier, _ = await world.picked_up()
    failed = await world.end(courier, "FailDelivery", later.delivery_id)
    assert await world.stock(later) == (3, 0)
    back = await world.end(courier, "ReturnToSeller", later.delivery_id, note="in the evening")
    assert (back.outcome, back.close_time) == (End.DELIVERY_OUTCOME_RETURNED, failed.close_time)
    assert (await world.get(world.admin, later.delivery_id)).failure.note == "in the evening"
    assert await world.end(courier, "ReturnToSeller", later.delivery_id, note="in the evening") == back
    with pytest.raises(IllegalTransition):
        await world.end(world.admin, "ReturnToSeller", later.delivery_id, note="once more")
    assert await world.stock(later) == (5, 0)
    await world.hand_on()
    assert await world.violations() == []


async def test_what_was_delivered_neither_fails_nor_comes_back(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    for method in ("FailDelivery", "ReturnToSeller", "CancelDelivery"):
        with pytest.raises(IllegalTransition):
            await world.end(world.admin, method, ready.delivery_id)


async def test_somebody_elses_delivery_is_not_there_to_be_ended(world: World) -> None:
    ready, _, _ = await world.picked_up()
    stranger, _ = await world.courier()
    for caller in (stranger, caller_of(ready.buyer.known_user_id, Role.COURIER)):
        for method in ("FailDelivery", "ReturnToSeller"):
            with pytest.raises(NotFound):
                await world.end(caller, method, ready.delivery_id)


@pytest.mark.parametrize("method", ["FailDelivery", "ReturnToSeller"])
async def test_an_end_happened_between_the_pickup_and_now(world: World, method: str) -> None:
    ready, courier, _ = await world.picked_up()
    picked_up = (await world.get(courier, ready.delivery_id)).pick_up_time
    early, late, slow = (Timestamp(seconds=picked_up.seconds + by) for by in (-61, 3_600, -50))
    with pytest.raises(TimeBeforeStep):
        await world.end(courier, method, ready.delivery_id, occurred_time=early)
    with pytest.raises(TimeInFuture):
        await world.end(courier, method, ready.delivery_id, occurred_time=late)
    assert (await world.end(courier, method, ready.delivery_id, occurred_time=slow)).close_time == picked_up


async def test_a_handover_happened_between_the_pickup_and_now(world: World) -> None:
    """A courier's phone may have been without a network at the door."""
    ready, courier, _ = await world.picked_up()
    picked_up = (await world.get(courier, ready.delivery_id)).pick_up_time
    request = delivery_service_pb2.CompleteDeliveryRequest(
        delivery_id=str(ready.delivery_id), code=await world.code(ready)
    )
    for by, refusal in ((-61, TimeBeforeStep), (3_600, TimeInFuture)):
        request.occurred_time.CopyFrom(Timestamp(seconds=picked_up.seconds + by))
        with pytest.raises(refusal):
            await world.call(courier, world.deliveries.CompleteDelivery, request)
    request.occurred_time.CopyFrom(Timestamp(seconds=picked_up.seconds - 50))
    delivery = (await world.call(courier, world.deliveries.CompleteDelivery, request)).delivery
    assert (delivery.close_time, delivery.outcome) == (picked_up, delivery_pb2.DELIVERY_OUTCOME_DELIVERED)


async def test_a_delivery_whose_order_ended_without_its_event_can_be_closed_by_an_admin(world: World) -> None:
    ready, _, _ = await world.assigned()
    await world.cancel(ready)
    await world.tx.run("test.lost", lambda uow: uow.connection.execute("UPDATE outbox_events SET publish_time = now()"))
    assert [text for text in await world.violations() if str(ready.delivery_id) in text]
    await world.end(world.admin, "CancelDelivery", ready.delivery_id)
    assert (await cancellation(world, ready))[1] == "CHANGED_MIND"
    assert await world.violations() == []


@pytest.mark.parametrize("rival", ["complete", "return", "reassign"])
async def test_of_a_failure_and_something_else_at_once_one_happens(world: World, rival: str) -> None:
    for _ in range(3):
        ready, courier, _ = await world.picked_up()
        code, (_, other_id) = await world.code(ready), await world.courier()
        others = {
            "complete": world.complete(courier, ready.delivery_id, code),
            "return": world.end(courier, "ReturnToSeller", ready.delivery_id),
            "reassign": world.reassign(ready.delivery_id, other_id),
        }
        other = others.pop(rival)
        for unused in others.values():
            unused.close()
        failed, done = await asyncio.gather(
            world.end(courier, "FailDelivery", ready.delivery_id), other, return_exceptions=True
        )
        for result in (failed, done):
            assert not isinstance(result, BaseException) or isinstance(result, Refusal)
        now = await world.get(world.admin, ready.delivery_id)
        if rival == "complete":
            assert isinstance(failed, Refusal) != isinstance(done, Refusal)
        elif rival == "return":
            # Goods that were given up may come back right after.
            assert now.outcome == End.DELIVERY_OUTCOME_RETURNED
        else:
            assert isinstance(failed, NotFound) != isinstance(done, IllegalTransition)
    await world.hand_on()
    assert await world.violations() == []
