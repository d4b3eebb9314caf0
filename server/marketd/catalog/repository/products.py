"""The statements that read products as they are shown; specs.py has those that write what sellers decide.

A product comes with its variants and pictures in one statement: Postgres gathers them as arrays of rows, which asyncpg
reads natively. How many pieces there are is inventory's to say, whether a seller sells seller's, and which sizes a
picture has media's, so their SQL stands among the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from marketd.catalog.repository.nested import each, ids_of, options_of, picture_from
from marketd.catalog.values import Order, Product, ProductImage, ProductQuery, Variant
from marketd.inventory import service as inventory
from marketd.inventory.values import Availability
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns, where
from marketd.media import service as media
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is one of the constants here
# A list shows so much of each product; GetProduct shows all. A page must stay below the size of a message.
LISTED_VARIANTS = 20
LISTED_IMAGES = 5

ProductKey: TypeAlias = tuple[str | int | datetime | UUID, ...]
"""Where a product stands in a list: what the order sorts by, and its id."""

# The column that an order sorts by; the id makes it whole.
_SORTS = {
    "create_time": "create_time",
    "price": "price_key",
    "title": "title_key",
    "rating": "rating_average_milli",
}
ORDERS: Final = tuple(_SORTS)


_VARIANT = Columns(
    Variant,
    table="v",
    expressions={"options": "v.options::text", "availability": inventory.availability_sql("v.variant_id")},
    readers={"options": options_of, "availability": Availability.read},
)
_IMAGE = Columns(
    ProductImage,
    table="i",
    expressions={
        "variant_ids": "i.variant_ids::text",
        "picture": f"{media.PICTURE_SQL.format(media_id='i.media_id')}::text",
    },
    readers={"variant_ids": ids_of, "picture": picture_from},
)
_VARIANTS = (
    f"SELECT {_VARIANT.row_sql} FROM variants v WHERE v.product_id = p.product_id AND v.delete_time IS NULL"
    " ORDER BY v.position"
)
_IMAGES = f"SELECT {_IMAGE.row_sql} FROM product_images i WHERE i.product_id = p.product_id ORDER BY i.position"


def _product(expressions: dict[str, str]) -> Columns[Product]:
    readers = {"variants": each(_VARIANT), "images": each(_IMAGE)}
    return Columns(Product, table="p", expressions=expressions, readers=readers)


_SELLS = sellers.sells_sql("p.seller_id")
_WHOLE = _product(
    {
        "seller_sells": _SELLS,
        "variants": f"CASE WHEN $2 THEN ARRAY({_VARIANTS}) END",
        "images": f"CASE WHEN $3 THEN ARRAY({_IMAGES}) END",
    }
)
_LISTED = _product(
    {
        "seller_sells": _SELLS,
        "description": "''",
        "variants": f"ARRAY({_VARIANTS} LIMIT {LISTED_VARIANTS})",
        "images": f"ARRAY({_IMAGES} LIMIT {LISTED_IMAGES})",
    }
)


# One statement finds a product by the slug that it has or, only when nobody has that, by one that it had.
_BY_SLUG = (
    "COALESCE((SELECT product_id FROM products WHERE slug = $1 AND delete_time IS NULL),"
    " (SELECT product_id FROM product_slugs WHERE slug = $1))"
)


async def read(
    connection: Connection, product_id: UUID | None, slug: str = "", *, variants: bool = True, images: bool = True
) -> Product | None:
    """A product in any state by its id, or when that is None by its slug or one that it had; None for a deleted one."""
    which, key = (_BY_SLUG, slug) if product_id is None else ("$1", product_id)
    return _WHOLE.optional(
        await connection.fetchrow(
            f"SELECT {_WHOLE.sql} FROM products p WHERE p.product_id = {which} AND p.delete_time IS NULL",
            key,
            variants,
            images,
        )
    )


async def read_many(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, Product]:
    """These products in any state, each as in a list; what is not there is left out."""
    rows = await connection.fetch(
        f"SELECT {_LISTED.sql} FROM products p WHERE p.product_id = ANY($1::uuid[]) AND p.delete_time IS NULL",
        list(product_ids),
    )
    return {product.product_id: product for product in _LISTED.values(rows)}


async def read_variants(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Variant]:
    """These variants as they are shown; what is not there is left out."""
    rows = await connection.fetch(
        f"SELECT {_VARIANT.sql} FROM variants v WHERE v.variant_id = ANY($1::uuid[]) AND v.delete_time IS NULL",
        list(variant_ids),
    )
    return {variant.variant_id: variant for variant in _VARIANT.values(rows)}


async def list_products(
    connection: Connection, queries: Sequence[ProductQuery], order: Order, after: ProductKey | None, limit: int
) -> list[Product]:
    """The next `limit` products after the one with that key, of all that one of the queries gives.

    queries: at least one; no product meets two of them; whoever calls has decided on their `states`. What a query is
    narrowed to first (each category with all below it, each brand, each seller, and each state) has an index of its
    own for each order: it gives its first `limit`, and the best of those are taken, so the cost does not grow with the
    number of products.
    """
    arguments = Arguments(limit)
    keys = [_SORTS[order.name], "product_id"]
    way = " DESC" if order.descending else ""

    def sort(alias: str) -> str:
        return " ORDER BY " + ", ".join(f"{alias}{key}{way}" for key in keys) + " LIMIT $1"

    beyond = []
    if after is not None:
        key = ", ".join(arguments.add(part) for part in after)
        beyond.append(f"({', '.join(f'p.{key}' for key in keys)}) {'<' if order.descending else '>'} ({key})")
    columns = ", ".join(f"p.{key}" for key in keys)
    parts = []
    for query in queries:
        sources, conditions = _narrowed(query, arguments)
        part = f"SELECT {columns} FROM products p{where([*conditions, *beyond])}{sort('p.')}"
        if sources:
            part = f"SELECT l.* FROM {' CROSS JOIN '.join(sources)} CROSS JOIN LATERAL ({part}) l{sort('l.')}"
        parts.append(part)
    page = parts[0] if len(parts) == 1 else " UNION ALL ".join(f"({part})" for part in parts) + sort("")
    statement = f"WITH page AS ({page}) SELECT {_LISTED.sql} FROM page JOIN products p USING (product_id){sort('p.')}"
    return _LISTED.values(await connection.fetch(statement, *arguments))


_MOST_COMBINATIONS = 100


def _narrowed(query: ProductQuery, arguments: Arguments) -> tuple[list[str], list[str]]:
    """The rows for each of which a page is taken from an index, and the conditions on a product.

    Every combination of the values costs a look into an index. What would make too many is left to a condition: lists
    of a hundred values each are a million combinations, and anybody may ask.
    """
    sources: list[str] = []
    # One look at the seller a product, in the order of the index: a join could be planned against it. What a shop that
    # does not sell has is passed over, at a microsecond or so each.
    conditions = ["p.delete_time IS NULL"]
    if query.sells is not None:
        conditions.append(_SELLS if query.sells else f"NOT {_SELLS}")
    combinations = len(query.category_ids) or 1
    if query.category_ids:
        # A product is in one category, so none comes twice, however the given ones lie below each other.
        sources.append(
            f"(SELECT category_id FROM categories WHERE path && {arguments.add(list(query.category_ids))}::uuid[]) c"
        )
        conditions.append("p.category_id = c.category_id")
    for column, kind, values in (
        ("brand_id", "uuid", query.brand_ids),
        ("seller_id", "uuid", query.seller_ids),
        ("state", "text", [state.value for state in query.states]),
    ):
        if len(values) == 1:
            conditions.append(f"p.{column} = {arguments.add(values[0])}")
        elif column != "state" and sources and combinations * len(values) > _MOST_COMBINATIONS:
            conditions.append(f"p.{column} = ANY({arguments.add(list(values))}::{kind}[])")
        elif values:
            combinations *= len(values)
            sources.append(f"unnest({arguments.add(list(values))}::{kind}[]) any_{column}({column})")
            conditions.append(f"p.{column} = any_{column}.{column}")
    return sources, conditions


def cursor_of(product: Product, order: Order) -> ProductKey:
    """Where the product stands in a list of this order."""
    return getattr(product, _SORTS[order.name]), product.product_id


async def read_sellers(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Whose these products are, in any state; deleted and unknown ones are left out."""
    rows = await connection.fetch(
        "SELECT product_id, seller_id FROM products WHERE product_id = ANY($1::uuid[]) AND delete_time IS NULL",
        list(product_ids),
    )
    return {row["product_id"]: row["seller_id"] for row in rows}
