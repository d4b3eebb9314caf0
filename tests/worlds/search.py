"""A small marketplace to search in: few values of everything, so that filters overlap, and an oracle beside it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from marketd.catalog.names import title_key
from marketd.catalog.search import documents, words
from marketd.catalog.servicer import CatalogServicer
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import ANONYMOUS
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import to_json
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as pb

from tests.worlds.built import Built
from tests.worlds.parts import make_parts

CONTEXT: Any = None  # no method here looks at it
MADE: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
COLORS: Final = ("Red", "Blue", "Green")
SIZES: Final = ("S", "M")
MATERIALS: Final = ("Linen", "Wool")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A product of the world. `color` is an attribute, `sizes` are options of its variants."""

    product_id: UUID
    seller_id: UUID
    title: str
    category_id: UUID | None
    brand_id: UUID | None
    price_minor: int
    rating: int
    in_stock: bool
    color: str
    material: str
    sizes: tuple[str, ...]
    state: str
    publish_time: datetime
    sold: int = 0

    def row(self) -> dict[str, Any]:
        """For jsonb_to_recordset."""
        return {
            "product_id": self.product_id,
            "seller_id": self.seller_id,
            "title": self.title,
            "title_key": title_key(self.title),
            "category_id": self.category_id,
            "brand_id": self.brand_id,
            "price_minor": self.price_minor,
            "rating": self.rating,
            "state": self.state,
            "publish_time": self.publish_time,
            "attributes": {"Color": self.color, "Material": self.material},
            "sizes": list(self.sizes),
            "on_hand": 5 if self.in_stock else 0,
        }


