"""Several who write the same product's document: the last of them has seen the newest state, whatever the order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from marketd.catalog import brands, life, products
from marketd.catalog.brands import BrandChange, NewBrand
from marketd.catalog.search import pending, words
from marketd.catalog.search.drain import Drain
from marketd.catalog.values import ProductChange
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork

from tests.integration.test_catalog_products import ADMIN, Shop, variant
from tests.integration.units import transactor
from tests.worlds.search_index import document, has_words, settle, stale


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Transactor]:
    """Another process."""
    async with transactor(database_url, pool_size=4) as other:
        yield other


class Gate:
    """Holds a unit of work open, behind its work, until it is let go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def hold(self, tx: Transactor, work: Callable[[UnitOfWork], Awaitable[object]]) -> None:
        """Run the work; its transaction stays open until `go`."""

        async def held(uow: UnitOfWork) -> None:
            await work(uow)
            self.reached.set()
            await self.go.wait()

        await tx.run("test.held", held)


async def _waits(tx: Transactor) -> None:
    """Until somebody waits for a lock."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while True:
            if await tx.read(lambda unit: unit.connection.fetchval(sql)):
                return
            await asyncio.sleep(0.005)


def _titled(shop: Shop, product_id: str, title: str) -> Callable[[UnitOfWork], Awaitable[object]]:
    change = ProductChange(UUID(product_id), frozenset({"title"}), "", title, "", "", None, None, (), {}, ())
    return lambda uow: products.update_product(uow, shop.owner, change)


async def _race(
    shop: Shop,
    other: Transactor,
    first: Callable[[UnitOfWork], Awaitable[object]],
    second: Callable[[UnitOfWork], Awaitable[object]],
) -> None:
    """The second begins while the first, which has written everything, is not committed, and waits for it."""
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        group.create_task(gate.hold(shop.tx, first))
        await gate.reached.wait()
        group.create_task(other.run("test.second", second))
        await _waits(shop.tx)
        gate.go.set()


async def test_of_two_that_change_a_product_the_second_writes_the_document(shop: Shop, other: Transactor) -> None:
    made = await shop.publish(await shop.make("Cup"))
    await _race(
        shop,
        other,
        _titled(shop, made.product_id, "Bowl"),
        lambda uow: life.archive_product(uow, shop.owner, UUID(made.product_id)),
    )
    assert await document(shop.tx, made.product_id) == {}
    await shop.publish(made)
    assert await has_words(shop.tx, made.product_id, "bowl")


@pytest.mark.parametrize("drain_first", [False, True])
async def test_a_batch_and_a_change_of_the_same_product_leave_the_newest(
    shop: Shop, other: Transactor, drain_first: bool
) -> None:
    made = await shop.publish(await shop.make("Cup"))
    product_id = UUID(made.product_id)
    await shop.tx.run("t", lambda uow: pending.note_products(uow.connection, [product_id]))

    def drain(uow: UnitOfWork) -> Awaitable[object]:
        return pending.drain(uow.connection)

    change = _titled(shop, made.product_id, "Bowl")
    await _race(shop, other, *((drain, change) if drain_first else (change, drain)))
    assert await has_words(shop.tx, made.product_id, "bowl")
    await settle(shop.tx)
    assert await stale(shop.tx) == []


@pytest.mark.parametrize("rename_first", [False, True])
async def test_a_brand_that_is_renamed_while_a_product_takes_it_is_found_by_its_new_name(
    shop: Shop, other: Transactor, rename_first: bool
) -> None:
    made = await shop.publish(await shop.make("Cup"))
    brand = await shop.tx.run("t", lambda uow: brands.create_brand(uow, ADMIN, NewBrand("Acme", "", "")))
    renamed = BrandChange(brand.brand_id, frozenset({"name"}), "", "Zenith", "", "")
    taken = ProductChange(
        UUID(made.product_id), frozenset({"brand_id"}), "", "", "", "", None, brand.brand_id, (), {}, ()
    )

    def rename(uow: UnitOfWork) -> Awaitable[object]:
        return brands.update_brand(uow, ADMIN, renamed)

    def take(uow: UnitOfWork) -> Awaitable[object]:
        return products.update_product(uow, shop.owner, taken)

    await _race(shop, other, *((rename, take) if rename_first else (take, rename)))
    await settle(shop.tx)
    assert await has_words(shop.tx, made.product_id, "zenith")
    assert await stale(shop.tx) == []


async def test_a_note_that_comes_while_a_batch_is_brought_in_waits_for_nobody_and_is_not_lost(
    shop: Shop, other: Transactor
) -> None:
    made = await shop.publish(await shop.make("Cup"))
    ids = [UUID(made.product_id)]
    await shop.tx.run("t", lambda uow: pending.note_products(uow.connection, ids))
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        group.create_task(gate.hold(shop.tx, lambda uow: pending.drain(uow.connection)))
        await gate.reached.wait()
        async with asyncio.timeout(2):
            await other.run("t", lambda uow: pending.note_products(uow.connection, ids))
        gate.go.set()
    assert (await shop.tx.read(lambda unit: pending.look(unit.connection))).products


async def test_a_recount_beside_a_writer_counts_it_once(shop: Shop, other: Transactor) -> None:
    made = await shop.publish(await shop.make("Cup"))
    await settle(shop.tx)
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        group.create_task(gate.hold(shop.tx, _titled(shop, made.product_id, "Bowl")))
        await gate.reached.wait()
        await other.run("t", lambda uow: words.recount(uow.connection))
        gate.go.set()
    await settle(shop.tx)
    assert await stale(shop.tx) == []


async def test_many_random_changes_by_four_at_once_end_in_exact_documents_and_counts(
    shop: Shop, other: Transactor
) -> None:
    made = [await shop.publish(await shop.make(f"Cup {n}", variants=[variant(sku=f"c{n}")])) for n in range(4)]
    ids = [UUID(each.product_id) for each in made]
    chance = random.Random(7)  # noqa: S311 - the same race each time
    vocabulary = ["oak", "clay", "steel", "cup", "bowl", "running", "quickly", "wi-fi"]
    ended = asyncio.Event()

    async def change(tx: Transactor) -> None:
        for _ in range(12):
            product_id = chance.choice(ids)
            work: Callable[[UnitOfWork], Awaitable[object]] = chance.choice(
                (
                    _titled(shop, str(product_id), " ".join(chance.sample(vocabulary, 3))),
                    lambda uow, one=product_id: life.archive_product(uow, shop.owner, one),
                    lambda uow, one=product_id: life.publish_product(uow, shop.owner, one),
                    lambda uow, one=product_id: pending.note_products(uow.connection, [one, *ids]),
                )
            )
            try:
                await tx.run("test.change", work)
            except (ConcurrentUpdate, NotFound):
                continue

    async def drain() -> None:
        leader = Drain(other, timedelta(seconds=10), lambda: None)
        while not ended.is_set():
            await leader.step()
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(drain())
        await asyncio.gather(*(change(tx) for tx in (shop.tx, shop.tx, other, other)))
        ended.set()
    await settle(shop.tx)
    assert await stale(shop.tx) == []
