"""ListOrders: what it is narrowed to, its order one way and the other, and what is the caller's to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import PageTokenInvalid, ValidationFailed
from marketplace.order.v1 import order_pb2, order_service_pb2

from tests.worlds.calls import caller_of
from tests.worlds.ends import Ends
from tests.worlds.goods import Shop
from tests.worlds.ordering import Market
from tests.worlds.things import new_shop


async def _list(market: Market, caller: Caller, **filters: Any) -> order_service_pb2.ListOrdersResponse:
    return await market.call(caller, market.orders.ListOrders, order_service_pb2.ListOrdersRequest(**filters))


async def _ids(market: Market, caller: Caller, **filters: Any) -> list[str]:
    """Every page's orders, two at a time."""
    found: list[str] = []
    token = ""
    while True:
        page = await _list(market, caller, page_size=2, page_token=token, **filters)
        found += [order.order_id for order in page.orders]
        token = page.next_page_token
        if not token:
            return found


def _of(groups: list[order_pb2.OrderGroup]) -> Iterator[order_pb2.Order]:
    for group in groups:
        yield from group.orders


async def test_orders_are_walked_from_either_end_and_filters_take_several_values(market: Market) -> None:
    buyers = [await market.buyer() for _ in range(3)]
    shops = [await market.shop() for _ in range(3)]
    goods = [await market.variant(shop) for shop in shops]
    groups = [await market.place(buyer, *((variant, 1) for variant in goods)) for buyer in buyers for _ in range(2)]
    orders = sorted(_of(groups), key=lambda order: order.order_id)
    everything = [order.order_id for order in orders]
    for caller in (market.admin, buyers[0], shops[1].caller):
        mine = [
            order.order_id
            for order in orders
            if caller is market.admin
            or order.buyer_id == str(caller.user_id)
            or (order.seller_id == str(shops[1].seller_id) and caller is shops[1].caller)
        ]
        assert await _ids(market, caller) == await _ids(market, caller, order_by="create_time desc") == mine[::-1]
        assert await _ids(market, caller, order_by="create_time") == mine
    sellers = [str(shop.seller_id) for shop in shops[:2]]
    wanted = [order.order_id for order in orders if order.seller_id in sellers]
    assert await _ids(market, market.admin, seller_ids=sellers, order_by="create_time") == wanted
    # Case does not count in ids, and what is named twice comes once.
    shouted = [*sellers, *(one.upper() for one in sellers)]
    assert await _ids(market, market.admin, seller_ids=shouted) == wanted[::-1]
    people = [str(buyer.known_user_id) for buyer in buyers[1:]]
    both = [order.order_id for order in orders if order.seller_id in sellers and order.buyer_id in people]
    assert await _ids(market, market.admin, seller_ids=sellers, buyer_ids=people, order_by="create_time") == both
    assert await _ids(market, buyers[0], buyer_ids=people) == []
    group_ids = [groups[0].order_group_id, groups[3].order_group_id, str(uuid4())]
    of_groups = [order.order_id for order in orders if order.order_group_id in group_ids]
    assert await _ids(market, market.admin, order_group_ids=group_ids, order_by="create_time") == of_groups
    numbers = [orders[0].order_number, orders[-1].order_number]
    assert await _ids(market, market.admin, order_numbers=numbers) == [everything[-1], everything[0]]
    own = next(order for order in orders if order.buyer_id == str(buyers[0].known_user_id))
    assert await _ids(market, buyers[0], order_numbers=[own.order_number, numbers[1]]) == [own.order_id]


async def test_whoever_closed_a_shop_still_sees_what_it_sold_and_opens_another(market: Market) -> None:
    ends = Ends(market)
    buyer, shop = await market.buyer(), await market.shop()
    former = (await market.place(buyer, (await market.variant(shop), 1))).orders[0]
    await market.cancel(buyer, former.order_id)
    await ends.move("Close", shop, caller=shop.caller)
    owner = caller_of(shop.caller.known_user_id, Role.BUYER)
    assert await _ids(market, owner) == [former.order_id]
    await market.call(owner, ends.sellers.CreateSeller, new_shop())
    seller_id = await market.value(
        "SELECT seller_id FROM sellers WHERE owner_user_id = $1 AND state = 'PENDING'", owner.user_id
    )
    again = Shop(seller_id, caller_of(owner.known_user_id, Role.BUYER, Role.SELLER))
    await ends.move("Approve", again)
    order = (await market.place(buyer, (await market.variant(again), 1))).orders[0]
    bought = (await market.place(owner, (await market.variant(await market.shop()), 1))).orders[0]
    assert await _ids(market, again.caller) == [bought.order_id, order.order_id, former.order_id]
    assert await _ids(market, again.caller, seller_ids=[str(shop.seller_id)]) == [former.order_id]
    assert await _ids(market, buyer) == [order.order_id, former.order_id]


async def test_another_order_is_another_query_and_unknown_ones_are_refused(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    for _ in range(3):
        await market.place(buyer, (variant, 1))
    token = (await _list(market, buyer, page_size=1)).next_page_token
    with pytest.raises(PageTokenInvalid):
        await _list(market, buyer, page_size=1, page_token=token, order_by="create_time")
    for unknown in ("total", "create_time up", "create_time desc desc"):
        with pytest.raises(ValidationFailed) as refusal:
            await _list(market, buyer, order_by=unknown)
        assert refusal.value.fields[0].field == "order_by"


async def test_an_interval_that_ends_before_it_begins_is_refused(market: Market) -> None:
    buyer = await market.buyer()
    begin, end = Timestamp(seconds=1_000), Timestamp(seconds=999, nanos=999_999_000)
    with pytest.raises(ValidationFailed) as refusal:
        await _list(market, buyer, create_time_from=begin, create_time_before=end)
    assert refusal.value.fields[0].field == "create_time_before"
    assert not (await _list(market, buyer, create_time_from=begin, create_time_before=begin)).orders
