"""Lists of products on real Postgres: every order and filter, page by page, from an index, and nobody's drafts."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.catalog.model import ProductState
from marketd.catalog.names import title_key
from marketd.catalog.repository import products as repository
from marketd.catalog.servicer import CatalogServicer
from marketd.catalog.values import Order, ProductQuery
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.pages import MAX_PAGE_BYTES
from marketd.kernel.call.refusals import PageTokenInvalid, ValidationFailed
from marketd.kernel.db.sql import Arguments
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import to_json
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2

from tests.worlds.built import Built
from tests.worlds.parts import make_parts

CONTEXT: Any = None  # no method here looks at it
MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRAFT, PUBLISHED = product_pb2.PRODUCT_STATE_DRAFT, product_pb2.PRODUCT_STATE_PUBLISHED
ADMIN = Caller(new_id(), None, frozenset({Role.ADMIN}))
ORDERS = [f"{name}{way}" for name in ("create_time", "price", "title", "rating") for way in ("", " desc")]
NEWEST = "create_time desc"


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
                    # Made by overlapping transactions: the order of the ids is not that of the instants.
                    "create_time": MADE - timedelta(minutes=pick.randrange(count)),
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
                "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, shop_name_key, description, state,"
                " contact, prep_duration, time_zone, opening_hours, approve_time, create_time, update_time)"
                " VALUES ($1, $2, $3, 'Shop', 'shop', '', 'ACTIVE', '{}', '10 minutes', 'UTC', '[]', $4, $4, $4)",
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
            " '{}', 'EUR', price_minor, rating, 1, state, 1, create_time, $2 FROM jsonb_to_recordset($1::jsonb) AS r("
            " product_id uuid, seller_id uuid, slug text, title text, title_key text, category_id uuid, brand_id uuid,"
            " price_minor bigint, rating int, state text, create_time timestamptz)",
            to_json(self.products),
            uow.now,
        )
        await uow.connection.execute(
            "INSERT INTO variants (variant_id, product_id, seller_id, sku, sku_key, options, options_key, price_minor,"
            " active, barcode, weight_grams, position, version, create_time, update_time)"
            " SELECT product_id, product_id, seller_id, '', '', '[]', '', price_minor, true, '', 0, 1, 1, now(), now()"
            " FROM products"
        )

    def expected(self, order: str, **wanted: Any) -> list[str]:
        """What a list must give, worked out in Python. wanted: a value or a list of values a column."""

        def matches(product: dict[str, Any]) -> bool:
            below: dict[UUID, set[UUID]] = {
                self.top: {self.top, self.middle, self.leaf},
                self.middle: {self.middle, self.leaf},
                self.leaf: {self.leaf},
            }
            for name, values in wanted.items():
                found = values if isinstance(values, list) else [values]
                if name == "category_id":
                    found = [each for value in found for each in below[value]]
                if product[name] not in found:
                    return False
            return True

        name, _, way = order.partition(" ")
        keys: dict[str, Callable[[dict[str, Any]], Any]] = {
            "create_time": lambda product: product["create_time"],
            "price": lambda product: product["price_minor"],
            "title": lambda product: product["title_key"].encode(),
            "rating": lambda product: product["rating"],
        }
        found = sorted(
            (product for product in self.products if matches(product)),
            key=lambda product: (keys[name](product), product["product_id"]),
            reverse=way == "desc",
        )
        return [str(product["product_id"]) for product in found]

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
        texts: dict[str, Any] = {
            name: list(map(str, value)) if name.endswith("_ids") else value for name, value in fields.items()
        }
        return await self.catalog.ListProducts(pb.ListProductsRequest(**texts), CONTEXT)


@pytest.fixture
async def world(tx: Transactor) -> World:
    return await World(tx).fill(60)


@pytest.mark.parametrize("order", ORDERS)
async def test_every_order_and_filter_gives_each_product_once_page_by_page(world: World, order: str) -> None:
    brand, seller = world.brands[0], world.sellers[0]
    filters: list[dict[str, list[UUID]]] = [
        {},
        {"category_id": [world.top]},
        {"category_id": [world.leaf]},
        {"category_id": [world.leaf, world.middle]},
        {"brand_id": [brand]},
        {"brand_id": world.brands},
        {"seller_id": [seller]},
        {"category_id": [world.middle], "brand_id": world.brands, "seller_id": world.sellers},
        {"category_id": [world.middle], "brand_id": [brand], "seller_id": [seller]},
    ]
    for wanted in filters:
        given: dict[str, Any] = {f"{name}s": values for name, values in wanted.items()}
        assert await world.walk(order_by=order, **given) == world.expected(order, state="PUBLISHED", **wanted), wanted


async def test_the_newest_come_first_when_no_order_is_asked_for(world: World) -> None:
    assert await world.walk() == world.expected(NEWEST, state="PUBLISHED")
    for order in ("newest", "price up", "price desc, title", "price_minor"):
        with pytest.raises(ValidationFailed) as refused:
            await world.page(order_by=order)
        assert refused.value.fields[0].field == "order_by"


async def test_a_filter_value_given_twice_counts_once(world: World) -> None:
    brand = world.brands[0]
    given = await world.walk(brand_ids=[brand, str(brand).upper()], states=[PUBLISHED, PUBLISHED])
    assert given == world.expected(NEWEST, state="PUBLISHED", brand_id=brand)


async def test_unknown_filters_give_an_empty_list(world: World) -> None:
    for name in ("category_ids", "brand_ids", "seller_ids"):
        unknown: dict[str, Any] = {name: [uuid4()]}
        assert await world.walk(**unknown) == []


async def test_long_lists_of_every_filter_are_not_looked_up_in_every_combination(world: World) -> None:
    brand, seller = world.brands[0], world.sellers[0]
    many: dict[str, Any] = {
        "category_ids": [world.top, *(uuid4() for _ in range(99))],
        "brand_ids": [brand, *(uuid4() for _ in range(99))],
        "seller_ids": [seller, *(uuid4() for _ in range(99))],
    }
    few: dict[str, Any] = {"category_ids": [world.top], "brand_ids": [brand], "seller_ids": [seller]}
    assert await world.walk(**many) == await world.walk(**few) != []
    # Whether it is a condition or a place of a lookup cannot be seen from outside, but for the time it takes.
    named: dict[str, Any] = {name: tuple(ids) for name, ids in many.items()}
    query = ProductQuery(states=(ProductState.PUBLISHED,), **named)
    sources, conditions = repository._narrowed(query, Arguments())
    assert len(sources) == 1
    assert sum("ANY" in condition for condition in conditions) == 2


async def test_drafts_are_listed_only_for_their_seller_and_admins(world: World) -> None:
    own, other = world.sellers
    owner = world.owners[0]

    async def holds(caller: Caller, given: dict[str, Any], **wanted: Any) -> None:
        assert await world.walk(caller, **given) == world.expected(NEWEST, **wanted), given

    await holds(owner, {"seller_ids": [own]}, seller_id=own)
    await holds(owner, {"states": [DRAFT]}, seller_id=own, state="DRAFT")
    await holds(owner, {"seller_ids": [other]}, seller_id=other, state="PUBLISHED")
    await holds(owner, {"seller_ids": [own, other]}, state="PUBLISHED")
    await holds(owner, {}, state="PUBLISHED")
    await holds(ANONYMOUS, {"seller_ids": [own]}, seller_id=own, state="PUBLISHED")
    await holds(ANONYMOUS, {"states": [DRAFT, PUBLISHED]}, state="PUBLISHED")
    await holds(ADMIN, {"states": [DRAFT]}, state="DRAFT")
    await holds(ADMIN, {"seller_ids": [own]}, seller_id=own, state="PUBLISHED")
    await holds(ADMIN, {"states": [DRAFT, PUBLISHED]})
    await holds(ADMIN, {"seller_ids": [own], "states": [DRAFT]}, seller_id=own, state="DRAFT")
    for caller, given in ((owner, {"seller_ids": [other], "states": [DRAFT]}), (ANONYMOUS, {"states": [DRAFT]})):
        assert await world.walk(caller, **given) == []


@pytest.mark.parametrize("order", ORDERS)
async def test_ones_own_drafts_stand_among_everybodys_published_ones(world: World, order: str) -> None:
    own = world.sellers[0]
    every = world.expected(order, state="PUBLISHED") + world.expected(order, seller_id=own, state="DRAFT")
    wanted = [product_id for product_id in world.expected(order) if product_id in every]
    assert await world.walk(world.owners[0], states=[DRAFT, PUBLISHED], order_by=order) == wanted


async def test_only_lists_that_are_the_same_for_everybody_may_be_kept(world: World) -> None:
    async def tag(caller: Caller, **fields: Any) -> str:
        call = Call(caller=caller)
        calls.enter(call)
        await world.catalog.ListProducts(pb.ListProductsRequest(**fields), CONTEXT)
        return call.cache_tag

    seller = str(world.sellers[0])
    assert await tag(ANONYMOUS) == "catalog"
    assert await tag(ANONYMOUS, seller_ids=[seller], states=[PUBLISHED]) == "catalog"
    # The seller itself sends the same bytes and sees its drafts as well.
    assert await tag(ANONYMOUS, seller_ids=[seller]) == ""
    assert await tag(world.owners[0], seller_ids=[seller]) == ""
    assert await tag(ADMIN, states=[DRAFT]) == ""


async def test_a_page_token_belongs_to_its_query_and_private_ones_to_their_caller(world: World) -> None:
    public = (await world.page(page_size=5)).next_page_token
    assert (await world.page(world.owners[0], page_size=9, page_token=public)).products
    seller = world.sellers[0]
    private = (await world.page(world.owners[0], page_size=5, seller_ids=[seller])).next_page_token
    for caller, fields in (
        (ANONYMOUS, {"page_token": public, "order_by": "title"}),
        (ANONYMOUS, {"page_token": public, "category_ids": [world.top]}),
        (world.owners[1], {"page_token": private, "seller_ids": [seller]}),
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
    assert await world.walk(page_size=50) == world.expected(NEWEST, state="PUBLISHED")


class _Explained:
    """Stands in for a connection, and explains what it is asked instead."""

    def __init__(self, unit: ReadUnit) -> None:
        self._unit = unit
        self.plan = ""

    async def fetch(self, statement: str, *values: object) -> list[object]:
        rows = await self._unit.connection.fetch(f"EXPLAIN {statement}", *values)
        self.plan = "\n".join(row[0] for row in rows)
        return []


@pytest.mark.parametrize("name", repository.ORDERS)
async def test_every_page_comes_from_an_index_in_its_order(tx: Transactor, name: str) -> None:
    world = await World(tx).fill(1500, others=40)
    await tx.run("t", lambda uow: uow.connection.execute("ANALYZE products, categories, brands, variants"))
    cursors: dict[str, object] = {"create_time": MADE, "title": "b"}
    cursor = (cursors.get(name, 200), world.products[700]["product_id"])
    published = (ProductState.PUBLISHED,)
    both = (ProductState.PUBLISHED, ProductState.DRAFT)
    scopes = {
        "all": (ProductQuery(states=published), ProductQuery(states=both)),
        "category": (ProductQuery(category_ids=(world.top, world.others[0]), states=published),),
        "brand": (
            ProductQuery(brand_ids=(world.brands[0],), states=published),
            ProductQuery(brand_ids=tuple(world.brands[:3]), states=both),
        ),
        "seller": (ProductQuery(seller_ids=(world.sellers[0],)), ProductQuery(seller_ids=tuple(world.sellers))),
    }
    for scope, queries in scopes.items():
        for query, after, descending in itertools.product(queries, (None, cursor), (False, True)):
            order = Order(name, descending)

            async def explain(
                unit: ReadUnit, query: ProductQuery = query, after: Any = after, order: Order = order
            ) -> str:
                await unit.connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
                explained = _Explained(unit)
                await repository.list_products(explained, [query], order, after, 21)  # type: ignore[arg-type] # fetches
                await unit.connection.execute("RESET enable_seqscan; RESET enable_bitmapscan")
                return explained.plan

            plan = await tx.read(explain)
            index = re.search(rf"using ix_products_{scope}_{name} on products p_1", plan)
            assert index is not None, plan
            # What is sorted is at most a page of each category, brand, seller or state, never the products.
            inner = plan[: index.start()].rsplit("Limit", 1)[-1]
            assert "Sort" not in inner, plan
