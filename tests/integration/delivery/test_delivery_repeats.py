"""Moves of deliveries that are asked for again, and moves asked for by somebody who has seen an older delivery."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from marketd.delivery.errors import ProofRequired
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition
from marketd.kernel.events import outbox
from marketd.kernel.values.ids import new_id
from marketplace.delivery.v1 import delivery_pb2
from marketplace.delivery.v1.delivery_service_pb2 import (
    AssignCourierRequest,
    CompleteDeliveryRequest,
    PickUpDeliveryRequest,
)

if TYPE_CHECKING:
    from tests.worlds.delivery import Ready, World


async def told(world: World, ready: Ready) -> int:
    """How many events the delivery has."""
    return await world.tx.read(lambda unit: outbox.last_seq(unit.connection, ready.delivery_id))


async def test_the_courier_who_has_a_delivery_is_assigned_again_without_any_change(world: World) -> None:
    ready, (courier, courier_id) = await world.ready(), await world.courier()
    first = await world.assign(ready.delivery_id, courier_id)
    events = await told(world, ready)
    again = await asyncio.gather(*(world.assign(ready.delivery_id, courier_id) for _ in range(3)))
    assert again == [first] * 3
    picked_up = await world.pick_up(courier, ready.delivery_id)
    assert (await world.assign(ready.delivery_id, courier_id)).etag == picked_up.etag
    assert await told(world, ready) == events + 2  # the pickup and its estimate
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    with pytest.raises(IllegalTransition):
        await world.assign(ready.delivery_id, courier_id)


async def test_what_is_picked_up_is_picked_up_again_without_any_change(world: World) -> None:
    ready, courier, _ = await world.assigned()
    first = await world.pick_up(courier, ready.delivery_id)
    events = await told(world, ready)
    assert await world.pick_up(courier, ready.delivery_id) == first
    assert await told(world, ready) == events


async def test_a_completion_is_repeated_with_the_same_proof_alone(world: World) -> None:
    ready, courier, courier_id = await world.picked_up()
    code, picture = await world.code(ready), str(await world.photograph(courier))

    async def complete(**fields: Any) -> delivery_pb2.Delivery:
        request = CompleteDeliveryRequest(delivery_id=str(ready.delivery_id), **fields)
        return (await world.call(courier, world.deliveries.CompleteDelivery, request)).delivery

    first = await complete(code=code, media_ids=[picture])
    events = await told(world, ready)
    assert await complete(code=f" {code}", media_ids=[picture]) == first
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for other in (
        {"code": wrong, "media_ids": [picture]},
        {"code": code},
        {"code": code, "media_ids": [str(new_id())]},
        {"media_ids": [picture]},
    ):
        with pytest.raises(IllegalTransition):
            await complete(**other)
    assert await told(world, ready) == events
    counted = await world.tx.read(
        lambda unit: unit.connection.fetchval(
            "SELECT completed_deliveries FROM couriers WHERE courier_id = $1", courier_id
        )
    )
    assert counted == 1
    assert await world.violations() == []


async def test_a_move_for_an_older_delivery_is_refused_with_the_etag_of_now(world: World) -> None:
    ready, (courier, courier_id) = await world.ready(), await world.courier()
    delivery_id = str(ready.delivery_id)
    stale = "v0"

    async def refused(method: Any, request: Any, caller: Any) -> str:
        with pytest.raises(EtagMismatch) as mismatch:
            await world.call(caller, method, request)
        now = await world.get(caller, ready.delivery_id)
        assert mismatch.value.metadata == {"etag": now.etag}
        return now.etag

    assign = AssignCourierRequest(delivery_id=delivery_id, courier_id=str(courier_id), etag=stale)
    assign.etag = await refused(world.deliveries.AssignCourier, assign, world.admin)
    await world.call(world.admin, world.deliveries.AssignCourier, assign)

    pick_up = PickUpDeliveryRequest(delivery_id=delivery_id, etag=assign.etag)
    pick_up.etag = await refused(world.deliveries.PickUpDelivery, pick_up, courier)
    await world.call(courier, world.deliveries.PickUpDelivery, pick_up)

    complete = CompleteDeliveryRequest(delivery_id=delivery_id, code=await world.code(ready), etag=pick_up.etag)
    complete.etag = await refused(world.deliveries.CompleteDelivery, complete, courier)
    closed = (await world.call(courier, world.deliveries.CompleteDelivery, complete)).delivery
    assert closed.outcome == delivery_pb2.DELIVERY_OUTCOME_DELIVERED

    # A repeat after a lost answer has the etag of before; what it asks for stands.
    assert (await world.call(courier, world.deliveries.CompleteDelivery, complete)).delivery == closed


async def test_a_closed_delivery_asks_for_no_code(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    with pytest.raises(ProofRequired):
        await world.complete(courier, ready.delivery_id, "")
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    with pytest.raises(IllegalTransition):
        await world.complete(courier, ready.delivery_id, "")
