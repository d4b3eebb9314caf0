"""Pages of a search on real Postgres: every order whole and sorted, tokens of their own query, nobody's drafts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from marketd.catalog.search import search
from marketd.kernel.call.refusals import PageTokenInvalid
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketplace.catalog.v1 import search_pb2

from tests.worlds.search import SearchWorld, Thing

BRAND = search_pb2.FACET_KIND_BRAND
# What each order sorts by, the best first, and of prices the lowest.
ORDERS: dict[str, Callable[[Thing], Any]] = {
    "price": lambda thing: thing.price_minor,
    "price desc": lambda thing: -thing.price_minor,
    "rating": lambda thing: -thing.rating,
    "rating desc": lambda thing: -thing.rating,
    "newest": lambda thing: -thing.publish_time.timestamp(),
    "popular": lambda thing: (not thing.in_stock, -thing.rating),
}


@pytest.fixture
async def world(tx: Transactor) -> SearchWorld:
    return await SearchWorld(tx).fill(120)


@pytest.mark.parametrize("query", ["", "bowl"])
async def test_every_order_gives_everything_once_and_sorted(world: SearchWorld, query: str) -> None:
    by_id = {str(thing.product_id): thing for thing in world.things}
    expected = world.found(lambda thing: "bowl" in thing.title or not query)
    for order, key in ORDERS.items():
        found = await world.walk(query=query, order_by=order, page_size=7)
        assert len(found) == len(expected), order
        assert set(found) == expected, order
        keys = [key(by_id[product_id]) for product_id in found]
        assert keys == sorted(keys), order


async def test_a_walk_gives_once_what_was_there_while_others_come(world: SearchWorld) -> None:
    before = world.found()
    for order in ("price", "newest", "popular"):
        found: list[str] = []
        token = ""
        while True:
            page = await world.search(order_by=order, page_size=20, page_token=token)
            found += [product.product_id for product in page.products]
            token = page.next_page_token
            if not token:
                break
            await world.add(9)
        assert len(found) == len(set(found)), order
        assert before <= set(found), order


async def test_a_search_without_words_is_browsing_the_popular_first(world: SearchWorld) -> None:
    assert await world.walk(page_size=13) == await world.walk(order_by="popular")
    assert await world.walk(query="  ", order_by="relevance") == await world.walk(order_by="popular")


async def test_counts_come_with_the_first_page_alone_and_do_not_bind_its_token(world: SearchWorld) -> None:
    first = await world.search(page_size=5, facets=[BRAND])
    assert first.total_size == len(world.found())
    assert first.facets
    for facets in ([], [BRAND]):
        second = await world.search(page_size=5, facets=facets, page_token=first.next_page_token)
        assert len(second.products) == 5
        assert (second.total_size, len(second.facets)) == (0, 0)


async def test_a_token_is_of_its_own_search(world: SearchWorld) -> None:
    for order in ("price", "relevance"):
        asked = {"query": "bowl", "order_by": order, "page_size": 3}
        token = (await world.search(**asked)).next_page_token
        assert token
        for other in (
            {"query": "cup"},
            {"order_by": "price desc"},
            {"in_stock": True},
            {"brand_ids": [str(world.brands[0])]},
        ):
            with pytest.raises(PageTokenInvalid):
                await world.search(**{**asked, **other}, page_token=token)


async def test_relevance_reaches_so_far_and_the_other_orders_everything(
    world: SearchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_RELEVANT", 25)
    assert len(world.found(lambda thing: "bowl" in thing.title)) > 27
    relevant = await world.walk(query="bowl", page_size=10)
    assert len(relevant) == len(set(relevant)) == 25
    assert len(await world.walk(query="bowl", order_by="price")) > 27


async def test_what_is_no_longer_for_sale_is_gone_at_once(world: SearchWorld) -> None:
    left = world.found(lambda thing: thing.seller_id != world.sellers[0])
    for state in ("SUSPENDED", "CLOSED"):

        async def end(uow: UnitOfWork, now: str = state) -> None:
            await uow.connection.execute("UPDATE sellers SET state = $2 WHERE seller_id = $1", world.sellers[0], now)

        await world.tx.run("test.end", end)
        assert set(await world.walk()) == left
        assert set(await world.walk(order_by="price")) == left
        assert (await world.search()).total_size == len(left)


async def test_products_come_as_in_a_list(world: SearchWorld) -> None:
    page = await world.search(query="bowl", page_size=2)
    for product in page.products:
        assert product.title.startswith("Café bowl")
        assert product.for_sale
        assert product.variants
        assert not product.description
