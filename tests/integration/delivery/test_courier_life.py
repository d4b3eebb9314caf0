"""What becomes of couriers on real Postgres: turned down, suspended, let in again, closed, gone with their account."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest
from marketd.auth.accounts.block import block_account
from marketd.auth.errors import AccountCannotAct
from marketd.auth.events import AccountDeleted
from marketd.delivery import follow_accounts, service
from marketd.delivery.errors import CourierBusy, CourierOffShift, OtherCourier, ReasonNeeded
from marketd.delivery.repository import positions
from marketd.delivery.values import LatestPosition
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, EtagMismatch, IllegalTransition, NotFound, Refusal
from marketd.kernel.db.uow import UnitOfWork
from marketd.order.read import get_order, list_orders
from marketd.order.values import OrderFilter
from marketplace.auth.v1 import user_service_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_pb2
from marketplace.policy.v1 import policy_pb2

from tests.worlds.calls import caller_of

if TYPE_CHECKING:
    from tests.worlds.delivery import Ready, World

STATE = courier_pb2.CourierState
ASSIGNED, CREATED = delivery_pb2.DELIVERY_STATE_ASSIGNED, delivery_pb2.DELIVERY_STATE_CREATED
APPLY = courier_service_pb2.CreateCourierRequest(
    courier=courier_pb2.Courier(first_name="Noor", vehicle=courier_pb2.VEHICLE_TYPE_CAR)
)


async def own(world: World, caller: Caller, courier_id: str = "me") -> courier_pb2.Courier:
    request = courier_service_pb2.GetCourierRequest(courier_id=courier_id)
    return (await world.call(caller, world.couriers.GetCourier, request)).courier


async def roles_of(world: World, caller: Caller) -> set[str]:
    rows = await world.tx.read(
        lambda unit: unit.connection.fetch("SELECT role FROM account_roles WHERE user_id = $1", caller.known_user_id)
    )
    return {row["role"] for row in rows}


async def letters(world: World) -> list[str]:
    rows = await world.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT payload->'values'->>'change' AS change FROM jobs WHERE payload->>'template' = 'courier_changed'"
            " ORDER BY job_id"
        )
    )
    return [row["change"] for row in rows]


async def test_who_was_turned_down_reads_why_and_applies_again_as_another_courier(world: World) -> None:
    caller, first = await world.applied()
    rejected = await world.move(world.admin, "Reject", first.courier_id, "no licence")
    assert (rejected.state, rejected.state_reason) == (STATE.COURIER_STATE_REJECTED, "no licence")
    assert await own(world, caller) == rejected
    assert await world.move(world.admin, "Reject", first.courier_id, "no licence", etag="v99") == rejected
    for verb in ("Approve", "Suspend", "Reinstate", "Close"):
        with pytest.raises(IllegalTransition):
            await world.move(world.admin, verb, first.courier_id, "some reason")
    again = (await world.call(caller, world.couriers.CreateCourier, APPLY)).courier
    assert again.courier_id != first.courier_id
    assert (await own(world, caller)).courier_id == again.courier_id
    assert await own(world, caller, first.courier_id) == rejected
    with pytest.raises(AlreadyExists):
        await world.call(caller, world.couriers.CreateCourier, APPLY)
    assert await letters(world) == ["rejected"]


async def test_ten_applications_at_once_after_a_refusal_make_one_courier(world: World) -> None:
    caller, first = await world.applied()
    await world.move(world.admin, "Reject", first.courier_id, "no licence")
    results = await asyncio.gather(
        *(world.call(caller, world.couriers.CreateCourier, APPLY) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, AlreadyExists) for result in results) == 9


async def test_a_suspended_courier_gives_back_what_is_not_picked_up_and_finishes_the_rest(world: World) -> None:
    in_hands, caller, courier_id = await world.picked_up()
    waiting = [await world.ready() for _ in range(3)]
    for ready in waiting:
        await world.assign(ready.delivery_id, courier_id)
    suspended = await world.move(world.admin, "Suspend", courier_id, "complaints")
    assert (suspended.state, suspended.on_shift) == (STATE.COURIER_STATE_SUSPENDED, False)
    for ready in waiting:
        now = await world.get(world.admin, ready.delivery_id)
        assert (now.state, now.HasField("courier"), now.HasField("eta")) == (CREATED, False, False)
        with pytest.raises(NotFound):
            await world.get(caller, ready.delivery_id)
        assert await world.value("SELECT courier_user_id FROM orders WHERE order_id = $1", ready.order_id) is None
        with pytest.raises(CourierOffShift):
            await world.assign(ready.delivery_id, courier_id)
        with pytest.raises(NotFound):
            await world.pick_up(caller, ready.delivery_id)
    assert await world.violations() == []
    with pytest.raises(IllegalTransition):
        await world.call(caller, world.couriers.StartShift, courier_service_pb2.StartShiftRequest())
    assert Role.COURIER in await roles_of(world, caller)

    _, other_id = await world.courier()
    assert (await world.assign(waiting[0].delivery_id, other_id)).state == ASSIGNED
    await world.complete(caller, in_hands.delivery_id, await world.code(in_hands))
    assert (await own(world, caller)).completed_deliveries == 1
    assert await world.violations() == []
    entries = await world.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT resource_id FROM audit_entries WHERE method = 'delivery.give_back'"
            " AND changes::text LIKE '%CREATED%'"
        )
    )
    assert {row["resource_id"] for row in entries} == {str(ready.delivery_id) for ready in waiting}


async def test_an_admin_lets_a_suspended_courier_work_again_and_each_move_stands_once(world: World) -> None:
    caller, courier_id = await world.courier()
    before = await own(world, caller)
    with pytest.raises(EtagMismatch):
        await world.move(world.admin, "Suspend", courier_id, "complaints", etag="v99")
    suspended = await world.move(world.admin, "Suspend", courier_id, "complaints", etag=before.etag)
    assert await world.move(world.admin, "Suspend", courier_id, "complaints", etag=before.etag) == suspended
    with pytest.raises(IllegalTransition):
        await world.move(world.admin, "Suspend", courier_id, "other complaints")
    with pytest.raises(IllegalTransition):
        await world.move(world.admin, "Approve", courier_id)
    back = await world.move(world.admin, "Reinstate", courier_id, "all clear")
    assert (back.state, back.state_reason) == (STATE.COURIER_STATE_ACTIVE, "all clear")
    assert back.approve_time == before.approve_time
    assert await world.move(world.admin, "Reinstate", courier_id, "all clear", etag=before.etag) == back
    for verb in ("Approve", "Reinstate"):
        with pytest.raises(IllegalTransition):
            await world.move(world.admin, verb, courier_id, "another reason")
    await world.call(caller, world.couriers.StartShift, courier_service_pb2.StartShiftRequest())
    assert await letters(world) == ["suspended", "reinstated"]
    changed = await world.value(
        "SELECT changes::text FROM audit_entries WHERE resource_id = $1 AND comment = 'complaints'", str(courier_id)
    )
    assert "SUSPENDED" in changed
    assert "ACTIVE" in changed


async def test_a_courier_closes_when_nothing_is_open_and_a_new_one_keeps_the_old_one_closed(world: World) -> None:
    ready, caller, courier_id = await world.assigned()
    with pytest.raises(CourierBusy) as running:
        await world.move(caller, "Close", "me")
    assert running.value.metadata["usedBy"].startswith("shift ")
    await world.pick_up(caller, ready.delivery_id)
    await world.move(world.admin, "Suspend", courier_id, "complaints")
    with pytest.raises(CourierBusy) as held:
        await world.move(caller, "Close", "me")
    assert held.value.metadata["usedBy"] == f"delivery {ready.delivery_id}"
    await world.complete(caller, ready.delivery_id, await world.code(ready))
    closed = await world.move(caller, "Close", "me", "moving away")
    assert closed.state == STATE.COURIER_STATE_CLOSED
    assert await roles_of(world, caller) == {Role.BUYER}
    assert await world.move(caller, "Close", str(courier_id), "moving away", etag="v1") == closed

    again = (await world.call(caller, world.couriers.CreateCourier, APPLY)).courier
    with pytest.raises(OtherCourier):
        await world.move(world.admin, "Reinstate", courier_id)
    withdrawn = await world.move(caller, "Close", "me")
    assert (withdrawn.courier_id, withdrawn.state) == (again.courier_id, STATE.COURIER_STATE_CLOSED)
    assert (await world.move(world.admin, "Reinstate", courier_id)).completed_deliveries == 1
    assert await roles_of(world, caller) == {Role.BUYER, Role.COURIER}
    # What the closed courier has brought is the account's to see still.
    assert (await world.get(caller, ready.delivery_id)).courier.courier_id == str(courier_id)
    assert await world.violations() == []


async def test_somebody_elses_courier_is_not_there_and_an_admin_says_why_it_is_closed(world: World) -> None:
    _, courier = await world.applied()
    stranger, _ = await world.applied()
    with pytest.raises(NotFound):
        await own(world, stranger, courier.courier_id)
    with pytest.raises(NotFound):
        await world.move(stranger, "Close", courier.courier_id, "because")
    with pytest.raises(NotFound):
        await own(world, await world.account(Role.BUYER))
    with pytest.raises(ReasonNeeded):
        await world.move(world.admin, "Close", courier.courier_id, "  ")
    closed = await world.move(world.admin, "Close", courier.courier_id, "a double")
    assert await own(world, world.admin, courier.courier_id) == closed
    assert await letters(world) == ["closed"]


async def test_who_cannot_sign_in_is_neither_approved_nor_let_in_again(world: World) -> None:
    applicant, applied = await world.applied()
    caller, courier_id = await world.courier()
    await world.move(world.admin, "Suspend", courier_id, "complaints")
    for account in (applicant, caller):
        await world.tx.run("test.block", partial(block_account, user_id=account.known_user_id))
    for verb, one in (("Approve", applied.courier_id), ("Reinstate", courier_id)):
        with pytest.raises(AccountCannotAct) as refused:
            await world.move(world.admin, verb, one)
        assert refused.value.metadata == {"current": "BLOCKED", "allowed": "ACTIVE,DELETED"}


@pytest.mark.parametrize("how", ["blocked", "role taken"])
async def test_who_cannot_act_any_more_is_suspended_at_once_and_stays_so(world: World, how: str) -> None:
    ready, caller, courier_id = await world.assigned()
    in_hands = await world.ready()
    await world.assign(in_hands.delivery_id, courier_id)
    await world.pick_up(caller, in_hands.delivery_id)
    user_id = str(caller.known_user_id)
    if how == "blocked":
        block = user_service_pb2.BlockUserRequest(user_id=user_id, reason="fraud")
        await world.call(world.admin, world.users.BlockUser, block)
        unblock = user_service_pb2.UnblockUserRequest(user_id=user_id, reason="a mistake")
        await world.call(world.admin, world.users.UnblockUser, unblock)
    else:
        roles = user_service_pb2.SetUserRolesRequest(user_id=user_id, roles=[policy_pb2.ROLE_BUYER])
        await world.call(world.admin, world.users.SetUserRoles, roles)
    now = await own(world, world.admin, str(courier_id))
    assert (now.state, now.on_shift) == (STATE.COURIER_STATE_SUSPENDED, False)
    assert (await world.get(world.admin, ready.delivery_id)).state == CREATED
    # Who is blocked has a letter of that.
    assert await letters(world) == ([] if how == "blocked" else ["suspended"])
    kept = await world.get(world.admin, in_hands.delivery_id)
    assert kept.courier.courier_id == str(courier_id)
    assert await world.violations() == []
    assert (await world.move(world.admin, "Reinstate", courier_id)).state == STATE.COURIER_STATE_ACTIVE
    assert Role.COURIER in await roles_of(world, caller)
    # Who is let in again with goods in hands brings them, with a new shift or without one.
    assert await world.violations() == []
    await world.complete(caller, in_hands.delivery_id, await world.code(in_hands))
    assert await world.violations() == []


async def test_a_list_of_couriers_is_filtered_and_walked_either_way(world: World) -> None:
    made = [await world.applied() for _ in range(5)]
    for _, courier in made[:2]:
        await world.move(world.admin, "Reject", courier.courier_id, "no licence")
    _, suspended_id = await world.courier()
    await world.move(world.admin, "Suspend", suspended_id, "complaints")
    again = (await world.call(made[0][0], world.couriers.CreateCourier, APPLY)).courier

    async def walk(**wanted: object) -> list[str]:
        found: list[str] = []
        request = courier_service_pb2.ListCouriersRequest(page_size=2, **wanted)  # type: ignore[arg-type]
        while True:
            page = await world.call(world.admin, world.couriers.ListCouriers, request)
            found += [courier.courier_id for courier in page.couriers]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

    ids = [courier.courier_id for _, courier in made]
    everybody = [*ids, str(suspended_id), again.courier_id]
    assert await walk() == everybody[::-1]
    assert await walk(order_by="create_time") == everybody
    pending, rejected = STATE.COURIER_STATE_PENDING, STATE.COURIER_STATE_REJECTED
    assert await walk(order_by="create_time", states=[pending, rejected]) == [*ids, again.courier_id]
    account = str(made[0][0].known_user_id)
    assert await walk(user_ids=[account]) == [again.courier_id, ids[0]]
    assert await walk(user_ids=[account], states=[rejected]) == [ids[0]]


async def test_a_deleted_account_leaves_a_closed_courier_without_a_person(world: World) -> None:
    ready, caller, courier_id = await world.picked_up()
    user_id = caller.known_user_id
    await world.move(world.admin, "Suspend", courier_id, "complaints of Ada")
    held = await world.tx.run("test.held", lambda uow: follow_accounts.holds_account(uow, user_id))
    assert held == f"delivery {ready.delivery_id}"
    await world.complete(caller, ready.delivery_id, await world.code(ready))
    assert await world.tx.run("test.free", lambda uow: follow_accounts.holds_account(uow, user_id)) is None

    async def work(uow: UnitOfWork) -> None:
        seen = LatestPosition(
            courier_id=courier_id,
            sample_time=uow.now,
            receive_time=uow.now,
            latitude=52.5,
            longitude=13.4,
            speed_mps=None,
            heading_degrees=None,
            accuracy_meters=None,
            seq=1,
        )
        await positions.save_latest(uow.connection, [seen])
        await follow_accounts.courier_deleted(uow, user_id)

    await world.tx.run("test.deleted", work)
    gone = await own(world, world.admin, str(courier_id))
    assert gone.state == STATE.COURIER_STATE_CLOSED
    assert (gone.first_name, gone.last_name, gone.phone, gone.state_reason) == ("", "", "", "")
    assert await world.tx.read(lambda unit: service.read_latest_position(unit, courier_id)) is None
    said = await world.value(
        "SELECT string_agg(changes::text, '') FROM audit_entries WHERE resource_id = $1", str(courier_id)
    )
    assert "Noor" not in said
    assert "+49" not in said
    assert (await world.get(ready.buyer, ready.delivery_id)).courier.first_name == ""
    assert await world.violations() == []


async def test_whose_role_was_taken_reads_no_door_any_more(world: World) -> None:
    """As after a block: the goods may still be in their hands, but an admin sees to them."""
    ready, courier, _ = await world.picked_up()
    fired = caller_of(courier.known_user_id, Role.BUYER)
    assert (await world.get(courier, ready.delivery_id)).dropoff.address.phone == "+4930222"
    kept = await world.get(fired, ready.delivery_id)
    assert not kept.dropoff.HasField("address")
    assert not kept.pickup.HasField("address")
    for caller, count in ((courier, 1), (fired, 0)):
        read = partial(list_orders, caller=caller, wanted=OrderFilter(), after=None, limit=9)
        assert len(await world.tx.read(read)) == count
    with pytest.raises(NotFound):
        await world.tx.read(partial(get_order, caller=fired, order_id=ready.order_id))


async def test_deliveries_to_a_deleted_account_forget_where_the_person_lived(world: World) -> None:
    buyer = await world.account(Role.BUYER)
    ready = await _delivered_to(world, buyer)
    other = await _delivered_to(world, await world.account(Role.BUYER))

    async def tell(uow: UnitOfWork) -> None:
        uow.emit(AccountDeleted(user_id=buyer.known_user_id))

    for _ in range(2):
        await world.tx.run("test.gone", tell)
        await world.hand_on()
    kept = await world.get(world.admin, ready.delivery_id)
    address = kept.dropoff.address
    assert (address.city, address.postal_code, address.region_code) == ("Berlin", "10435", "DE")
    assert (address.recipient, address.phone, list(address.lines), address.HasField("point")) == ("", "", [], False)
    assert kept.pickup.address.recipient == "Radhaus"
    assert (await world.get(world.admin, other.delivery_id)).dropoff.address.recipient == "Ada"
    stored = await world.value("SELECT dropoff::text FROM deliveries WHERE delivery_id = $1", ready.delivery_id)
    assert "Kastanienallee" not in stored


async def test_a_delivery_whose_end_is_still_on_its_way_forgets_the_person_as_well(world: World) -> None:
    """Who cancels the order and deletes the account: nothing says which of the two is heard of first."""
    buyer = await world.account(Role.BUYER)
    ready, (courier, courier_id) = await world.ready(buyer), await world.courier()
    await world.assign(ready.delivery_id, courier_id)
    await world.cancel(ready)
    gone = {"user_id": str(buyer.known_user_id)}
    await world.tx.run("test.gone", lambda uow: follow_accounts.forget_more(uow, gone))
    assert (await world.get(courier, ready.delivery_id)).dropoff.address.recipient == ""
    await world.hand_on()
    kept = await world.get(world.admin, ready.delivery_id)
    assert kept.outcome == delivery_pb2.DELIVERY_OUTCOME_CANCELLED
    assert (kept.dropoff.address.city, kept.dropoff.address.phone) == ("Berlin", "")
    stored = await world.value("SELECT dropoff::text FROM deliveries WHERE delivery_id = $1", ready.delivery_id)
    assert "Kastanienallee" not in stored


async def test_many_deliveries_are_forgotten_batch_by_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    buyer = await world.account(Role.BUYER)
    made = [await _delivered_to(world, buyer) for _ in range(3)]
    monkeypatch.setattr(follow_accounts, "BATCH", 1)

    async def tell(uow: UnitOfWork) -> None:
        uow.emit(AccountDeleted(user_id=buyer.known_user_id))

    await world.tx.run("test.gone", tell)
    await world.hand_on()
    await world.built.run_jobs()
    for ready in made:
        assert (await world.get(world.admin, ready.delivery_id)).dropoff.address.recipient == ""


async def test_of_a_suspension_and_an_assignment_at_once_nothing_stays_with_the_suspended(world: World) -> None:
    for _ in range(5):
        ready, (_, courier_id) = await world.ready(), await world.courier()
        assigned, suspended = await asyncio.gather(
            world.assign(ready.delivery_id, courier_id),
            world.move(world.admin, "Suspend", courier_id, "complaints"),
            return_exceptions=True,
        )
        assert not isinstance(suspended, BaseException)
        assert not isinstance(assigned, Refusal) or isinstance(assigned, CourierOffShift)
        assert (await world.get(world.admin, ready.delivery_id)).state == CREATED
    assert await world.violations() == []


async def test_of_a_suspension_and_a_pickup_at_once_the_goods_stay_where_they_are(world: World) -> None:
    for _ in range(5):
        ready, caller, courier_id = await world.assigned()
        picked_up, suspended = await asyncio.gather(
            world.pick_up(caller, ready.delivery_id),
            world.move(world.admin, "Suspend", courier_id, "complaints"),
            return_exceptions=True,
        )
        assert not isinstance(suspended, BaseException)
        now = await world.get(world.admin, ready.delivery_id)
        if isinstance(picked_up, BaseException):
            assert isinstance(picked_up, NotFound)
            assert (now.state, await world.order_state(ready.order_id)) == (CREATED, "READY")
        else:
            assert now.courier.courier_id == str(courier_id)
            assert await world.order_state(ready.order_id) == "OUT_FOR_DELIVERY"
    assert await world.violations() == []


async def _delivered_to(world: World, buyer: Caller) -> Ready:
    ready, (courier, courier_id) = await world.ready(buyer), await world.courier()
    await world.assign(ready.delivery_id, courier_id)
    await world.pick_up(courier, ready.delivery_id)
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    return ready
