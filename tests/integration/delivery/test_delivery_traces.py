"""What each step of couriers and deliveries leaves behind: its events, its entry in the audit log, what was said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.auth.ports import AccessEnd
from marketd.delivery import follow_accounts, service
from marketd.delivery.model import StopKind
from marketd.delivery.values import LatestPosition
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.order.read import get_order, list_orders
from marketd.order.values import OrderFilter
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_pb2, delivery_service_pb2

from tests.worlds.delivery import SHOP

if TYPE_CHECKING:
    from marketd.kernel.values.geo import Point

    from tests.worlds.delivery import Ready, World

VAN = courier_pb2.VEHICLE_TYPE_VAN


class Entry(NamedTuple):
    """An entry of the audit log: why, and which fields changed."""

    comment: str
    fields: set[str]


async def told(world: World, aggregate_id: UUID | str) -> list[str]:
    """The types of the events of one sequence, without estimates."""
    rows = await world.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT event_type FROM outbox_events WHERE aggregate_id = $1"
            " AND event_type <> 'delivery.eta_changed' ORDER BY seq",
            UUID(str(aggregate_id)),
        )
    )
    return [row["event_type"] for row in rows]


async def audited(world: World, resource_id: UUID | str) -> list[Entry]:
    """The entries of one resource, in order."""
    rows = await world.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT comment, changes FROM audit_entries WHERE resource_id = $1 ORDER BY audit_entry_id",
            str(resource_id),
        )
    )
    return [Entry(row["comment"], {change["field"].partition(".")[0] for change in row["changes"]}) for row in rows]


async def test_the_life_of_a_courier_is_told_and_written_down_step_by_step(world: World) -> None:
    caller = await world.account(Role.BUYER)
    wanted = courier_pb2.Courier(
        first_name="Noor", last_name="Quiet", phone="+4930777", vehicle=VAN, plate_number="B-NQ 7"
    )
    request = courier_service_pb2.CreateCourierRequest(courier=wanted)
    made = (await world.call(caller, world.couriers.CreateCourier, request)).courier
    for field in ("first_name", "last_name", "phone", "vehicle", "plate_number"):
        assert getattr(made, field) == getattr(wanted, field)
    courier_id = made.courier_id
    await world.move(world.admin, "Approve", courier_id, "met in person")
    await world.call(caller, world.couriers.StartShift, courier_service_pb2.StartShiftRequest())
    await world.call(caller, world.couriers.EndShift, courier_service_pb2.EndShiftRequest())
    await world.call(caller, world.couriers.StartShift, courier_service_pb2.StartShiftRequest())
    await world.move(world.admin, "Suspend", courier_id, "complaints")
    await world.move(world.admin, "Reinstate", courier_id, "all clear")
    await world.move(world.admin, "Close", courier_id, "moved away")
    shift = ["courier.shift_started", "courier.shift_ended"]
    assert await told(world, courier_id) == [
        "courier.created",
        "courier.approved",
        *shift,
        *shift,
        "courier.suspended",
        "courier.reinstated",
        "courier.closed",
    ]
    entries = await audited(world, courier_id)
    assert [entry.comment for entry in entries] == ["", "met in person", "complaints", "all clear", "moved away"]
    assert all("state" in entry.fields for entry in entries)

    second = await world.account(Role.BUYER)
    turned_down = (await world.call(second, world.couriers.CreateCourier, request)).courier
    await world.move(world.admin, "Reject", turned_down.courier_id, "no licence")
    assert await told(world, turned_down.courier_id) == ["courier.created", "courier.rejected"]
    assert [entry.comment for entry in await audited(world, turned_down.courier_id)] == ["", "no licence"]


async def test_who_deletes_the_account_is_told_of_as_closed_and_leaves_no_plate(world: World) -> None:
    caller, courier_id = await world.courier(on_shift=False)
    plate = "UPDATE couriers SET plate_number = 'B-NQ 7' WHERE courier_id = $1"
    await world.tx.run("test.plate", lambda uow: uow.connection.execute(plate, courier_id))
    await world.tx.run("test.deleted", lambda uow: follow_accounts.courier_deleted(uow, caller.known_user_id))
    assert (await told(world, courier_id))[-1] == "courier.closed"
    assert (await audited(world, courier_id))[-1].comment == "The account was deleted."
    request = courier_service_pb2.GetCourierRequest(courier_id=str(courier_id))
    gone = (await world.call(world.admin, world.couriers.GetCourier, request)).courier
    assert not gone.HasField("plate_number")


async def test_who_loses_another_role_goes_on_as_a_courier(world: World) -> None:
    ready, courier, _ = await world.assigned()
    lost = {Role.SELLER}
    await world.tx.run(
        "test.lost",
        lambda uow: follow_accounts.courier_lost_access(uow, courier.known_user_id, lost, AccessEnd.ROLES_TAKEN),
    )
    await world.pick_up(courier, ready.delivery_id)


async def test_who_is_blocked_does_not_apply(world: World) -> None:
    caller = await world.account(Role.BUYER)
    blocked = "UPDATE accounts SET state = 'BLOCKED' WHERE user_id = $1"
    await world.tx.run("test.block", lambda uow: uow.connection.execute(blocked, caller.known_user_id))
    with pytest.raises(NotFound):
        await world.applied(caller)


async def test_a_delivery_that_changes_hands_and_comes_back_is_told_and_written_down_step_by_step(
    world: World,
) -> None:
    ready, (_, former_id) = await world.ready(), await world.courier()
    courier, courier_id = await world.courier()
    await world.assign(ready.delivery_id, former_id)
    await world.reassign(ready.delivery_id, None, reason="flat tyre")
    await world.reassign(ready.delivery_id, courier_id, reason="nearer")
    await world.pick_up(courier, ready.delivery_id)
    await world.end(courier, "FailDelivery", ready.delivery_id, note="rang three times")
    await world.end(courier, "ReturnToSeller", ready.delivery_id, note="left with the shop")
    assert await told(world, ready.delivery_id) == [
        "delivery.created",
        "delivery.assigned",
        "delivery.withdrawn",
        "delivery.assigned",
        "delivery.picked_up",
        "delivery.closed",
        "delivery.returned",
    ]
    entries = await audited(world, ready.delivery_id)
    assert [entry.comment for entry in entries] == [
        f"courier {former_id}",
        "flat tyre",
        "nearer",
        "rang three times",
        "left with the shop",
    ]
    assert all({"courier", "state"} <= entry.fields for entry in entries[:3])
    assert all("outcome" in entry.fields for entry in entries[3:])
    # Each courier's own sequence has it come and go.
    assert [each for each in await told(world, former_id) if "delivery" in each] == [
        "courier.delivery_assigned",
        "courier.delivery_removed",
    ]
    assert [each for each in await told(world, courier_id) if "delivery" in each] == [
        "courier.delivery_assigned",
        "courier.delivery_changed",
        "courier.delivery_removed",
    ]


async def test_a_courier_finds_the_orders_in_their_hands_and_none_that_others_bring_or_that_are_over(
    world: World,
) -> None:
    ready, courier, _ = await world.picked_up()
    other, _ = await world.courier()

    async def finds(caller: Caller) -> int:
        found = await world.tx.read(partial(list_orders, caller=caller, wanted=OrderFilter(), after=None, limit=9))
        read = partial(get_order, caller=caller, order_id=ready.order_id)
        if found:
            await world.tx.read(read)
        else:
            with pytest.raises(NotFound):
                await world.tx.read(read)
        return len(found)

    assert [await finds(caller) for caller in (courier, other)] == [1, 0]
    assert (await world.get(courier, ready.delivery_id)).dropoff.HasField("address")
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    assert [await finds(caller) for caller in (courier, other, ready.buyer)] == [0, 0, 1]
    # What was brought stays in the courier's list, without the doors.
    closed = await world.get(courier, ready.delivery_id)
    assert not closed.dropoff.HasField("address")
    assert not closed.pickup.HasField("address")
    assert not closed.HasField("distance_meters")


async def test_what_is_taken_from_a_courier_at_the_shops_door_has_been_visited_by_nobody(world: World) -> None:
    ready, _, courier_id = await world.assigned()
    arrived = await world.tx.run(
        "test.arrive",
        lambda uow: service.arrive_at_stop(uow, ready.delivery_id, courier_id, StopKind.PICKUP, uow.now),
    )
    assert arrived
    assert (await world.get(ready.seller, ready.delivery_id)).pickup.HasField("arrive_time")
    nobodys = await world.reassign(ready.delivery_id, None, reason="flat tyre")
    assert not nobodys.pickup.HasField("arrive_time")


async def test_a_delivery_that_ends_with_its_order_says_why_in_the_log(world: World) -> None:
    ready, _, _ = await world.assigned()
    await world.cancel(ready)
    await world.hand_on()
    assert [entry.comment for entry in await audited(world, ready.delivery_id)][1:] == ["The order was cancelled."]


async def test_the_vehicle_of_a_delivery_is_that_of_the_shift(world: World) -> None:
    ready, (courier, courier_id) = await world.ready(), await world.courier(on_shift=False)
    start = courier_service_pb2.StartShiftRequest(vehicle=VAN)
    shift = (await world.call(courier, world.couriers.StartShift, start)).shift
    assert shift.vehicle == VAN
    assert (await world.assign(ready.delivery_id, courier_id)).courier.vehicle == VAN
    await world.pick_up(courier, ready.delivery_id)
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    ended = (await world.call(courier, world.couriers.EndShift, courier_service_pb2.EndShiftRequest())).shift
    # What was completed is counted in the shift, too.
    assert (ended.shift_id, ended.completed_deliveries) == (shift.shift_id, 1)


async def test_only_a_fresh_position_of_the_courier_says_when_the_goods_are_fetched(world: World) -> None:
    expected: list[float] = []
    for age in (timedelta(minutes=4), timedelta(minutes=6)):
        ready, (_, courier_id) = await world.ready(), await world.courier()
        await _seen(world, courier_id, age, SHOP.point)
        eta = (await world.assign(ready.delivery_id, courier_id)).eta
        expected.append(eta.expected_time.seconds - eta.estimate_time.seconds)
    at_the_door, somewhere = expected
    # Who was at the shop's door lately is there; of who was there before that a way of some minutes is supposed.
    assert somewhere - at_the_door == pytest.approx(8 * 60, abs=5)


async def _seen(world: World, courier_id: UUID, age: timedelta, point: Point | None) -> None:
    assert point is not None
    at = datetime.now(UTC) - age
    latest = LatestPosition(
        courier_id=courier_id,
        sample_time=at,
        receive_time=at,
        latitude=point.latitude,
        longitude=point.longitude,
        speed_mps=None,
        heading_degrees=None,
        accuracy_meters=None,
        seq=1,
    )
    await world.tx.run("test.seen", lambda uow: service.save_latest_positions(uow, [latest]))


async def _set_back(world: World, ready: Ready) -> None:
    """As if all of it had happened ten minutes earlier."""
    columns = ("create_time", "assign_time", "pick_up_time")
    changes = ", ".join(f"{column} = {column} - interval '10 min'" for column in columns)
    statement = f"UPDATE deliveries SET {changes} WHERE delivery_id = $1"
    await world.tx.run("test.before", lambda uow: uow.connection.execute(statement, ready.delivery_id))


async def test_a_step_happened_when_the_courier_says_and_not_when_it_is_sent(world: World) -> None:
    ready, courier, _ = await world.assigned()
    await _set_back(world, ready)

    def ago(seconds: int) -> Timestamp:
        made = Timestamp()
        made.FromDatetime(datetime.now(UTC) - timedelta(seconds=seconds))
        return made

    fetched, brought = ago(300), ago(200)
    pick_up = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=str(ready.delivery_id), occurred_time=fetched)
    assert (await world.call(courier, world.deliveries.PickUpDelivery, pick_up)).delivery.pick_up_time == fetched
    complete = delivery_service_pb2.CompleteDeliveryRequest(
        delivery_id=str(ready.delivery_id), code=await world.code(ready), occurred_time=brought
    )
    closed = (await world.call(courier, world.deliveries.CompleteDelivery, complete)).delivery
    assert (closed.close_time, closed.outcome) == (brought, delivery_pb2.DELIVERY_OUTCOME_DELIVERED)

    failed, courier, _ = await world.picked_up()
    await _set_back(world, failed)
    given_up = ago(120)
    ended = await world.end(courier, "FailDelivery", failed.delivery_id, occurred_time=given_up)
    assert ended.close_time == given_up
    # A clock that is a little ahead is set right.
    ahead, courier, _ = await world.assigned()
    pick_up = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=str(ahead.delivery_id), occurred_time=ago(-50))
    taken = (await world.call(courier, world.deliveries.PickUpDelivery, pick_up)).delivery.pick_up_time
    assert taken.ToDatetime(UTC) <= datetime.now(UTC)
