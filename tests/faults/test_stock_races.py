"""Stock by its policy, raced for by two processes against two workers: what is tracked is never oversold, what is not
is counted exactly, while a seller adjusts it, buyers cancel, a courier picks up, and the policy itself changes.

A round in every run, 20 in the long one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from marketd.inventory import service
from marketd.inventory.model import StockPolicy
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketplace.cart.v1 import cart_service_pb2
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2, stock_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2

from tests.faults import books
from tests.integration.units import transactor
from tests.worlds.faults import Variant, World
from tests.worlds.lines import Account, Lines, register
from tests.worlds.rivals import Move, Outcome, Rivals
from tests.worlds.served import Served
from tests.worlds.stocks import counts, untold
from tests.worlds.things import new_key

pytestmark = pytest.mark.usefixtures("both_workers")

POLICIES = {
    "tracked": StockPolicy.TRACKED,
    "untracked": StockPolicy.UNTRACKED,
    "continue": StockPolicy.CONTINUE,
    "switched": StockPolicy.CONTINUE,
}
ON_HAND, EACH, BUYERS = 5, 2, 4


@pytest.fixture(scope="module")
def rivals(served: Served) -> Iterator[Rivals]:
    """The two processes."""
    with Rivals(served.port) as both:
        yield both


@pytest.fixture
async def lines(world: World) -> AsyncIterator[Lines]:
    """Connections to set the rounds up with."""
    async with world.lines(8) as opened:
        yield opened


async def set_policy(tx: Transactor, variant: Variant, policy: StockPolicy) -> None:
    """As whoever changes the variant does it."""
    variant_id = UUID(variant.variant_id)

    async def work(uow: UnitOfWork) -> None:
        await service.lock_stocks(uow, [variant_id])
        await service.set_policies(uow, {variant_id: policy})

    await tx.run("test.policy", work)


def adjust(world: World, variant: Variant, delta: int, after_seconds: float) -> Move:
    request = inventory_service_pb2.AdjustStockRequest(
        request_id=new_key(), variant_id=variant.variant_id, delta=delta, reason="counted wrongly"
    )
    return Move(world.seller, request, after_seconds)


def cancel(buyer: Account, group: order_pb2.OrderGroup) -> Move:
    request = order_service_pb2.CancelOrderRequest(
        request_id=new_key(), order_id=group.orders[0].order_id, reason=order_pb2.CANCELLATION_REASON_CHANGED_MIND
    )
    return Move(buyer, request)


async def switch(tx: Transactor, variant: Variant, race: asyncio.Future[Any]) -> None:
    """Change the policy of one of them for as long as the race takes."""
    way = (StockPolicy.TRACKED, StockPolicy.CONTINUE, StockPolicy.TRACKED, StockPolicy.UNTRACKED)
    turns = 0
    while not race.done():
        await set_policy(tx, variant, way[turns % len(way)])
        turns += 1
        await asyncio.sleep(0.003)  # beside the calls, not instead of them


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.faults)])
async def test_what_is_sold_beyond_the_stock_is_sold_on_purpose_and_counted_exactly(
    world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    buyers = await asyncio.gather(*(register(lines) for _ in range(BUYERS * len(POLICIES))))
    courier, courier_id = await world.courier(lines)
    async with transactor(world.database_url, pool_size=2) as tx:
        for _ in range(rounds):
            goods = {name: await world.product(lines, ON_HAND) for name in POLICIES}
            for name, variant in goods.items():
                await set_policy(tx, variant, POLICIES[name])
            delivery = await world.assigned(lines, buyers[0], goods["continue"], courier_id)
            regretted = await world.placed(lines, buyers[1], goods["continue"], EACH)
            wanted = [name for name in POLICIES for _ in range(BUYERS)]
            placing = await asyncio.gather(
                *(world.quoted(lines, buyer, [(goods[name], EACH)]) for buyer, name in zip(buyers, wanted, strict=True))
            )
            moves = [Move(buyer, request) for buyer, request in zip(buyers, placing, strict=True)]
            pick_up = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=delivery.delivery_id)
            more = [adjust(world, each, 1, 0.002) for each in goods.values()]
            fewer = [adjust(world, each, -2, 0.001) for each in goods.values()]
            one = [*moves[::2], cancel(buyers[1], regretted), *more]
            other = [*moves[1::2], Move(courier, pick_up), *fewer]
            watch = lines.watch(world.admin, inventory_service_pb2.WatchStockRequest(variant_ids=_ids(goods)))
            snapshot: Any = await watch.read()
            race = asyncio.ensure_future(asyncio.to_thread(rivals.race, one, other))
            await asyncio.gather(race, switch(tx, goods["switched"], race))
            mine, theirs = race.result()
            bought = [name for name, outcome in zip(wanted, _braided(mine, theirs), strict=True) if outcome.is_ok]
            placed = {name: bought.count(name) for name in POLICIES}
            assert mine[len(moves) // 2].is_ok, mine
            assert theirs[len(moves) // 2].is_ok, theirs
            refused = {outcome.reason for outcome in (*mine, *theirs) if not outcome.is_ok}
            assert refused <= {"INSUFFICIENT_STOCK"}, (mine, theirs)
            assert (placed["untracked"], placed["continue"]) == (BUYERS, BUYERS)
            adjusted = {
                name: 1 * up.is_ok - 2 * down.is_ok
                for name, up, down in zip(goods, mine[-len(goods) :], theirs[-len(goods) :], strict=True)
            }
            await _assert_counted(tx, goods, placed, adjusted)
            await _assert_told(tx, watch, snapshot.snapshot.stocks)
            await finish(world, lines, buyers[0], courier, delivery.delivery_id)
            # What was not to be had is still in the carts.
            await asyncio.gather(*(lines.settled(buyer, cart_service_pb2.ClearCartRequest()) for buyer in buyers))
    await world.drained()
    await books.assert_sound(world.database_url)


def _braided(mine: list[Outcome], theirs: list[Outcome]) -> list[Outcome]:
    """The outcomes of the orders, in the order of the buyers."""
    half = BUYERS * len(POLICIES) // 2
    return [outcome for both in zip(mine[:half], theirs[:half], strict=True) for outcome in both]


async def _assert_counted(
    tx: Transactor, goods: Mapping[str, Variant], placed: Mapping[str, int], adjusted: Mapping[str, int]
) -> None:
    """Each stock is what was done to it, and no step did what its policy does not allow."""
    for name, variant in goods.items():
        on_hand, reserved, oversold = await counts(tx, UUID(variant.variant_id))
        # One piece went with the courier.
        assert on_hand == ON_HAND + adjusted[name] - (name == "continue"), name
        assert reserved == EACH * placed[name], name
        assert oversold == max(0, reserved - on_hand), name
        assert name != "tracked" or oversold == 0
    ids = [UUID(variant.variant_id) for variant in goods.values()]
    assert await tx.read(lambda unit: untold(unit.connection, ids)) == []


def _ids(goods: Mapping[str, Variant]) -> list[str]:
    return [variant.variant_id for variant in goods.values()]


async def _assert_told(tx: Transactor, watch: Any, stocks: Sequence[stock_pb2.Stock]) -> None:
    """Whoever watches the stocks on one worker is told every change that was made on either, each once and in order."""
    rows = await tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT variant_id, version FROM stocks WHERE variant_id = ANY($1::text[]::uuid[])",
            [stock.variant_id for stock in stocks],
        )
    )
    last = {str(row["variant_id"]): row["version"] for row in rows}
    told = {stock.variant_id: [_version(stock)] for stock in stocks}
    async with asyncio.timeout(10):
        while any(told[variant_id][-1] < version for variant_id, version in last.items()):
            message = await watch.read()
            if message.HasField("changed"):
                told[message.changed.stock.variant_id].append(_version(message.changed.stock))
    watch.cancel()
    assert told == {variant_id: list(range(told[variant_id][0], last[variant_id] + 1)) for variant_id in last}


def _version(stock: stock_pb2.Stock) -> int:
    return int(stock.etag.removeprefix("v"), 16)


async def finish(world: World, lines: Lines, buyer: Account, courier: Account, delivery_id: str) -> None:
    """The courier brings it, and is free for the next round."""
    code = await world.code(lines, buyer, delivery_id)
    complete = delivery_service_pb2.CompleteDeliveryRequest(request_id=new_key(), delivery_id=delivery_id, code=code)
    await lines.settled(courier, complete)
