"""The statements that read products as they are shown; specs.py has those that write what sellers decide.

A product comes with its variants and pictures in one statement: Postgres gathers them as arrays of rows, which asyncpg
reads natively. How many pieces there are is inventory's to say, so its SQL stands among the columns of a variant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from marketd.catalog.model import stock_state
from marketd.catalog.names import Options
from marketd.catalog.values import Product, ProductImage, ProductOrder, ProductQuery, Variant
from marketd.inventory import service as inventory
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns, where

# ruff: noqa: S608 - every interpolated part is one of the constants here
# A list shows so much of each product; GetProduct shows all. A page must stay below the size of a message.
LISTED_VARIANTS = 20
LISTED_IMAGES = 5

ProductKey: TypeAlias = tuple[str | int | UUID, ...]
"""Where a product stands in a list: what the order sorts by, and its id."""

# The column that an order sorts by before the id, and whether it runs downwards.
_ORDERS: dict[ProductOrder, tuple[str | None, bool]] = {
    ProductOrder.NEWEST: (None, True),
    ProductOrder.PRICE_ASC: ("price_minor", False),
    ProductOrder.PRICE_DESC: ("price_minor", True),
    ProductOrder.TITLE: ("title_key", False),
    ProductOrder.RATING: ("rating_average_milli", True),
}


def _options(text: str) -> Options:
    return tuple((name, value) for name, value in json.loads(text)) if text != "[]" else ()


def _ids(text: str) -> tuple[UUID, ...]:
    return tuple(UUID(each) for each in text.strip("{}").split(",") if each)


# asyncpg decodes neither JSON nor an array inside of a row, so both come as text.
_VARIANT = Columns(
    Variant,
    table="v",
    expressions={"options": "v.options::text", "stock_state": inventory.available_sql("v.variant_id")},
    readers={"options": _options, "stock_state": stock_state},
)
_IMAGE = Columns(
    ProductImage, table="i", expressions={"variant_ids": "i.variant_ids::text"}, readers={"variant_ids": _ids}
)
_VARIANTS = f"SELECT {_VARIANT.row_sql} FROM variants v WHERE v.product_id = p.product_id ORDER BY v.position"
_IMAGES = f"SELECT {_IMAGE.row_sql} FROM product_images i WHERE i.product_id = p.product_id ORDER BY i.position"


def _each(columns: Columns[Any]) -> Callable[[Sequence[Any] | None], tuple[Any, ...]]:
    return lambda rows: tuple(map(columns.from_tuple, rows or ()))


def _product(expressions: dict[str, str]) -> Columns[Product]:
    readers = {"variants": _each(_VARIANT), "images": _each(_IMAGE)}
    return Columns(Product, table="p", expressions=expressions, readers=readers)


_WHOLE = _product(
    {
        "variants": f"CASE WHEN $2 THEN ARRAY({_VARIANTS}) END",
        "images": f"CASE WHEN $3 THEN ARRAY({_IMAGES}) END",
    }
)
_LISTED = _product(
    {
        "description": "''",
        "variants": f"ARRAY({_VARIANTS} LIMIT {LISTED_VARIANTS})",
        "images": f"ARRAY({_IMAGES} LIMIT {LISTED_IMAGES})",
    }
)


async def read(
    connection: Connection, product_id: UUID | None, slug: str = "", *, variants: bool = True, images: bool = True
) -> Product | None:
    """A product in any state by its id, or by its slug when that is None."""
    column, key = ("slug", slug) if product_id is None else ("product_id", product_id)
    return _WHOLE.optional(
        await connection.fetchrow(f"SELECT {_WHOLE.sql} FROM products p WHERE p.{column} = $1", key, variants, images)
    )


async def list_products(
    connection: Connection, query: ProductQuery, after: ProductKey | None, limit: int
) -> list[Product]:
    """The next `limit` products after the one with that key. Whoever calls has decided on `query.state`.

    A category stands for itself and all below it: each of them gives its first `limit` from its own index, and the
    best of those are taken, so the cost does not grow with the number of products.
    """
    arguments = Arguments(limit)
    column, downwards = _ORDERS[query.order]
    keys = [column, "product_id"] if column else ["product_id"]
    conditions = [
        f"p.{name} = {arguments.add(value)}"
        for name, value in (
            ("state", None if query.state is None else query.state.value),
            ("brand_id", query.brand_id),
            ("seller_id", query.seller_id),
        )
        if value is not None
    ]
    if after is not None:
        key = ", ".join(arguments.add(part) for part in after)
        conditions.append(f"({', '.join(f'p.{key}' for key in keys)}) {'<' if downwards else '>'} ({key})")
    if query.category_id is not None:
        conditions.append("p.category_id = c.category_id")

    def order(alias: str) -> str:
        return " ORDER BY " + ", ".join(f"{alias}.{key}{' DESC' if downwards else ''}" for key in keys) + " LIMIT $1"

    page = f"SELECT {', '.join(f'p.{key}' for key in keys)} FROM products p{where(conditions)}{order('p')}"
    if query.category_id is not None:
        page = (
            f"SELECT l.* FROM categories c CROSS JOIN LATERAL ({page}) l"
            f" WHERE c.path @> ARRAY[{arguments.add(query.category_id)}::uuid]" + order("l")
        )
    statement = f"WITH page AS ({page}) SELECT {_LISTED.sql} FROM page JOIN products p USING (product_id)" + order("p")
    return _LISTED.values(await connection.fetch(statement, *arguments))


def cursor_of(product: Product, order: ProductOrder) -> ProductKey:
    """Where the product stands in a list of this order."""
    column, _ = _ORDERS[order]
    return (getattr(product, column), product.product_id) if column else (product.product_id,)
