"""Lists of deliveries on real Postgres: whose they show, in each order, narrowed by what they are and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import PageTokenInvalid, ValidationFailed
from marketd.order.read import get_order, list_orders
from marketd.order.values import OrderFilter
from marketplace.delivery.v1 import delivery_pb2
from marketplace.delivery.v1.delivery_service_pb2 import ListDeliveriesRequest

if TYPE_CHECKING:
    from tests.worlds.delivery import Ready, World

CANCELLED = delivery_pb2.DELIVERY_OUTCOME_CANCELLED
DELIVERED = delivery_pb2.DELIVERY_OUTCOME_DELIVERED


async def listed(world: World, caller: Caller, **fields: Any) -> list[str]:
    """The ids of all deliveries that the list shows, page by page."""
    seen: list[str] = []
    token = ""
    while True:
        request = ListDeliveriesRequest(page_size=2, page_token=token, **fields)
        answer = await world.call(caller, world.deliveries.ListDeliveries, request)
        seen += [delivery.delivery_id for delivery in answer.deliveries]
        token = answer.next_page_token
        if not token:
            return seen


def ids(readies: Sequence[Ready]) -> list[str]:
    """The ids of their deliveries."""
    return [str(ready.delivery_id) for ready in readies]


async def test_everybody_lists_only_their_own_page_by_page(world: World) -> None:
    buyer = await world.account(Role.BUYER)
    own = [await world.ready(buyer) for _ in range(3)]
    other, courier, courier_id = await world.assigned()

    newest_first = ids(own[::-1])
    assert await listed(world, buyer) == newest_first
    assert await listed(world, own[0].seller) == ids(own[:1])
    assert await listed(world, courier) == ids([other])
    assert await listed(world, world.admin) == [str(other.delivery_id), *newest_first]
    assert await listed(world, world.admin, courier_ids=[str(courier_id)]) == ids([other])
    assert await listed(world, buyer, courier_ids=[str(courier_id)]) == []
    assert await listed(world, buyer, states=[delivery_pb2.DELIVERY_STATE_CREATED]) == newest_first
    assert await listed(world, await world.account(Role.BUYER)) == []

    request = ListDeliveriesRequest(page_size=2)
    first = await world.call(buyer, world.deliveries.ListDeliveries, request)
    request.page_token = first.next_page_token
    with pytest.raises(PageTokenInvalid):
        await world.call(world.admin, world.deliveries.ListDeliveries, request)
    request.order_by = "create_time"
    with pytest.raises(PageTokenInvalid):
        await world.call(buyer, world.deliveries.ListDeliveries, request)


async def test_several_values_of_a_filter_are_all_shown_once_and_in_order(world: World) -> None:
    buyer = await world.account(Role.BUYER)
    own = [await world.ready(buyer) for _ in range(4)]
    wanted = [own[2], own[0], own[3]]
    orders = [str(ready.order_id) for ready in wanted]
    expected = ids([own[3], own[2], own[0]])
    for caller in (buyer, world.admin):
        assert await listed(world, caller, order_ids=orders) == expected
        assert await listed(world, caller, order_ids=orders, buyer_ids=[str(buyer.user_id)]) == expected
        assert await listed(world, caller, order_ids=orders, order_by="create_time") == expected[::-1]
    several = [str(buyer.user_id), str((await world.account(Role.BUYER)).user_id)]
    assert await listed(world, world.admin, buyer_ids=several) == ids(own[::-1])


async def test_a_courier_finds_nothing_by_the_account_that_gets_it(world: World) -> None:
    """Nor by the group of the order: asking for one after the other would tell what the courier is not shown."""
    ready, courier, courier_id = await world.picked_up()
    order = await world.tx.read(lambda unit: get_order(unit, world.admin, ready.order_id))
    buyer_ids, group_ids = (ready.buyer.known_user_id,), (order.order_group_id,)
    for wanted, found in (
        (OrderFilter(), 1),
        (OrderFilter(buyer_ids=buyer_ids), 0),
        (OrderFilter(order_group_ids=group_ids), 0),
    ):
        for caller, count in ((courier, found), (ready.buyer, 1)):
            read = partial(list_orders, caller=caller, wanted=wanted, after=None, limit=9)
            assert len(await world.tx.read(read)) == count
    for is_over in (False, True):
        if is_over:
            await world.complete(courier, ready.delivery_id, await world.code(ready))
        assert await listed(world, courier, courier_ids=[str(courier_id)]) == ids([ready])
        assert await listed(world, courier, buyer_ids=[str(order.buyer_id)]) == []
        for caller in (ready.buyer, ready.seller, world.admin):
            assert await listed(world, caller, buyer_ids=[str(order.buyer_id)]) == ids([ready])


async def test_by_close_time_what_is_open_counts_as_closed_last(world: World) -> None:
    buyer, (courier, courier_id) = await world.account(Role.BUYER), await world.courier()
    made = [await world.ready(buyer) for _ in range(4)]
    for ready in (made[2], made[0]):
        await world.assign(ready.delivery_id, courier_id)
        await world.pick_up(courier, ready.delivery_id)
        await world.complete(courier, ready.delivery_id, await world.code(ready))
    await world.assign(made[3].delivery_id, courier_id)
    ascending = ids([made[2], made[0], made[1], made[3]])
    for caller in (buyer, world.admin):
        assert await listed(world, caller, order_by="close_time") == ascending
        assert await listed(world, caller, order_by="close_time desc") == ascending[::-1]
        assert await listed(world, caller, order_by="create_time") == ids(made)
    assert await listed(world, courier, order_by="close_time desc") == ids([made[3], made[0], made[2]])
    assert await listed(world, world.admin, courier_ids=[str(courier_id)], order_by="close_time") == ids(
        [made[2], made[0], made[3]]
    )


async def test_outcomes_and_intervals_narrow_a_list(world: World) -> None:
    ready, courier, _ = await world.picked_up()
    await world.complete(courier, ready.delivery_id, await world.code(ready))
    cancelled = await world.ready()
    await world.cancel(cancelled)
    await world.hand_on()
    still_open = await world.ready()
    admin = world.admin
    assert await listed(world, admin, outcomes=[DELIVERED]) == ids([ready])
    assert await listed(world, admin, outcomes=[CANCELLED]) == ids([cancelled])
    assert await listed(world, admin, outcomes=[CANCELLED, DELIVERED]) == ids([cancelled, ready])

    made = (await world.get(admin, cancelled.delivery_id)).create_time
    closed = (await world.get(admin, ready.delivery_id)).close_time
    assert await listed(world, admin, create_time_from=made) == ids([still_open, cancelled])
    assert await listed(world, admin, create_time_before=made) == ids([ready])
    assert await listed(world, admin, create_time_from=made, create_time_before=made) == []
    after = Timestamp()
    after.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    assert await listed(world, admin, close_time_from=closed, close_time_before=after) == ids([cancelled, ready])
    assert await listed(world, admin, close_time_before=closed) == []


@pytest.mark.parametrize("field", ["create_time", "close_time"])
async def test_an_interval_that_ends_before_it_begins_is_refused(world: World, field: str) -> None:
    fields: Any = {f"{field}_from": Timestamp(seconds=2_000), f"{field}_before": Timestamp(seconds=1_000)}
    with pytest.raises(ValidationFailed) as refused:
        await listed(world, world.admin, **fields)
    assert [violation.field for violation in refused.value.fields] == [f"{field}_before"]


@pytest.mark.parametrize("order_by", ["fee", "create_time down", "create_time desc, close_time"])
async def test_an_order_that_there_is_not_is_refused_and_says_what_there_is(world: World, order_by: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await listed(world, world.admin, order_by=order_by)
    assert refused.value.fields[0].field == "order_by"
    assert "close_time" in refused.value.fields[0].description
