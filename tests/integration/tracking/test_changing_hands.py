"""Live tracking over a change of couriers: the buyer's stream goes on, the former courier's ends, and a suspended one
is followed as long as goods are in hands.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from marketd.delivery.estimate import band
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketd.tracking.errors import OffShift
from marketd.tracking.trip.journal import write_findings
from marketd.tracking.trip.trip import Late, Leg
from marketplace.delivery.v1 import delivery_pb2

from tests.worlds.delivery import World as Deliveries
from tests.worlds.tracking_clients import PICKUP, Uplink, now_seconds, position

if TYPE_CHECKING:
    from uuid import UUID

    from marketd.kernel.call.caller import Caller
    from marketd.tracking.watch.channel import DeliveryChannel
    from marketd.tracking.watch.values import WatchedDelivery

    from tests.worlds.tracking import Worker

S = delivery_pb2.DeliveryState


@pytest.fixture
def deliveries(tx: Transactor) -> Deliveries:
    """The slice that gives deliveries to couriers and takes them away."""
    return Deliveries(tx)


async def report(worker: Worker, courier: Caller, at: float) -> None:
    await worker.report(courier, new_id(), [position(1, at, PICKUP)])


async def ended(uplink: Uplink) -> None:
    async with asyncio.timeout(10):
        await uplink.task


async def test_a_buyer_goes_on_with_the_new_courier_and_the_former_one_sees_no_more(
    deliveries: Deliveries, worker: Worker
) -> None:
    ready, former, _ = await deliveries.picked_up()
    courier, courier_id = await deliveries.courier()
    buyer, own = worker.watch(ready.buyer, ready.delivery_id), worker.watch(former, ready.delivery_id)
    for watching in (buyer, own):
        await watching.got("snapshot")
    await report(worker, former, now_seconds() - 5)
    await buyer.got("position")
    # Where the new courier was before is not the buyer's to know.
    await report(worker, courier, now_seconds() - 20)

    await deliveries.reassign(ready.delivery_id, courier_id)
    change = (await buyer.got("state_change")).state_change
    assert (change.previous_state, change.state) == (S.DELIVERY_STATE_PICKED_UP, S.DELIVERY_STATE_PICKED_UP)
    assert change.courier.courier_id == str(courier_id)
    with pytest.raises(NotFound):
        await own.ended()
    assert "state_change" not in own.kinds()
    # Who looks now does not find the former courier on the map, as if that were the new one.
    newcomer = worker.watch(ready.buyer, ready.delivery_id)
    assert not (await newcomer.got("snapshot")).snapshot.HasField("position")
    await report(worker, former, now_seconds() - 3)
    assert (len(buyer.of("position")), newcomer.of("position")) == (1, [])
    at = now_seconds()
    await report(worker, courier, at)
    shown = (await buyer.got("position", 2)).position
    assert shown.sample_time.ToMicroseconds() == round(at * 1_000_000)
    again = worker.watch(former, ready.delivery_id, resume_token=own.resume_token)
    with pytest.raises(NotFound):
        await again.ended()
    await deliveries.complete(courier, ready.delivery_id, await deliveries.code(ready))
    await buyer.ended()
    assert len(buyer.of("position")) == 2


async def test_a_seller_does_not_see_where_a_courier_was_before_the_delivery_was_theirs(
    deliveries: Deliveries, worker: Worker
) -> None:
    ready, _, _ = await deliveries.assigned()
    courier, courier_id = await deliveries.courier()
    # At home perhaps, and a day ago: nobody has reported anything since.
    await report(worker, courier, now_seconds() - 20)
    early = worker.watch(ready.seller, ready.delivery_id)
    await early.got("snapshot")
    await deliveries.reassign(ready.delivery_id, courier_id)
    await early.got("state_change")
    late = worker.watch(ready.seller, ready.delivery_id)
    assert not (await late.got("snapshot")).snapshot.HasField("position")
    assert early.of("position") == []
    at = now_seconds()
    await report(worker, courier, at)
    for seller in (early, late):
        shown = (await seller.got("position")).position
        assert shown.sample_time.ToMicroseconds() == round(at * 1_000_000)


async def test_another_courier_before_the_pickup_is_told_though_the_state_stays(
    deliveries: Deliveries, worker: Worker
) -> None:
    ready, _, _ = await deliveries.assigned()
    _, courier_id = await deliveries.courier()
    buyer = worker.watch(ready.buyer, ready.delivery_id)
    await buyer.got("snapshot")
    await deliveries.reassign(ready.delivery_id, courier_id)
    change = (await buyer.got("state_change")).state_change
    assert change.previous_state == change.state == S.DELIVERY_STATE_ASSIGNED
    assert change.courier.courier_id == str(courier_id)
    await deliveries.move(deliveries.admin, "Suspend", courier_id, "complaints")
    withdrawn = (await buyer.got("state_change", 2)).state_change
    assert (withdrawn.state, withdrawn.HasField("courier")) == (S.DELIVERY_STATE_CREATED, False)


async def test_a_suspended_courier_is_followed_to_the_end_of_what_is_in_hands(
    deliveries: Deliveries, worker: Worker
) -> None:
    ready, courier, courier_id = await deliveries.picked_up()
    idle, idle_id = await deliveries.courier()
    riding, resting = worker.uplink(courier), worker.uplink(idle)
    for uplink in (riding, resting):
        uplink.hello(new_id())
        uplink.batch([position(1, now_seconds() - 5, PICKUP)])
        await uplink.acked(1)
    for one in (courier_id, idle_id):
        await deliveries.move(deliveries.admin, "Suspend", one, "complaints")
    with pytest.raises(OffShift):
        await ended(resting)
    buyer = worker.watch(ready.buyer, ready.delivery_id)
    await buyer.got("snapshot")
    riding.batch([position(2, now_seconds(), PICKUP)])
    await riding.acked(2)
    await buyer.got("position")
    # Who is let in again off shift still has the goods.
    await deliveries.move(deliveries.admin, "Reinstate", courier_id, "all clear")
    await report(worker, courier, now_seconds())
    riding.batch([position(3, now_seconds(), PICKUP)])
    await riding.acked(3)
    await buyer.got("position")
    await deliveries.complete(courier, ready.delivery_id, await deliveries.code(ready))
    with pytest.raises(OffShift):
        await ended(riding)
    with pytest.raises(OffShift):
        await report(worker, courier, now_seconds())


async def test_who_asks_while_the_delivery_changes_hands_sees_nothing_that_is_not_theirs(
    deliveries: Deliveries, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, former, _ = await deliveries.picked_up()
    _, courier_id = await deliveries.courier()
    buyer, follow = worker.watch(ready.buyer, ready.delivery_id), worker.hub.follow
    await buyer.got("snapshot")

    async def late(delivery_id: UUID, watched: WatchedDelivery, seq: int) -> DeliveryChannel:
        """It was still the former courier's when it was read."""
        await deliveries.reassign(ready.delivery_id, courier_id)
        await buyer.got("state_change")
        return await follow(delivery_id, watched, seq)

    monkeypatch.setattr(worker.hub, "follow", late)
    own = worker.watch(former, ready.delivery_id)
    with pytest.raises(NotFound):
        await own.ended()
    assert own.messages == []


async def test_what_the_former_courier_would_be_late_with_is_not_told(deliveries: Deliveries) -> None:
    ready, _, former_id = await deliveries.picked_up()
    _, courier_id = await deliveries.courier()
    await deliveries.reassign(ready.delivery_id, courier_id)
    due_time = datetime.now(UTC)
    eta = band(due_time, due_time + timedelta(minutes=30))

    async def found_late_by(one: UUID) -> int:
        leg = Leg(ready.delivery_id, ready.order_id, one, True, None, None)
        await deliveries.tx.run("test.late", lambda uow: write_findings(uow, [Late(leg, due_time, eta)]))
        count: int = await deliveries.value("SELECT count(*) FROM outbox_events WHERE event_type = 'delivery.late'")
        return count

    assert [await found_late_by(former_id), await found_late_by(courier_id)] == [0, 1]
