"""BatchGetOrders and GetOrderGroup: what is found by whom, and what of it is seen."""

from __future__ import annotations

from functools import partial
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.order import service
from marketplace.order.v1 import order_pb2, order_service_pb2

from tests.worlds.calls import caller_of
from tests.worlds.ordering import Market, minor


async def _batch(market: Market, caller: Caller, *order_ids: str) -> list[order_pb2.Order]:
    request = order_service_pb2.BatchGetOrdersRequest(order_ids=order_ids)
    return list((await market.call(caller, market.orders.BatchGetOrders, request)).orders)


async def _group(market: Market, caller: Caller, order_group_id: str) -> order_pb2.OrderGroup:
    request = order_service_pb2.GetOrderGroupRequest(order_group_id=order_group_id)
    return (await market.call(caller, market.orders.GetOrderGroup, request)).order_group


async def test_a_batch_gives_what_each_may_see_once_and_in_the_order_of_the_ids(market: Market) -> None:
    buyers, shops = [await market.buyer() for _ in range(2)], [await market.shop() for _ in range(2)]
    variants = [await market.variant(shop) for shop in shops]
    groups = [await market.paid(buyer, *((variant, 1) for variant in variants)) for buyer in buyers]
    orders = {(order.buyer_id, order.seller_id): order.order_id for group in groups for order in group.orders}
    wanted = [str(uuid4()), *reversed(list(orders.values())), next(iter(orders.values())).upper()]
    courier = caller_of(new_id(), Role.COURIER)
    for caller, mine in (
        (buyers[0], {order for (buyer, _), order in orders.items() if buyer == str(buyers[0].user_id)}),
        (shops[1].caller, {order for (_, seller), order in orders.items() if seller == str(shops[1].seller_id)}),
        (market.admin, set(orders.values())),
        (caller_of(new_id(), Role.SERVICE), set(orders.values())),
        (courier, set()),
        (await market.buyer(), set()),
    ):
        found = await _batch(market, caller, *wanted)
        assert [order.order_id for order in found] == [each for each in wanted if each in mine]
        for order in found:
            assert order == await market.get(caller, order.order_id)


async def _assign(order_id: UUID, user_id: UUID, delivery_id: UUID, uow: UnitOfWork) -> None:
    await service.delivery_assigned(uow, order_id, user_id, delivery_id)


async def test_a_courier_finds_in_a_batch_what_is_in_the_courier_s_hands(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    order = (await market.paid(buyer, (await market.variant(shop), 1))).orders[0]
    courier, former, delivery_id = caller_of(new_id(), Role.COURIER), caller_of(new_id(), Role.COURIER), new_id()
    await market.accept(shop, order.order_id)
    await market.ready(shop, order.order_id)
    for each in (former, courier):
        user_id = each.known_user_id
        await market.tx.run("t", partial(_assign, UUID(order.order_id), user_id, delivery_id))
    [parcel] = await _batch(market, courier, order.order_id)
    assert parcel == await market.get(courier, order.order_id)
    assert not parcel.HasField("buyer_id")
    assert not await _batch(market, former, order.order_id)
    roleless = caller_of(courier.known_user_id, Role.BUYER)
    assert not await _batch(market, roleless, order.order_id), "the role is taken"
    with pytest.raises(NotFound):
        await market.get(roleless, order.order_id)
    # What it costs, and how it came about, is nothing that a courier needs.
    receipt = order_service_pb2.GetReceiptRequest(order_id=order.order_id)
    story = order_service_pb2.ListOrderEventsRequest(order_id=order.order_id)
    for one in (courier, former):
        with pytest.raises(NotFound):
            await _group(market, one, order.order_group_id)
        with pytest.raises(NotFound):
            await market.call(one, market.orders.GetReceipt, receipt)
        with pytest.raises(NotFound):
            await market.call(one, market.orders.ListOrderEvents, story)


async def test_a_group_is_whole_to_its_buyer_and_to_a_seller_the_own_orders_of_it(market: Market) -> None:
    buyer, shops = await market.buyer(), [await market.shop() for _ in range(2)]
    placed = await market.paid(buyer, *[(await market.variant(shop), 2) for shop in shops])
    group_id = placed.order_group_id
    for caller in (buyer, market.admin, caller_of(new_id(), Role.SERVICE)):
        group = await _group(market, caller, group_id)
        assert sorted(order.order_id for order in group.orders) == sorted(order.order_id for order in placed.orders)
        assert minor(group.total) == minor(placed.total)
        assert group.payment == await market.get_payment(buyer, placed.payment.payment_id)
        assert group.create_time == placed.create_time
        for order in group.orders:
            assert order == await market.get(caller, order.order_id)
    for shop in shops:
        group = await _group(market, shop.caller, group_id)
        assert [order.seller_id for order in group.orders] == [str(shop.seller_id)]
        assert not group.HasField("payment")
        assert not group.HasField("total")
    for stranger in (await market.buyer(), (await market.shop()).caller):
        refusals = []
        for asked in (group_id, str(uuid4())):
            with pytest.raises(NotFound) as refused:
                await _group(market, stranger, asked)
            refusals.append(str(refused.value).replace(asked, "?"))
        assert refusals[0] == refusals[1]
    await market.cancel(buyer, placed.orders[0].order_id)
    after = await _group(market, buyer, group_id)
    assert minor(after.total) == minor(placed.total), "what was cancelled stands with the orders"
