"""Lists of products on real Postgres: every order and filter, page by page, from an index, and nobody's drafts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.catalog.model import ProductState
from marketd.catalog.names import title_key
from marketd.catalog.repository import products as repository
from marketd.catalog.servicer import CatalogServicer
from marketd.catalog.values import ProductOrder, ProductQuery
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.pages import MAX_PAGE_BYTES
from marketd.kernel.call.refusals import PageTokenInvalid
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import to_json
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2

from tests.worlds.built import Built
from tests.worlds.parts import make_parts

CONTEXT: Any = None  # no method here looks at it
ADMIN = Caller(new_id(), None, frozenset({Role.ADMIN}))
ORDERS = [
    pb.PRODUCT_ORDER_NEWEST,
    pb.PRODUCT_ORDER_PRICE_ASC,
    pb.PRODUCT_ORDER_PRICE_DESC,
    pb.PRODUCT_ORDER_TITLE,
    pb.PRODUCT_ORDER_RATING,
]


class World:
    """A tree of three categories, two brands, two sellers and some products."""

    def __init__(self, tx: Transactor) -> None:
        self.tx = tx
        self.catalog = Built(make_parts(tx), "catalog").servicer(CatalogServicer)
        self.top, self.middle, self.leaf = (new_id() for _ in range(3))
        self.brands = [new_id(), new_id()]
        self.others: list[UUID] = []
        self.sellers = [new_id(), new_id()]
        self.owners = [Caller(new_id(), None, frozenset({Role.SELLER})) for _ in self.sellers]
        self.products: list[dict[str, Any]] = []

    async def fill(self, count: int, others: int = 0) -> World:
        """Make `count` products, a seventh of them drafts, with few different prices and ratings so that many tie.

        `others`: so many more categories and brands, which have most of the products.
        """
        self.others = [new_id() for _ in range(others)]
        self.brands += [new_id() for _ in range(others)]
        pick = random.Random(count)  # noqa: S311 - the same world every time
        categories: Sequence[UUID | None] = [self.top, self.middle, self.leaf, None, *self.others]
        for number in range(count):
            title = f"{pick.choice('aÄbBcé')} cup {pick.randrange(9)}"
            self.products.append(
                {
                    "product_id": new_id(),
                    "seller_id": self.sellers[number % 2],
                    "slug": f"p-{number}",
                    "title": title,
                    "title_key": title_key(title),
                    "category_id": categories[number % len(categories)],
                    "brand_id": pick.choice(self.brands),
                    "price_minor": pick.randrange(5) * 100,
                    "rating": pick.randrange(5) * 1000,
                    "state": "DRAFT" if number % 7 == 3 else "PUBLISHED",
                }
            )
        await self.tx.run("test.fill", self._write)
        return self

    async def _write(self, uow: UnitOfWork) -> None:
        others = [(None, category_id) for category_id in self.others]
        for parent, child in ((None, self.top), (self.top, self.middle), (self.middle, self.leaf), *others):
            await uow.connection.execute(
                "INSERT INTO categories (category_id, parent_category_id, name, name_key, slug, description, position,"
                " path, version, create_time, update_time) VALUES ($1, $2, 'c', 'c', $3, '', 0,"
                " COALESCE((SELECT path FROM categories WHERE category_id = $2), '{}') || ARRAY[$1::uuid], 1, $4, $4)",
                child,
                parent,
                child.hex,
                uow.now,
            )
        for brand in self.brands:
            await uow.connection.execute(
                "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
                " VALUES ($1, $2, $2, $2, '', 1, $3, $3)",
                brand,
                brand.hex,
                uow.now,
            )
        for seller, owner in zip(self.sellers, self.owners, strict=True):
            await uow.connection.execute(
                "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, description, state, contact,"
                " prep_duration, time_zone, opening_hours, approve_time, create_time, update_time)"
                " VALUES ($1, $2, $3, 'Shop', '', 'ACTIVE', '{}', '10 minutes', 'UTC', '[]', $4, $4, $4)",
                seller,
                owner.known_user_id,
                seller.hex,
                uow.now,
            )
        await uow.connection.execute(
            "INSERT INTO products (product_id, seller_id, handle, slug, title, title_key, description, category_id,"
            " brand_id, tags, option_names, currency, price_minor, rating_average_milli, rating_count, state, version,"
            " create_time, update_time)"
            " SELECT product_id, seller_id, slug, slug, title, title_key, 'long text', category_id, brand_id, '{}',"
            " '{}', 'EUR', price_minor, rating, 1, state, 1, $2, $2 FROM jsonb_to_recordset($1::jsonb) AS r("
            " product_id uuid, seller_id uuid, slug text, title text, title_key text, category_id uuid, brand_id uuid,"
            " price_minor bigint, rating int, state text)",
            to_json(self.products),
            uow.now,
        )
        await uow.connection.execute(
            "INSERT INTO variants (variant_id, product_id, seller_id, sku, sku_key, options, options_key, price_minor,"
            " is_active, barcode, weight_grams, position, version, create_time, update_time)"
            " SELECT product_id, product_id, seller_id, '', '', '[]', '', price_minor, true, '', 0, 1, 1, now(), now()"
            " FROM products"
        )

    def expected(self, order: int, **wanted: Any) -> list[str]:
        """What a list must give, worked out in Python."""

        def matches(product: dict[str, Any]) -> bool:
            below: dict[UUID, set[UUID]] = {
                self.top: {self.top, self.middle, self.leaf},
                self.middle: {self.middle, self.leaf},
                self.leaf: {self.leaf},
            }
            return all(
                product["category_id"] in below[value] if name == "category_id" else product[name] == value
                for name, value in wanted.items()
            )

        found = [product for product in self.products if matches(product)]
        keys: dict[int, Callable[[dict[str, Any]], tuple[Any, ...]]] = {
            pb.PRODUCT_ORDER_NEWEST: lambda product: (product["product_id"],),
            pb.PRODUCT_ORDER_PRICE_ASC: lambda product: (product["price_minor"], product["product_id"]),
            pb.PRODUCT_ORDER_PRICE_DESC: lambda product: (product["price_minor"], product["product_id"]),
            pb.PRODUCT_ORDER_TITLE: lambda product: (product["title_key"].encode(), product["product_id"]),
            pb.PRODUCT_ORDER_RATING: lambda product: (product["rating"], product["product_id"]),
        }
        key = keys[order]
        downwards = order in (pb.PRODUCT_ORDER_NEWEST, pb.PRODUCT_ORDER_PRICE_DESC, pb.PRODUCT_ORDER_RATING)
        return [str(product["product_id"]) for product in sorted(found, key=key, reverse=downwards)]

    async def walk(self, caller: Caller = ANONYMOUS, page_size: int = 7, **fields: Any) -> list[str]:
        """All ids of a list, page by page."""
        found: list[str] = []
        token = ""
        while True:
            page = await self.page(caller, page_size=page_size, page_token=token, **fields)
            found += [product.product_id for product in page.products]
            token = page.next_page_token
            if not token:
                return found

    async def page(self, caller: Caller = ANONYMOUS, **fields: Any) -> pb.ListProductsResponse:
        """One page as anybody."""
        calls.enter(Call(caller=caller))
        ids: dict[str, Any] = {name: str(value) if isinstance(value, UUID) else value for name, value in fields.items()}
        return await self.catalog.ListProducts(pb.ListProductsRequest(**ids), CONTEXT)


@pytest.fixture
async def world(tx: Transactor) -> World:
    return await World(tx).fill(60)


@pytest.mark.parametrize("order", ORDERS)
async def test_every_order_and_filter_gives_each_product_once_page_by_page(world: World, order: int) -> None:
    brand, seller = world.brands[0], world.sellers[0]
    filters: list[dict[str, Any]] = [
        {},
        {"category_id": world.top},
        {"category_id": world.leaf},
        {"brand_id": brand},
        {"seller_id": seller},
        {"category_id": world.middle, "brand_id": brand, "seller_id": seller},
    ]
    for wanted in filters:
        assert await world.walk(order=order, **wanted) == world.expected(order, state="PUBLISHED", **wanted)


async def test_unknown_filters_give_an_empty_list(world: World) -> None:
    unknown: list[dict[str, Any]] = [{name: uuid4()} for name in ("category_id", "brand_id", "seller_id")]
    for wanted in unknown:
        assert await world.walk(**wanted) == []


async def test_drafts_are_listed_only_for_their_seller_and_admins(world: World) -> None:
    own, other = world.sellers
    owner = world.owners[0]
    newest, draft = pb.PRODUCT_ORDER_NEWEST, product_pb2.PRODUCT_STATE_DRAFT
    assert await world.walk(owner, seller_id=own) == world.expected(newest, seller_id=own)
    assert await world.walk(owner, state=draft) == world.expected(newest, seller_id=own, state="DRAFT")
    assert await world.walk(owner, seller_id=other) == world.expected(newest, seller_id=other, state="PUBLISHED")
    assert await world.walk(owner, seller_id=other, state=draft) == []
    assert await world.walk(owner) == world.expected(newest, state="PUBLISHED")
    assert await world.walk(ANONYMOUS, state=draft) == []
    assert await world.walk(ANONYMOUS, seller_id=own) == world.expected(newest, seller_id=own, state="PUBLISHED")
    assert await world.walk(ADMIN, state=draft) == world.expected(newest, state="DRAFT")
    assert await world.walk(ADMIN, seller_id=own, state=draft) == world.expected(newest, seller_id=own, state="DRAFT")


async def test_only_lists_that_are_the_same_for_everybody_may_be_kept(world: World) -> None:
    async def tag(caller: Caller, **fields: Any) -> str:
        call = Call(caller=caller)
        calls.enter(call)
        await world.catalog.ListProducts(pb.ListProductsRequest(**fields), CONTEXT)
        return call.cache_tag

    seller = str(world.sellers[0])
    assert await tag(ANONYMOUS) == "catalog"
    assert await tag(ANONYMOUS, seller_id=seller, state=product_pb2.PRODUCT_STATE_PUBLISHED) == "catalog"
    # The seller itself sends the same bytes and sees its drafts as well.
    assert await tag(ANONYMOUS, seller_id=seller) == ""
    assert await tag(world.owners[0], seller_id=seller) == ""
    assert await tag(ADMIN, state=product_pb2.PRODUCT_STATE_DRAFT) == ""


async def test_a_page_token_belongs_to_its_query_and_private_ones_to_their_caller(world: World) -> None:
    public = (await world.page(page_size=5)).next_page_token
    assert (await world.page(world.owners[0], page_size=9, page_token=public)).products
    seller = world.sellers[0]
    private = (await world.page(world.owners[0], page_size=5, seller_id=seller)).next_page_token
    for caller, fields in (
        (ANONYMOUS, {"page_token": public, "order": pb.PRODUCT_ORDER_TITLE}),
        (ANONYMOUS, {"page_token": public, "category_id": world.top}),
        (world.owners[1], {"page_token": private, "seller_id": seller}),
        (ANONYMOUS, {"page_token": public[:-2]}),
        (ANONYMOUS, {"page_token": "ä"}),
    ):
        with pytest.raises(PageTokenInvalid):
            await world.page(caller, **fields)


async def test_a_listed_product_has_its_variants_but_not_its_description(world: World) -> None:
    product = (await world.page(page_size=1)).products[0]
    assert product.description == ""
    assert len(product.variants) == 1
    assert product.rating.count == 1


async def test_a_page_ends_early_rather_than_grow_too_large_for_a_message(world: World) -> None:
    await world.tx.run(
        "t", lambda uow: uow.connection.execute("UPDATE products SET tags = array_fill(repeat('x', 255), '{500}')")
    )
    page = await world.page(page_size=50)
    assert 1 <= len(page.products) < 50
    assert page.ByteSize() <= MAX_PAGE_BYTES + 1000
    assert await world.walk(page_size=50) == world.expected(pb.PRODUCT_ORDER_NEWEST, state="PUBLISHED")


class _Explained:
    """Stands in for a connection, and explains what it is asked instead."""

    def __init__(self, unit: ReadUnit) -> None:
        self._unit = unit
        self.plan = ""

    async def fetch(self, statement: str, *values: object) -> list[object]:
        rows = await self._unit.connection.fetch(f"EXPLAIN {statement}", *values)
        self.plan = "\n".join(row[0] for row in rows)
        return []


@pytest.mark.parametrize("order", list(ProductOrder))
async def test_every_page_comes_from_an_index_in_its_order(tx: Transactor, order: ProductOrder) -> None:
    world = await World(tx).fill(1500, others=40)
    await tx.run("t", lambda uow: uow.connection.execute("ANALYZE products, categories, brands, variants"))
    column = {"NEWEST": "newest", "TITLE": "title", "RATING": "rating"}.get(order.value, "price")
    cursors = {"NEWEST": (), "TITLE": ("b",), "RATING": (2000,)}
    cursor = (*cursors.get(order.value, (200,)), str(world.products[700]["product_id"]))
    published = ProductState.PUBLISHED
    scopes = {
        "all": ProductQuery(None, None, None, published, order),
        "category": ProductQuery(world.top, None, None, published, order),
        "brand": ProductQuery(None, world.brands[0], None, published, order),
        "seller": ProductQuery(None, None, world.sellers[0], None, order),
    }
    for scope, query in scopes.items():
        for after in (None, cursor):

            async def explain(unit: ReadUnit, query: ProductQuery = query, after: Any = after) -> str:
                await unit.connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
                explained = _Explained(unit)
                await repository.list_products(explained, query, after, 21)  # type: ignore[arg-type] # only fetches
                await unit.connection.execute("RESET enable_seqscan; RESET enable_bitmapscan")
                return explained.plan

            plan = await tx.read(explain)
            # With most products published, the newest of all may as well come from the primary key's index.
            index = re.search(rf"using (ix_products_{scope}_{column}|pk_products) on products p_1", plan)
            assert index is not None, plan
            # What is sorted is at most a page of each category, never the products.
            inner = plan[: index.start()].rsplit("Limit", 1)[-1]
            assert "Sort" not in inner, plan
