"""Taking a delivery from its courier on real Postgres: whose it is then, and what stays of the one before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from marketd.delivery import service
from marketd.delivery.errors import CourierOffShift, ProofCodeMismatch, TooManyWrongCodes
from marketd.delivery.hand_over import MAX_WRONG_CODES
from marketd.delivery.model import StopKind
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition, NotFound, Refusal
from marketd.kernel.events import outbox
from marketplace.delivery.v1 import courier_service_pb2, delivery_pb2

if TYPE_CHECKING:
    from uuid import UUID

    from tests.worlds.delivery import Ready, World

S = delivery_pb2.DeliveryState


async def told(world: World, courier_id: UUID) -> list[tuple[str, object]]:
    """What a courier's own sequence says of deliveries: kind, and the reason of what was taken away."""
    events = await world.tx.read(lambda unit: outbox.read_aggregate(unit.connection, courier_id, 0))
    kinds = [event for event in events if event.event_type.startswith("courier.delivery_")]
    return [
        (event.event_type.removeprefix("courier.delivery_"), event.payload.get("removal_reason")) for event in kinds
    ]


async def arrive(world: World, ready: Ready, courier_id: UUID, stop: StopKind) -> bool:
    now = datetime.now(UTC)
    return await world.tx.run(
        "test.arrive", lambda uow: service.arrive_at_stop(uow, ready.delivery_id, courier_id, stop, now)
    )


async def test_before_the_pickup_another_courier_gets_it_as_if_it_were_new(world: World) -> None:
    ready, former, former_id = await world.assigned()
    await arrive(world, ready, former_id, StopKind.PICKUP)
    before = await world.get(world.admin, ready.delivery_id)
    courier, courier_id = await world.courier()
    with pytest.raises(EtagMismatch):
        await world.reassign(ready.delivery_id, courier_id, etag="v1")
    after = await world.reassign(ready.delivery_id, courier_id, etag=before.etag, reason="a flat tyre")
    assert (after.state, after.courier.courier_id) == (S.DELIVERY_STATE_ASSIGNED, str(courier_id))
    assert not after.pickup.HasField("arrive_time")
    assert after.assign_time.ToNanoseconds() > before.assign_time.ToNanoseconds()
    assert await world.reassign(ready.delivery_id, courier_id, etag=before.etag) == after
    with pytest.raises(NotFound):
        await world.get(former, ready.delivery_id)
    with pytest.raises(NotFound):
        await world.pick_up(former, ready.delivery_id)
    assert (await told(world, former_id))[-1] == ("removed", "REASSIGNED")
    assert await told(world, courier_id) == [("assigned", None)]
    user_id = await world.value("SELECT courier_user_id FROM orders WHERE order_id = $1", ready.order_id)
    assert user_id == courier.known_user_id
    # What the former courier's phone still reports says nothing about this delivery.
    assert await arrive(world, ready, former_id, StopKind.PICKUP) is False
    await world.call(former, world.couriers.EndShift, courier_service_pb2.EndShiftRequest())
    await world.pick_up(courier, ready.delivery_id)
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    assert await world.violations() == []


async def test_goods_change_hands_and_the_one_who_has_them_brings_them_with_the_same_code(world: World) -> None:
    ready, former, former_id = await world.picked_up()
    code = await world.code(ready)
    await arrive(world, ready, former_id, StopKind.DROPOFF)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for _ in range(MAX_WRONG_CODES):
        with pytest.raises(ProofCodeMismatch):
            await world.complete(former, ready.delivery_id, wrong)
    with pytest.raises(TooManyWrongCodes):
        await world.complete(former, ready.delivery_id, code)
    before = await world.get(world.admin, ready.delivery_id)
    assert before.state == S.DELIVERY_STATE_AT_DROPOFF

    courier, courier_id = await world.courier()
    after = await world.reassign(ready.delivery_id, courier_id)
    assert (after.state, after.courier.courier_id) == (S.DELIVERY_STATE_PICKED_UP, str(courier_id))
    assert not after.dropoff.HasField("arrive_time")
    assert after.pick_up_time == before.pick_up_time
    for _ in range(2):
        with pytest.raises(NotFound):
            await world.complete(former, ready.delivery_id, code)
    await world.complete(courier, ready.delivery_id, code)
    assert [await completed(world, one) for one in (former_id, courier_id)] == [0, 1]
    assert await world.order_state(ready.order_id) == "DELIVERED"
    assert await world.violations() == []


async def completed(world: World, courier_id: UUID) -> int:
    count: int = await world.value("SELECT completed_deliveries FROM couriers WHERE courier_id = $1", courier_id)
    return count


async def test_before_the_pickup_it_can_be_nobodys_for_a_while(world: World) -> None:
    ready, former, former_id = await world.assigned()
    after = await world.reassign(ready.delivery_id, None)
    assert (after.state, after.HasField("courier"), after.HasField("assign_time")) == (
        S.DELIVERY_STATE_CREATED,
        False,
        False,
    )
    assert await world.reassign(ready.delivery_id, None, etag="v1") == after
    assert (await told(world, former_id))[-1] == ("removed", "REASSIGNED")
    assert await world.value("SELECT courier_id FROM orders WHERE order_id = $1", ready.order_id) is None
    await world.assign(ready.delivery_id, former_id)
    await world.pick_up(former, ready.delivery_id)
    with pytest.raises(IllegalTransition):
        await world.reassign(ready.delivery_id, None)
    assert await world.violations() == []


async def test_it_goes_to_nobody_who_is_off_shift_and_not_when_it_is_over(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    _, resting_id = await world.courier(on_shift=False)
    with pytest.raises(CourierOffShift):
        await world.reassign(ready.delivery_id, resting_id)
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    _, other_id = await world.courier()
    with pytest.raises(IllegalTransition):
        await world.reassign(ready.delivery_id, other_id)


async def test_the_goods_of_a_suspended_courier_reach_the_buyer_with_somebody_else(world: World) -> None:
    ready, _, suspended_id = await world.picked_up()
    await world.move(world.admin, "Suspend", suspended_id, "an accident")
    courier, courier_id = await world.courier()
    await world.reassign(ready.delivery_id, courier_id)
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    assert await world.violations() == []


async def test_of_a_reassignment_and_a_completion_at_once_one_happens(world: World) -> None:
    for _ in range(4):
        ready, former, _ = await world.picked_up()
        code, (courier, courier_id) = await world.code(ready), await world.courier()
        completed, reassigned = await asyncio.gather(
            world.complete(former, ready.delivery_id, code),
            world.reassign(ready.delivery_id, courier_id),
            return_exceptions=True,
        )
        assert isinstance(completed, Refusal) != isinstance(reassigned, Refusal)
        if isinstance(completed, Refusal):
            await world.complete(courier, ready.delivery_id, code)
    assert await world.violations() == []


async def test_what_is_cancelled_is_reassigned_to_nobody_else(world: World) -> None:
    ready, _, _ = await world.assigned()
    await world.cancel(ready)
    _, courier_id = await world.courier()
    with pytest.raises(IllegalTransition):
        await world.reassign(ready.delivery_id, courier_id)
    await world.hand_on()
    assert await world.violations() == []
