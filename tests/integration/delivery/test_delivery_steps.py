"""A delivery from the ready order to the buyer's door on real Postgres: one winner, one effect, the right eyes only."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.delivery import service
from marketd.delivery.errors import (
    CourierOffShift,
    ProofCodeMismatch,
    ProofRequired,
    TimeBeforeStep,
    TimeInFuture,
    TooManyWrongCodes,
)
from marketd.delivery.hand_over import MAX_WRONG_CODES
from marketd.delivery.model import StopKind
from marketd.inventory import service as inventory
from marketd.inventory.values import NewStock, StockLine
from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.events import outbox
from marketd.kernel.events.events import StoredEvent
from marketd.kernel.values.ids import new_id
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2

if TYPE_CHECKING:
    from marketd.kernel.db.uow import UnitOfWork

    from tests.worlds.delivery import Ready, World


async def _events(world: World, aggregate_id: UUID) -> list[StoredEvent]:
    return await world.tx.read(lambda unit: outbox.read_aggregate(unit.connection, aggregate_id, 0))


async def test_a_ready_order_gets_one_delivery_however_often_its_event_comes(world: World) -> None:
    ready = await world.ready()
    delivery = await world.get(world.admin, ready.delivery_id)
    assert delivery.state == delivery_pb2.DELIVERY_STATE_CREATED
    assert (delivery.order_id, delivery.item_count) == (str(ready.order_id), 2)
    assert (delivery.fee.units, delivery.fee.nanos) == (4, 900_000_000)
    assert delivery.pickup.address.recipient == "Radhaus"
    assert delivery.dropoff.address.point.latitude == pytest.approx(52.54)
    assert 1_200 < delivery.distance_meters < 1_400
    assert delivery.eta.earliest_time.seconds < delivery.eta.expected_time.seconds < delivery.eta.latest_time.seconds

    event = (await _events(world, ready.order_id))[0]
    create = world.built.handler("delivery.create")
    await asyncio.gather(*(world.tx.run("test.again", lambda uow: create(uow, event)) for _ in range(5)))
    count = await world.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM deliveries"))
    assert count == 1


async def test_an_order_names_its_delivery_as_soon_as_there_is_one_and_gets_none_when_it_is_over(world: World) -> None:
    ready = await world.ready()
    named = await world.value("SELECT delivery_id FROM orders WHERE order_id = $1", ready.order_id)
    assert named == ready.delivery_id
    late = await world.ready(hand_on=False)
    await world.cancel(late)
    await world.hand_on()
    assert await world.value("SELECT count(*) FROM deliveries WHERE order_id = $1", late.order_id) == 0
    assert await world.violations() == []


async def test_what_is_paid_back_whole_is_neither_assigned_nor_picked_up(world: World) -> None:
    waiting, (assigned, courier, courier_id) = await world.ready(), await world.assigned()
    await world.tx.run(
        "test.refunded",
        lambda uow: uow.connection.execute("UPDATE orders SET due_minor = 2490, refund_reserved_minor = 2490"),
    )
    with pytest.raises(IllegalTransition):
        await world.assign(waiting.delivery_id, courier_id)
    with pytest.raises(IllegalTransition):
        await world.pick_up(courier, assigned.delivery_id)


async def test_the_whole_way_moves_the_order_along_and_tells_it_in_order(world: World) -> None:
    ready, (courier, courier_id) = await world.ready(), await world.courier()
    assigned = await world.assign(ready.delivery_id, courier_id)
    assert assigned.state == delivery_pb2.DELIVERY_STATE_ASSIGNED
    assert (assigned.courier.first_name, assigned.courier.courier_id) == ("Noor", str(courier_id))
    assert assigned.HasField("assign_time")
    picked_up = await world.pick_up(courier, ready.delivery_id)
    assert picked_up.state == delivery_pb2.DELIVERY_STATE_PICKED_UP
    assert await world.order_state(ready.order_id) == "OUT_FOR_DELIVERY"
    closed = await world.complete(courier, ready.delivery_id, await world.code(ready))
    assert closed.state == delivery_pb2.DELIVERY_STATE_CLOSED
    assert closed.outcome == delivery_pb2.DELIVERY_OUTCOME_DELIVERED
    assert not closed.HasField("eta")
    assert await world.order_state(ready.order_id) == "DELIVERED"
    assert len({assigned.etag, picked_up.etag, closed.etag}) == 3

    told = [event.event_type for event in await _events(world, ready.delivery_id)]
    assert [kind for kind in told if kind != "delivery.eta_changed"] == [
        "delivery.created",
        "delivery.assigned",
        "delivery.picked_up",
        "delivery.closed",
    ]
    last = (await _events(world, ready.delivery_id))[-1].payload
    assert (last["state"], last["outcome"], last["courier_id"]) == ("CLOSED", "DELIVERED", str(courier_id))
    assert await world.violations() == []


async def test_two_admins_who_assign_at_once_do_not_both_win(world: World) -> None:
    ready = await world.ready()
    couriers = [await world.courier() for _ in range(4)]
    results = await asyncio.gather(
        *(world.assign(ready.delivery_id, courier_id) for _, courier_id in couriers), return_exceptions=True
    )
    won = [result for result in results if not isinstance(result, BaseException)]
    lost = [result for result in results if isinstance(result, IllegalTransition)]
    assert (len(won), len(lost)) == (1, 3)
    assert lost[0].metadata == {"current": "ASSIGNED", "allowed": "AT_PICKUP,PICKED_UP,CREATED,CLOSED"}
    now = await world.get(world.admin, ready.delivery_id)
    assert now.courier.courier_id == won[0].courier.courier_id


async def test_only_a_courier_on_shift_is_assigned(world: World) -> None:
    ready = await world.ready()
    _, off = await world.courier(on_shift=False)
    with pytest.raises(CourierOffShift) as refused:
        await world.assign(ready.delivery_id, off)
    assert refused.value.metadata == {"courierId": str(off)}
    with pytest.raises(NotFound):
        await world.assign(ready.delivery_id, new_id())
    with pytest.raises(NotFound):
        await world.assign(new_id(), off)


async def test_only_the_buyer_sees_the_code_and_strangers_see_nothing(world: World) -> None:
    ready, courier, _ = await world.assigned()
    assert len((await world.get(ready.buyer, ready.delivery_id)).dropoff_code) == 6
    service_account = await world.account(Role.SERVICE)
    for caller in (ready.seller, courier, world.admin, service_account):
        seen = await world.get(caller, ready.delivery_id)
        assert not seen.HasField("dropoff_code")
        assert seen.courier.first_name == "Noor"
    other_courier, _ = await world.courier()
    missing = new_id()
    for stranger in (other_courier, await world.account(Role.BUYER)):
        with pytest.raises(NotFound) as foreign:
            await world.get(stranger, ready.delivery_id)
        with pytest.raises(NotFound) as absent:
            await world.get(stranger, missing)
        assert str(foreign.value).replace(str(ready.delivery_id), str(missing)) == str(absent.value)


async def test_another_courier_can_neither_pick_up_nor_complete(world: World) -> None:
    ready, courier, _ = await world.assigned()
    other, _ = await world.courier()
    with pytest.raises(NotFound):
        await world.pick_up(other, ready.delivery_id)
    await world.pick_up(courier, ready.delivery_id)
    code = await world.code(ready)
    for _ in range(MAX_WRONG_CODES + 1):
        with pytest.raises(NotFound):
            await world.complete(other, ready.delivery_id, "000000x")
    with pytest.raises(NotFound):
        await world.complete(other, ready.delivery_id, code)
    assert (await world.complete(courier, ready.delivery_id, code)).outcome == delivery_pb2.DELIVERY_OUTCOME_DELIVERED


async def test_steps_out_of_order_name_what_is_allowed(world: World) -> None:
    ready, courier, _ = await world.assigned()
    with pytest.raises(IllegalTransition) as early:
        await world.complete(courier, ready.delivery_id, await world.code(ready))
    assert early.value.metadata["current"] == "ASSIGNED"
    await world.pick_up(courier, ready.delivery_id)
    _, other_id = await world.courier()
    with pytest.raises(IllegalTransition) as taken:
        await world.assign(ready.delivery_id, other_id)
    assert taken.value.metadata == {"current": "PICKED_UP", "allowed": "AT_DROPOFF,CLOSED"}


async def test_of_many_wrong_codes_at_once_ten_are_looked_at_and_then_not_even_the_right_one(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    code = await world.code(ready)
    wrong = [f"{(int(code) + step) % 1_000_000:06}" for step in range(1, 31)]
    results = await asyncio.gather(
        *(world.complete(courier, ready.delivery_id, guess) for guess in wrong), return_exceptions=True
    )
    judged = [result for result in results if isinstance(result, ProofCodeMismatch)]
    locked = [result for result in results if isinstance(result, TooManyWrongCodes)]
    assert (len(judged), len(locked)) == (MAX_WRONG_CODES, 20)
    assert sorted(int(result.metadata["attemptsLeft"]) for result in judged) == list(range(MAX_WRONG_CODES))
    with pytest.raises(TooManyWrongCodes) as refused:
        await world.complete(courier, ready.delivery_id, code)
    assert refused.value.retry_after_seconds is not None
    assert refused.value.retry_after_seconds > 3_000

    await world.tx.run(
        "test.later",
        lambda uow: uow.connection.execute("UPDATE deliveries SET code_locked_until = now() - interval '1 s'"),
    )
    await world.complete(courier, ready.delivery_id, f" {code} ")
    assert await world.order_state(ready.order_id) == "DELIVERED"


async def test_without_a_code_proof_is_required_and_no_try_is_counted(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    for _ in range(MAX_WRONG_CODES + 1):
        with pytest.raises(ProofRequired) as refused:
            await world.complete(courier, ready.delivery_id, "  ")
    assert refused.value.metadata == {"required": "code"}
    await world.complete(courier, ready.delivery_id, await world.code(ready))


async def test_a_repeated_completion_gets_the_first_answer_and_a_refusal_is_not_kept(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    code = await world.code(ready)
    once = OnceKey(courier.key, "/Complete", str(new_id()), b"same")
    request = delivery_service_pb2.CompleteDeliveryRequest(delivery_id=str(ready.delivery_id), code="nope")
    with pytest.raises(ProofCodeMismatch):
        await world.call(courier, world.deliveries.CompleteDelivery, request, once)
    request.code = code
    answers = await asyncio.gather(
        *(world.call(courier, world.deliveries.CompleteDelivery, request, once) for _ in range(8))
    )
    stored = [answer for answer in cast("list[object]", answers) if isinstance(answer, bytes)]
    assert (len(stored), len(set(stored))) == (8, 1)
    counted = await world.tx.read(lambda unit: service.read_courier_of(unit, courier.known_user_id))
    assert counted is not None
    assert counted.completed_deliveries == 1
    assert await world.violations() == []


async def test_a_time_ahead_of_now_or_before_the_assignment_is_refused_but_for_a_minute(
    world: World,
) -> None:
    ready, courier, _ = await world.assigned()
    request = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=str(ready.delivery_id))
    request.occurred_time.GetCurrentTime()
    request.occurred_time.seconds += 3_600
    with pytest.raises(TimeInFuture) as refused:
        await world.call(courier, world.deliveries.PickUpDelivery, request)
    assert refused.value.fields[0].field == "occurred_time"
    assign_time = (await world.get(courier, ready.delivery_id)).assign_time
    request.occurred_time.CopyFrom(Timestamp(seconds=assign_time.seconds - 61))
    with pytest.raises(TimeBeforeStep) as early:
        await world.call(courier, world.deliveries.PickUpDelivery, request)
    assert early.value.fields[0].field == "occurred_time"
    request.occurred_time.CopyFrom(Timestamp(seconds=assign_time.seconds - 50))
    delivery = (await world.call(courier, world.deliveries.PickUpDelivery, request)).delivery
    assert delivery.pick_up_time == assign_time


async def test_a_cancelled_order_closes_its_delivery_and_frees_the_courier(world: World) -> None:
    ready, courier, _ = await world.assigned()
    await world.cancel(ready)
    await world.hand_on()
    delivery = await world.get(courier, ready.delivery_id)
    assert delivery.state == delivery_pb2.DELIVERY_STATE_CLOSED
    assert delivery.outcome == delivery_pb2.DELIVERY_OUTCOME_CANCELLED
    with pytest.raises(IllegalTransition):
        await world.pick_up(courier, ready.delivery_id)
    assert await world.violations() == []


async def _beside_what_is_not_sent(world: World, ready: Ready) -> None:
    """The order has a line more, which needs no shipping."""

    async def work(uow: UnitOfWork) -> None:
        variant_id = new_id()
        await inventory.create_stock(uow, [NewStock(variant_id, new_id(), 5, "test")])
        await inventory.reserve(uow, [StockLine(variant_id, 1)], ready.order_id)
        await uow.connection.execute(
            "INSERT INTO order_items SELECT (jsonb_populate_record(i, jsonb_build_object('item_id', $2::uuid,"
            " 'variant_id', $3::uuid, 'quantity', 1, 'requires_shipping', false))).* FROM order_items i"
            " WHERE order_id = $1",
            ready.order_id,
            new_id(),
            variant_id,
        )

    await world.tx.run("test.line", work)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_delivery_with_nothing_left_to_bring_closes_and_its_order_is_the_buyers(
    world: World, *, is_lost: bool
) -> None:
    ready, courier, courier_id = await world.assigned()
    await _beside_what_is_not_sent(world, ready)
    await world.cancel(ready, pieces=2)
    assert await world.order_state(ready.order_id) == "DELIVERED"
    with pytest.raises(IllegalTransition):
        await world.pick_up(courier, ready.delivery_id)
    if is_lost:
        lose = "UPDATE outbox_events SET publish_time = now()"
        await world.tx.run("test.lost", lambda uow: uow.connection.execute(lose))
        assert [text for text in await world.violations() if str(ready.delivery_id) in text]
        await world.end(world.admin, "CancelDelivery", ready.delivery_id)
    else:
        await world.hand_on()
    delivery = await world.get(courier, ready.delivery_id)
    assert delivery.state == delivery_pb2.DELIVERY_STATE_CLOSED
    assert delivery.outcome == delivery_pb2.DELIVERY_OUTCOME_CANCELLED
    assert await world.value("SELECT courier_id FROM orders WHERE order_id = $1", ready.order_id) is None
    assert await world.order_state(ready.order_id) == "DELIVERED"
    assert await world.violations() == []
    await world.assign((await world.ready()).delivery_id, courier_id)


async def test_what_is_cancelled_before_its_event_arrives_can_be_neither_assigned_nor_picked_up(world: World) -> None:
    waiting, (assigned, courier, courier_id) = await world.ready(), await world.assigned()
    await world.cancel(waiting)
    await world.cancel(assigned)
    with pytest.raises(IllegalTransition):
        await world.assign(waiting.delivery_id, courier_id)
    with pytest.raises(IllegalTransition):
        await world.pick_up(courier, assigned.delivery_id)
    now = await world.get(world.admin, assigned.delivery_id)
    assert now.state == delivery_pb2.DELIVERY_STATE_ASSIGNED


async def test_stops_that_tracking_sees_move_the_state_once(world: World) -> None:
    ready, courier, courier_id = await world.assigned()
    now = datetime.now(UTC)

    async def arrive(stop: StopKind) -> bool:
        return await world.tx.run(
            "test.arrive", lambda uow: service.arrive_at_stop(uow, ready.delivery_id, courier_id, stop, now)
        )

    assert await arrive(StopKind.DROPOFF) is False
    assert [await arrive(StopKind.PICKUP), await arrive(StopKind.PICKUP)] == [True, False]
    at_pickup = await world.get(courier, ready.delivery_id)
    assert at_pickup.state == delivery_pb2.DELIVERY_STATE_AT_PICKUP
    assert at_pickup.pickup.HasField("arrive_time")
    await world.pick_up(courier, ready.delivery_id)
    left = await world.tx.run(
        "test.depart", lambda uow: service.depart_from_stop(uow, ready.delivery_id, courier_id, StopKind.PICKUP, now)
    )
    assert left is True
    assert await arrive(StopKind.DROPOFF) is True
    assert (await world.get(courier, ready.delivery_id)).state == delivery_pb2.DELIVERY_STATE_AT_DROPOFF
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    told = [event.event_type for event in await _events(world, ready.delivery_id)]
    assert told.count("delivery.arrived") == 2
    assert told.count("delivery.departed") == 1


async def test_pieces_that_are_cancelled_are_not_expected_at_the_door(world: World) -> None:
    ready, courier, _ = await world.assigned()
    await world.cancel(ready, pieces=1)
    await world.hand_on()
    assert (await world.get(courier, ready.delivery_id)).item_count == 1


async def test_of_a_cancellation_and_a_pickup_at_once_only_one_happens(world: World) -> None:
    for _ in range(6):
        ready, courier, _ = await world.assigned()
        picked_up, cancelled = await asyncio.gather(
            world.pick_up(courier, ready.delivery_id), world.cancel(ready), return_exceptions=True
        )
        await world.hand_on()
        assert isinstance(picked_up, IllegalTransition) != isinstance(cancelled, IllegalTransition)
        delivery = await world.get(courier, ready.delivery_id)
        if isinstance(picked_up, IllegalTransition):
            assert delivery.outcome == delivery_pb2.DELIVERY_OUTCOME_CANCELLED
        else:
            assert delivery.state == delivery_pb2.DELIVERY_STATE_PICKED_UP
    assert await world.violations() == []
