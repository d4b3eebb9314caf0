"""Couriers and shifts on real Postgres: applying, approving, starting and ending, and what keeps them apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from marketd.delivery import follow_accounts, service
from marketd.delivery.errors import CourierOffShift
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import AlreadyExists, EtagMismatch, IllegalTransition, InUse, NotFound, Refusal
from marketd.kernel.values.ids import new_id
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2

if TYPE_CHECKING:
    from tests.worlds.delivery import World

START = courier_service_pb2.StartShiftRequest()
END = courier_service_pb2.EndShiftRequest()


async def test_an_applicant_is_pending_with_the_phone_of_the_account_and_may_apply_once(world: World) -> None:
    caller, courier = await world.applied()
    assert courier.state == courier_pb2.COURIER_STATE_PENDING
    assert courier.phone.startswith("+49")
    assert not courier.on_shift
    assert not courier.HasField("plate_number")
    again = courier_service_pb2.CreateCourierRequest(
        courier=courier_pb2.Courier(first_name="Noor", vehicle=courier_pb2.VEHICLE_TYPE_CAR)
    )
    with pytest.raises(AlreadyExists):
        await world.call(caller, world.couriers.CreateCourier, again)


async def test_approval_gives_the_role_once_and_is_written_down(world: World) -> None:
    caller, courier = await world.applied()
    approve = courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id, reason="met in person")
    approved = (await world.call(world.admin, world.couriers.ApproveCourier, approve)).courier
    assert approved.state == courier_pb2.COURIER_STATE_ACTIVE
    assert approved.etag != courier.etag
    assert approved.HasField("approve_time")
    assert (await world.call(world.admin, world.couriers.ApproveCourier, approve)).courier == approved
    roles = await world.tx.read(
        lambda unit: unit.connection.fetch("SELECT role FROM account_roles WHERE user_id = $1", caller.known_user_id)
    )
    assert {row["role"] for row in roles} == {Role.BUYER, Role.COURIER}
    audited = await world.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT comment FROM audit_entries WHERE resource_id = $1 AND comment <> ''", courier.courier_id
        )
    )
    assert [row["comment"] for row in audited] == ["met in person"]


async def test_a_courier_that_does_not_exist_cannot_be_approved(world: World) -> None:
    request = courier_service_pb2.ApproveCourierRequest(courier_id=str(new_id()))
    with pytest.raises(NotFound):
        await world.call(world.admin, world.couriers.ApproveCourier, request)


async def test_a_pending_courier_starts_no_shift(world: World) -> None:
    caller, _ = await world.applied()
    with pytest.raises(IllegalTransition) as refused:
        await world.call(caller, world.couriers.StartShift, START)
    assert refused.value.metadata == {"current": "PENDING", "allowed": "ACTIVE,REJECTED,CLOSED"}


async def test_a_shift_runs_once_and_ends_once(world: World) -> None:
    caller, courier_id = await world.courier(on_shift=False)
    start = courier_service_pb2.StartShiftRequest(vehicle=courier_pb2.VEHICLE_TYPE_CAR)
    shift = (await world.call(caller, world.couriers.StartShift, start)).shift
    assert shift.vehicle == courier_pb2.VEHICLE_TYPE_CAR
    assert not shift.HasField("end_time")
    assert (await world.call(caller, world.couriers.StartShift, start)).shift == shift
    with pytest.raises(IllegalTransition):
        await world.call(caller, world.couriers.StartShift, START)  # on the usual vehicle, which is another
    found = await world.tx.read(lambda unit: service.read_courier_of(unit, caller.known_user_id))
    assert found is not None
    assert (found.courier_id, found.on_shift) == (courier_id, True)
    ended = (await world.call(caller, world.couriers.EndShift, END)).shift
    assert ended.shift_id == shift.shift_id
    assert ended.HasField("end_time")
    assert ended.etag != shift.etag
    assert (await world.call(caller, world.couriers.EndShift, END)).shift == ended


async def test_who_never_started_a_shift_ends_none(world: World) -> None:
    caller, _ = await world.courier(on_shift=False)
    with pytest.raises(CourierOffShift):
        await world.call(caller, world.couriers.EndShift, END)


async def test_a_shift_that_has_changed_since_it_was_read_is_not_ended(world: World) -> None:
    ready, caller, _ = await world.picked_up()
    start = courier_service_pb2.StartShiftRequest()
    read = (await world.call(caller, world.couriers.StartShift, start)).shift
    await world.complete(caller, ready.delivery_id, await world.code(ready))
    stale = courier_service_pb2.EndShiftRequest(etag=read.etag)
    with pytest.raises(EtagMismatch) as refused:
        await world.call(caller, world.couriers.EndShift, stale)
    now = courier_service_pb2.EndShiftRequest(etag=refused.value.metadata["etag"])
    assert (await world.call(caller, world.couriers.EndShift, now)).shift.HasField("end_time")


async def test_a_courier_who_has_changed_since_the_admin_looked_is_not_approved(world: World) -> None:
    _, courier = await world.applied()
    request = courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id, etag="v99")
    with pytest.raises(EtagMismatch) as refused:
        await world.call(world.admin, world.couriers.ApproveCourier, request)
    assert refused.value.metadata == {"etag": courier.etag}
    request.etag = courier.etag
    approved = (await world.call(world.admin, world.couriers.ApproveCourier, request)).courier
    assert approved.state == courier_pb2.COURIER_STATE_ACTIVE


async def test_an_account_is_held_by_a_shift_that_runs(world: World) -> None:
    caller, _ = await world.courier()
    held = await world.tx.run("test.held", lambda uow: follow_accounts.holds_account(uow, caller.known_user_id))
    assert held is not None
    assert held.startswith("shift ")
    await world.call(caller, world.couriers.EndShift, END)
    assert await world.tx.run("test.free", lambda uow: follow_accounts.holds_account(uow, caller.known_user_id)) is None
    assert await world.tx.run("test.free", lambda uow: follow_accounts.holds_account(uow, new_id())) is None


async def test_ten_starts_at_once_start_one_shift(world: World) -> None:
    caller, _ = await world.courier(on_shift=False)
    results = await asyncio.gather(*(world.call(caller, world.couriers.StartShift, START) for _ in range(10)))
    assert len({result.shift.shift_id for result in results}) == 1
    count = await world.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM shifts"))
    assert count == 1


async def test_a_shift_does_not_end_under_an_open_delivery(world: World) -> None:
    ready, caller, _ = await world.assigned()
    with pytest.raises(InUse):
        await world.call(caller, world.couriers.EndShift, END)
    await world.pick_up(caller, ready.delivery_id)
    await world.complete(caller, ready.delivery_id, await world.code(ready))
    ended = (await world.call(caller, world.couriers.EndShift, END)).shift
    assert ended.completed_deliveries == 1
    assert await world.violations() == []


async def test_of_an_assignment_and_the_end_of_the_shift_at_once_only_one_happens(world: World) -> None:
    for _ in range(8):
        ready, (caller, courier_id) = await world.ready(), await world.courier()
        assigned, ended = await asyncio.gather(
            world.assign(ready.delivery_id, courier_id),
            world.call(caller, world.couriers.EndShift, END),
            return_exceptions=True,
        )
        assert isinstance(assigned, Refusal) != isinstance(ended, Refusal)
        assert isinstance(assigned, CourierOffShift) or isinstance(ended, InUse)
    assert await world.violations() == []