@dataclass
class SearchWorld:
    """Categories top > middle > leaf and another one, three brands, two shops that sell and one that is suspended."""

    tx: Transactor
    things: list[Thing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.catalog = Built(make_parts(self.tx), "catalog").servicer(CatalogServicer)
        self.top, self.middle, self.leaf, self.other = (new_id() for _ in range(4))
        self.brands = [new_id() for _ in range(3)]
        self.sellers = [new_id() for _ in range(2)]
        self.suspended = new_id()

    async def fill(self, count: int) -> SearchWorld:
        """Make `count` products, a ninth of them drafts and an eleventh of the suspended shop."""
        await self.tx.run("test.search_world", self._write_places)
        await self.add(count)
        return self

    async def add(self, count: int) -> list[Thing]:
        """Further ones."""
        pick = random.Random(count)  # noqa: S311 - the same world every time
        categories = (self.top, self.middle, self.leaf, self.other, None)
        new = [
            Thing(
                product_id=new_id(),
                seller_id=self.suspended if number % 11 == 5 else pick.choice(self.sellers),
                title=f"{pick.choice(('Cup', 'Café bowl', 'Deep plate'))} {number}",
                category_id=pick.choice(categories),
                brand_id=pick.choice([*self.brands, None]),
                price_minor=pick.choice((0, 99, 500, 1999, 2000, 4999, 12_000)),
                rating=pick.choice((0, 1000, 2500, 4000, 4333, 5000)),
                in_stock=pick.random() < 0.7,
                color=pick.choice(COLORS),
                material=pick.choice(MATERIALS),
                sizes=tuple(pick.sample(SIZES, pick.randint(0, 2))),
                state="DRAFT" if number % 9 == 4 else "PUBLISHED",
                publish_time=MADE - timedelta(minutes=pick.randrange(count)),
            )
            for number in range(count)
        ]
        self.things += new
        await self.tx.run("test.search_things", lambda uow: self._write_things(uow, new))
        return new

    def found(self, meets: Callable[[Thing], bool] = lambda _: True) -> set[str]:
        """The ids of what a search may find that meets this."""
        return {
            str(thing.product_id)
            for thing in self.things
            if thing.state == "PUBLISHED" and thing.seller_id != self.suspended and meets(thing)
        }

    async def search(self, **asked: Any) -> pb.SearchProductsResponse:
        """One page, as nobody in particular. Prices may be given in minor units."""
        calls.enter(Call(caller=ANONYMOUS))
        return await self.catalog.SearchProducts(pb.SearchProductsRequest(**asked), CONTEXT)

    async def walk(self, **asked: Any) -> list[str]:
        """The ids of all pages."""
        ids: list[str] = []
        token = ""
        while True:
            page = await self.search(**{"page_size": 100, **asked}, page_token=token)
            ids += [product.product_id for product in page.products]
            token = page.next_page_token
            if not token:
                return ids

    async def _write_places(self, uow: UnitOfWork) -> None:
        await uow.connection.execute("UPDATE search_state SET language = 'english'")
        for parent, child in ((None, self.top), (self.top, self.middle), (self.middle, self.leaf), (None, self.other)):
            await uow.connection.execute(
                "INSERT INTO categories (category_id, parent_category_id, name, name_key, slug, description, position,"
                " path, version, create_time, update_time) VALUES ($1, $2, $3, $3, $3, '', 0,"
                " COALESCE((SELECT path FROM categories WHERE category_id = $2), '{}') || ARRAY[$1::uuid], 1, $4, $4)",
                child,
                parent,
                f"c{child.hex}",
                uow.now,
            )
        for brand in self.brands:
            await uow.connection.execute(
                "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
                " VALUES ($1, $2, $2, $2, '', 1, $3, $3)",
                brand,
                f"b{brand.hex}",
                uow.now,
            )
        for seller in (*self.sellers, self.suspended):
            await uow.connection.execute(
                "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, shop_name_key, description, state,"
                " contact, prep_duration, time_zone, opening_hours, approve_time, create_time, update_time)"
                " VALUES ($1, $1, $2, $2, $2, '', $3, '{}', '10 minutes', 'UTC', '[]', $4, $4, $4)",
                seller,
                f"s{seller.hex}",
                "SUSPENDED" if seller == self.suspended else "ACTIVE",
                uow.now,
            )

    async def _write_things(self, uow: UnitOfWork, things: Iterable[Thing]) -> None:
        rows = [thing.row() for thing in things]
        for statement in _THINGS:
            await uow.connection.execute(statement, to_json(rows))
        await documents.write_documents(uow.connection, [row["product_id"] for row in rows])
        while await words.count(uow.connection):
            pass


_ROWS = (
    "jsonb_to_recordset($1::jsonb) AS r(product_id uuid, seller_id uuid, title text, title_key text, category_id uuid,"
    " brand_id uuid, price_minor bigint, rating int, state text, publish_time timestamptz, attributes jsonb,"
    " sizes text[], on_hand int)"
)
_THINGS = (
    "INSERT INTO products (product_id, seller_id, handle, slug, title, title_key, description, category_id, brand_id,"
    " tags, attributes, option_names, currency, price_minor, rating_average_milli, rating_count, state, version,"
    " publish_time, create_time, update_time)"
    " SELECT product_id, seller_id, product_id, product_id, title, title_key, '', category_id, brand_id, '{}',"
    " attributes, '{}', 'EUR', price_minor, rating, CASE WHEN rating > 0 THEN 3 ELSE 0 END, state, 1, publish_time,"
    f" publish_time, publish_time FROM {_ROWS}",
    # A variant for each size, and one without options where there is none.
    "INSERT INTO variants (variant_id, product_id, seller_id, sku, sku_key, options, options_key, price_minor, active,"
    " barcode, weight_grams, position, version, create_time, update_time)"
    " SELECT gen_random_uuid(), product_id, seller_id, '', '',"
    " CASE WHEN size IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_array('Size', size)) END,"
    " COALESCE(size, ''), price_minor, true, '', 0, 1, 1, publish_time, publish_time"
    f" FROM {_ROWS} LEFT JOIN LATERAL unnest(sizes) size ON true",
    "INSERT INTO stocks (variant_id, seller_id, policy, on_hand, reserved, version, create_time, update_time)"
    " SELECT v.variant_id, v.seller_id, 'TRACKED', r.on_hand, 0, 1, now(), now()"
    f" FROM {_ROWS} JOIN variants v USING (product_id)",
)
