"""A listing of very many products walked page by page while others insert: each that was there comes exactly once.

Few prices and few titles, so that nearly all of them tie, at the seams of pages too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from marketd.catalog.servicer import CatalogServicer
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import ANONYMOUS
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketplace.catalog.v1 import catalog_service_pb2 as pb

from tests.worlds.built import Built
from tests.worlds.goods import Goods
from tests.worlds.parts import make_parts

CONTEXT: Any = None  # no method here looks at it
COUNT: Final = 10_000
SHORT: Final = 2_000
# Whole walks by big pages; by small ones, which cost a call for each product or few, what one brand has.
BRANDS: Final = {5: 300, 1: 100}
# Prices and titles come from few, and the ids of those that come later fall anywhere among the others.
INSERT: Final = """
INSERT INTO products (product_id, seller_id, handle, slug, title, title_key, description, brand_id, tags, option_names,
  currency, price_minor, state, version, create_time, update_time)
SELECT gen_random_uuid(), $1, $2 || n, $2 || n, 'Cup ' || n % 3, 'cup ' || n % 3, '', $3, '{}', '{}',
  'EUR', n % 4 * 100, 'PUBLISHED', 1, now(), now() FROM generate_series(1, $4::int) n RETURNING product_id::text
"""


class Shelf:
    """A shop with very many products, and whoever walks along them."""

    def __init__(self, tx: Transactor) -> None:
        self.tx = tx
        self.catalog = Built(make_parts(tx), "catalog").servicer(CatalogServicer)
        self.brands = {size: uuid4() for size in BRANDS}
        self.seller_id = uuid4()
        self.all: set[str] = set()
        self.of_brand: dict[UUID, set[str]] = {}

    async def fill(self, count: int) -> Shelf:
        self.seller_id = (await Goods(self.tx).shop()).seller_id
        await self.tx.run("test.brands", self._make_brands)
        for size, brand_id in self.brands.items():
            self.of_brand[brand_id] = set(await self.insert(BRANDS[size], brand_id))
        self.all = set(await self.insert(count - sum(BRANDS.values()), None)).union(*self.of_brand.values())
        return self

    async def _make_brands(self, uow: UnitOfWork) -> None:
        for brand_id in self.brands.values():
            await uow.connection.execute(
                "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
                " VALUES ($1, $2, $2, $2, '', 1, now(), now())",
                brand_id,
                brand_id.hex,
            )

    async def insert(self, count: int, brand_id: UUID | None) -> list[str]:
        """So many more products; their ids."""
        rows = await self.tx.run(
            "test.insert",
            lambda uow: uow.connection.fetch(INSERT, self.seller_id, f"{uuid4().hex}-", brand_id, count),
        )
        return [row["product_id"] for row in rows]

    async def walk(self, order: str, size: int, brand_id: UUID | None) -> tuple[list[str], set[str]]:
        """All ids of a list, and those that came to be on the way: a few at every fourth page."""
        found: list[str] = []
        inserted: set[str] = set()
        request = pb.ListProductsRequest(
            page_size=size, order_by=order, brand_ids=[] if brand_id is None else [str(brand_id)]
        )
        for turn in range(COUNT):
            page = await self.catalog.ListProducts(request, CONTEXT)
            found += [product.product_id for product in page.products]
            request.page_token = page.next_page_token
            if not request.page_token:
                return found, inserted
            # No page is the last before it is short: what comes behind the reader may be read as well.
            if turn % 4 == 0 and len(inserted) < 200:
                inserted.update(await self.insert(8, brand_id))
        raise AssertionError("a walk without end")


@pytest.fixture
async def shelf(tx: Transactor) -> Shelf:
    calls.enter(Call(caller=ANONYMOUS))
    return Shelf(tx)


def check(found: Sequence[str], there: set[str], inserted: set[str]) -> None:
    assert len(found) == len(set(found)), "a product came twice"
    assert there <= set(found), "a product was passed over"
    assert set(found) <= there | inserted


@pytest.mark.parametrize("count", [SHORT, pytest.param(COUNT, marks=pytest.mark.faults)])
async def test_every_page_size_gives_each_once_while_others_insert(shelf: Shelf, count: int) -> None:
    await shelf.fill(count)
    there = set(shelf.all)
    assert len(there) == count
    for order, size in (("price desc", 100), ("title", 100), ("price desc", 16)):
        found, inserted = await shelf.walk(order, size, None)
        check(found, there, inserted)
        there |= inserted
    for size, brand_id in shelf.brands.items():
        of_brand = set(shelf.of_brand[brand_id])
        for order in ("price desc", "title"):
            found, inserted = await shelf.walk(order, size, brand_id)
            check(found, of_brand, inserted)
            of_brand |= inserted
