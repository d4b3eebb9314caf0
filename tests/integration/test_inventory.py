"""Inventory on real Postgres: counting, owning, and promises that hold when everybody reaches for the same pieces."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from uuid import uuid4

import asyncpg
import pytest
from marketd.catalog.servicer import CACHE_TAG
from marketd.inventory import service, stocks
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.model import StockPolicy
from marketd.inventory.servicer import InventoryServicer
from marketd.inventory.values import NOTHING, Adjustment, Availability, StockCount, StockLine
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import EtagMismatch, NotFound
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.slice import ANSWERS_TOPIC
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.ids import new_id
from marketplace.inventory.v1 import inventory_service_pb2 as pb

from tests.worlds.built import Built
from tests.worlds.parts import make_parts
from tests.worlds.stocks import broken, get, movements, seller, stock


async def test_a_count_is_taken_and_its_difference_recorded(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    counted = await tx.run("t", lambda uow: stocks.set_stock(uow, owner, StockCount(variant, 12, "inventory day")))
    again = await tx.run("t", lambda uow: stocks.set_stock(uow, owner, StockCount(variant, 12)))
    assert counted.applied
    assert again.applied
    assert (await get(tx, variant)).on_hand == 12
    assert await movements(tx, variant) == [("OPENED", 5, 5), ("COUNTED", 7, 12)]


async def test_a_count_that_is_not_newer_than_the_known_one_changes_nothing(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)

    async def count(quantity: int, version: int | None) -> tuple[bool, int, int | None]:
        counted = await tx.run(
            "t", lambda uow: stocks.set_stock(uow, owner, StockCount(variant, quantity, "", version))
        )
        return counted.applied, counted.stock.on_hand, counted.stock.source_version

    assert (await get(tx, variant)).source_version is None
    assert await count(8, 7) == (True, 8, 7)
    assert await count(1, 7) == (False, 8, 7)
    assert await count(1, 6) == (False, 8, 7)
    assert await count(9, None) == (True, 9, 7)
    assert await count(9, 8) == (True, 9, 8)
    assert await broken(tx) == []


async def test_a_count_made_for_an_older_stock_is_refused(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    etags = [etag_of((await get(tx, variant)).version)]

    async def count(quantity: int, etag: str) -> str:
        wanted = StockCount(variant, quantity, etag=etag)
        counted = await tx.run("t", lambda uow: stocks.set_stock(uow, owner, wanted))
        assert counted.stock == await get(tx, variant)
        return etag_of(counted.stock.version)

    etags.append(await count(8, etags[-1]))
    assert await count(8, etags[-1]) == etags[-1], "what changes nothing keeps the etag"
    assert await count(8, etags[0]) == etags[-1], "and asks for none: its answer may have been lost"
    line = [StockLine(variant, 2)]
    for step in (service.reserve, service.release, service.reserve, service.ship):
        await tx.run("t", partial(step, lines=line, reference=new_id()))
        etags.append(etag_of((await get(tx, variant)).version))
    assert len(set(etags)) == 6, "what orders promise and ship changes it as well"
    for stale in etags[:-1]:
        with pytest.raises(EtagMismatch) as refused:
            await count(1, stale)
        assert refused.value.metadata == {"etag": etags[-1]}
    await count(1, "")


async def test_a_count_cannot_take_what_open_orders_were_promised(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    await tx.run("t", lambda uow: service.reserve(uow, [StockLine(variant, 3)], new_id()))
    with pytest.raises(InsufficientStock) as refused:
        await tx.run("t", lambda uow: stocks.set_stock(uow, owner, StockCount(variant, 2)))
    assert refused.value.metadata == {"variantId": str(variant), "requested": "3", "available": "2"}
    assert refused.value.message == "On hand: 5, promised to open orders: 3; leave at least 3, or cancel orders."
    with pytest.raises(InsufficientStock, match="leave at least 3"):
        await tx.run("t", lambda uow: stocks.adjust_stock(uow, owner, Adjustment(variant, -3)))
    await tx.run("t", lambda uow: stocks.set_stock(uow, owner, StockCount(variant, 3)))
    assert (await get(tx, variant)).available == 0


async def test_the_stock_of_others_is_not_there(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    _, other = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    assert (await tx.read(lambda unit: stocks.get_stock(unit, owner, variant))).on_hand == 5
    for caller, wanted in ((other, variant), (owner, uuid4())):
        with pytest.raises(NotFound) as refused:
            await tx.read(partial(stocks.get_stock, caller=caller, variant_id=wanted))
        assert refused.value.metadata == {"resource": "stock", "id": str(wanted)}
    with pytest.raises(NotFound):
        await tx.run("t", lambda uow: stocks.set_stock(uow, other, StockCount(variant, 0)))
    admin = Caller(new_id(), None, frozenset({Role.ADMIN}))
    assert (await tx.read(lambda unit: stocks.get_stock(unit, admin, variant))).on_hand == 5


async def test_a_shortage_names_every_short_line_and_promises_nothing(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    few, none, enough = await stock(tx, seller_id, 2, 0, 9)
    unknown = new_id()
    lines = [StockLine(enough, 4), StockLine(few, 2), StockLine(none, 1), StockLine(few, 1), StockLine(unknown, 1)]
    with pytest.raises(InsufficientStock) as refused:
        await tx.run("t", lambda uow: service.reserve(uow, lines, new_id()))
    assert [(short.variant_id, short.requested, short.available) for short in refused.value.shortages] == [
        (few, 3, 2),
        (none, 1, 0),
        (unknown, 1, 0),
    ]
    assert [violation.subject for violation in refused.value.preconditions] == [str(few), str(none), str(unknown)]
    assert refused.value.metadata == {"variantId": str(few), "requested": "3", "available": "2"}
    assert (await get(tx, enough)).reserved == 0


async def test_promises_are_kept_taken_back_and_shipped(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    one, two = await stock(tx, seller_id, 5, 5)
    order = new_id()
    lines = [StockLine(one, 1), StockLine(two, 2), StockLine(one, 1)]
    await tx.run("t", lambda uow: service.reserve(uow, lines, order))
    assert ((await get(tx, one)).reserved, (await get(tx, two)).reserved) == (2, 2)
    statement = (
        f"SELECT {service.availability_sql('v.id')} AS found FROM unnest($1::uuid[]) WITH ORDINALITY AS v(id, place)"
    )
    rows = await tx.read(lambda unit: unit.connection.fetch(f"{statement} ORDER BY v.place", [one, two, order]))
    left = Availability(StockPolicy.TRACKED, 3)
    assert [Availability.read(row["found"]) for row in rows] == [left, left, NOTHING]
    await tx.run("t", lambda uow: service.release(uow, [StockLine(one, 1)], order))
    await tx.run("t", lambda uow: service.ship(uow, [StockLine(one, 1), StockLine(two, 2)], order))
    assert [(stock.on_hand, stock.reserved) for stock in (await get(tx, one), await get(tx, two))] == [(4, 0), (3, 0)]
    assert await movements(tx, two) == [("OPENED", 5, 5), ("SHIPPED", -2, 3)]
    assert await broken(tx) == []


async def test_taking_back_more_than_was_promised_is_refused_by_the_table(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    for step in (service.release, service.ship):
        with pytest.raises(asyncpg.CheckViolationError):
            await tx.run("t", partial(step, lines=[StockLine(variant, 1)], reference=new_id()))
    with pytest.raises(RuntimeError):
        await tx.run("t", lambda uow: service.release(uow, [StockLine(new_id(), 1)], new_id()))


async def test_fifty_pieces_are_promised_fifty_times_and_the_naive_way_oversells(
    tx: Transactor, database_url: str
) -> None:
    """The control reads, decides and writes, as one is tempted to; a barrier lets ten of them decide at once."""
    seller_id, _ = await seller(tx)
    ours, naive = await stock(tx, seller_id, 50, 50)
    engine = create_engine(database_url, pool_size=20, pool_timeout_seconds=20)
    other = Transactor(engine, SystemClock())

    async def buy(number: int) -> bool:
        try:
            await (tx, other)[number % 2].run(
                "t", lambda uow: service.reserve(uow, [StockLine(ours, 1)], new_id()), seconds=30
            )
        except InsufficientStock:
            return False
        return True

    sold = await asyncio.gather(*(buy(number) for number in range(200)))
    decided = asyncio.Barrier(10)
    lost: list[int] = []

    async def buy_naively() -> None:
        async def work(uow: UnitOfWork) -> None:
            left = await uow.connection.fetchval("SELECT on_hand - reserved FROM stocks WHERE variant_id = $1", naive)
            await decided.wait()
            await uow.connection.execute("UPDATE stocks SET reserved = $2 WHERE variant_id = $1", naive, 50 - left + 1)

        await tx.run("t", work)
        lost.append(1)

    await asyncio.gather(*(buy_naively() for _ in range(10)))
    await other.drain()
    await engine.dispose()
    assert sum(sold) == 50
    assert ((await get(tx, ours)).reserved, (await get(tx, ours)).available) == (50, 0)
    assert (await get(tx, naive)).reserved < sum(lost)
    assert await broken(tx) == []


async def _deadlocks(tx: Transactor) -> int:
    return int(
        await tx.read(
            lambda unit: unit.connection.fetchval(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )
        )
    )


async def test_orders_of_many_variants_in_any_order_never_deadlock_and_never_oversell(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    variants = await stock(tx, seller_id, *[20] * 8)
    pick = random.Random(7)  # noqa: S311 - the same order every time
    tries = 0

    async def once(lines: Sequence[StockLine]) -> int:
        nonlocal tries
        order = new_id()

        async def work(uow: UnitOfWork) -> None:
            nonlocal tries
            tries += 1
            await service.reserve(uow, lines, order)

        try:
            await tx.run("t", work, seconds=30)
        except InsufficientStock:
            return 0
        if lines[0].quantity == 2:
            await tx.run("t", lambda uow: service.release(uow, lines, order), seconds=30)
            return 0
        await tx.run("t", lambda uow: service.ship(uow, lines, order), seconds=30)
        return 5

    orders = [
        [
            StockLine(variant, pick.choice((1, 2)) if place == 0 else 1)
            for place, variant in enumerate(pick.sample(variants, 5))
        ]
        for _ in range(120)
    ]
    shipped = sum(await asyncio.gather(*(once(lines) for lines in orders)))
    stocks = [await get(tx, variant) for variant in variants]
    assert tries == len(orders), "a deadlock or a serialization failure made a transaction run again"
    assert await _deadlocks(tx) == 0
    assert sum(20 - stock.on_hand for stock in stocks) == shipped > 0
    assert all(stock.reserved == 0 for stock in stocks)
    assert await broken(tx) == []


async def test_the_invariant_sees_a_stock_that_no_movement_explains(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    await tx.run("t", lambda uow: uow.connection.execute("UPDATE stocks SET on_hand = 6"))
    assert await broken(tx) == [
        "0 <= reserved <= on hand and what may be oversold; on hand is the sum of the movements: "
        f"stock {variant} has 6 on hand, 0 reserved, 0 oversold, 5 moved"
    ]


def _enter(caller: Caller) -> None:
    calls.enter(Call(caller=caller))


async def test_the_service_counts_and_shows_what_is_there(tx: Transactor) -> None:
    parts = make_parts(tx)
    changes: list[bytes] = []
    parts.broadcast.subscribe(ANSWERS_TOPIC, changes.append)
    servicer = Built(parts, "inventory").servicer(InventoryServicer)
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    _enter(owner)
    context = None
    answer = await servicer.SetStock(
        pb.SetStockRequest(request_id=str(uuid4()), variant_id=str(variant), quantity=9, source_version=3),
        context,  # type: ignore[arg-type] # neither method looks at it
    )
    shown = await servicer.GetStock(pb.GetStockRequest(variant_id=str(variant)), context)  # type: ignore[arg-type]
    assert answer.applied
    assert changes == [CACHE_TAG.encode()]
    for delta in (1, -1):
        adjust = pb.AdjustStockRequest(request_id=str(uuid4()), variant_id=str(variant), delta=delta)
        answer.stock.CopyFrom((await servicer.AdjustStock(adjust, context)).stock)  # type: ignore[arg-type]
    assert changes == [CACHE_TAG.encode()] * 3
    shown = await servicer.GetStock(pb.GetStockRequest(variant_id=str(variant)), context)  # type: ignore[arg-type]
    assert answer.stock == shown.stock
    assert (shown.stock.on_hand, shown.stock.available, shown.stock.source_version) == (9, 9, 3)
    assert shown.stock.seller_id == str(seller_id)
