"""The statements that read products, variants and offers, on asyncpg connections; writing.py has those that write.

A product comes with its variants and pictures in one statement: Postgres gathers them as arrays of rows, which asyncpg
reads natively. The stock and the seller's state are read where inventory and seller keep them (`stocks`, `sellers`);
a second round trip for each would be the price of not knowing these two tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from marketd.catalog.model import ProductState, stock_state
from marketd.catalog.names import Options, options_title
from marketd.catalog.values import ImageView, Offer, ProductOrder, ProductQuery, ProductView, VariantView
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.db.sql import Arguments
from marketd.kernel.values.money import Money

_COLUMNS = (
    "p.product_id, p.seller_id, p.slug, p.title, p.title_key, p.category_id, p.brand_id, p.tags, p.option_names,"
    " p.currency, p.price_minor, p.compare_at_price_minor, p.rating_count, p.rating_average_milli, p.rating_histogram,"
    " p.state, p.publish_time, p.version, p.create_time, p.update_time"
)
_VARIANTS = (
    "ARRAY(SELECT ROW(v.variant_id, v.sku, v.options::text, v.price_minor, v.compare_at_price_minor,"
    " COALESCE(s.on_hand - s.reserved, 0), v.is_active, v.barcode, v.weight_grams, v.position, v.version,"
    " v.create_time, v.update_time)"
    " FROM variants v LEFT JOIN stocks s ON s.variant_id = v.variant_id"
    " WHERE v.product_id = p.product_id ORDER BY v.position{limit})"
)
_IMAGES = (
    "ARRAY(SELECT ROW(i.image_id, i.position, i.media_id, i.source_url, i.alt_text, i.variant_ids::text)"
    " FROM product_images i WHERE i.product_id = p.product_id ORDER BY i.position{limit})"
)

# A list shows so much of each product; GetProduct shows all. A page must stay below the size of a message.
LISTED_VARIANTS = 20
LISTED_IMAGES = 5

_GET = (
    f"SELECT {_COLUMNS}, p.description,"  # noqa: S608 - constant parts
    f" CASE WHEN $2 THEN {_VARIANTS.format(limit='')} END AS variants,"
    f" CASE WHEN $3 THEN {_IMAGES.format(limit='')} END AS images"
    " FROM products p WHERE "
)
_LISTED = (
    f"SELECT {_COLUMNS}, '' AS description,"
    f" {_VARIANTS.format(limit=f' LIMIT {LISTED_VARIANTS}')} AS variants,"
    f" {_IMAGES.format(limit=f' LIMIT {LISTED_IMAGES}')} AS images"
)

_OFFERS = """
SELECT v.variant_id, v.product_id, v.seller_id, p.title, v.options::text AS options, v.sku, v.price_minor,
  v.compare_at_price_minor, p.currency,
  v.is_active AND p.state = 'PUBLISHED' AND COALESCE(o.state = 'ACTIVE', false) AS is_buyable,
  COALESCE((SELECT i.source_url FROM product_images i WHERE i.product_id = v.product_id
    ORDER BY v.variant_id = ANY(i.variant_ids) DESC, i.position LIMIT 1), '') AS image_url
FROM variants v JOIN products p ON p.product_id = v.product_id LEFT JOIN sellers o ON o.seller_id = v.seller_id
WHERE v.variant_id = ANY($1::uuid[])
"""

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


async def read_by_id(
    connection: Connection, product_id: UUID, *, variants: bool = True, images: bool = True
) -> ProductView | None:
    """A product by its id, in any state."""
    row = await connection.fetchrow(_GET + "p.product_id = $1", product_id, variants, images)
    return None if row is None else product_view(row)


async def read_by_slug(
    connection: Connection, slug: str, *, variants: bool = True, images: bool = True
) -> ProductView | None:
    """A product by its slug, in any state."""
    row = await connection.fetchrow(_GET + "p.slug = $1", slug, variants, images)
    return None if row is None else product_view(row)


async def list_products(
    connection: Connection, query: ProductQuery, after: ProductKey | None, limit: int
) -> list[ProductView]:
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

    page = f"SELECT {', '.join(f'p.{key}' for key in keys)} FROM products p"  # noqa: S608 - constant names
    page += f" WHERE {' AND '.join(conditions) or 'true'}" + order("p")
    if query.category_id is not None:
        page = (
            f"SELECT l.* FROM categories c CROSS JOIN LATERAL ({page}) l"  # noqa: S608 - constant parts
            f" WHERE c.path @> ARRAY[{arguments.add(query.category_id)}::uuid]" + order("l")
        )
    statement = f"WITH page AS ({page}) {_LISTED} FROM page JOIN products p USING (product_id)" + order("p")
    return [product_view(row) for row in await connection.fetch(statement, *arguments)]


def cursor_of(product: ProductView, order: ProductOrder) -> ProductKey:
    """Where the product stands in a list of this order."""
    own: dict[ProductOrder, tuple[str | int, ...]] = {
        ProductOrder.NEWEST: (),
        ProductOrder.PRICE_ASC: (product.price.amount_minor,),
        ProductOrder.PRICE_DESC: (product.price.amount_minor,),
        ProductOrder.TITLE: (product.title_key,),
        ProductOrder.RATING: (product.rating_average_milli,),
    }
    return (*own[order], product.product_id)


async def read_offers(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Offer]:
    """The offers of these variants in one statement; unknown ones are left out."""
    rows = await connection.fetch(_OFFERS, list(variant_ids))
    return {
        row["variant_id"]: Offer(
            variant_id=row["variant_id"],
            product_id=row["product_id"],
            seller_id=row["seller_id"],
            title=row["title"],
            variant_title=options_title(read_options(row["options"])),
            sku=row["sku"],
            price=Money(row["price_minor"], row["currency"]),
            is_buyable=row["is_buyable"],
            image_url=row["image_url"],
            options=read_options(row["options"]),
            compare_at_price=_money(row["compare_at_price_minor"], row["currency"]),
        )
        for row in rows
    }


def read_options(text: str) -> Options:
    """The options of a variant as the database holds them."""
    return tuple((name, value) for name, value in json.loads(text)) if text != "[]" else ()


def product_view(row: Record) -> ProductView:
    """A product of a row with the columns of the statements above."""
    currency = row["currency"]
    return ProductView(
        product_id=row["product_id"],
        seller_id=row["seller_id"],
        slug=row["slug"],
        title=row["title"],
        title_key=row["title_key"],
        description=row["description"],
        category_id=row["category_id"],
        brand_id=row["brand_id"],
        tags=row["tags"],
        option_names=row["option_names"],
        price=Money(row["price_minor"], currency),
        compare_at_price=_money(row["compare_at_price_minor"], currency),
        rating_count=row["rating_count"],
        rating_average_milli=row["rating_average_milli"],
        rating_histogram=row["rating_histogram"],
        state=ProductState(row["state"]),
        publish_time=row["publish_time"],
        version=row["version"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        variants=[_variant(variant, currency) for variant in row["variants"] or ()],
        images=[_image(image) for image in row["images"] or ()],
    )


def _variant(row: Sequence[Any], currency: str) -> VariantView:
    """A row of `_VARIANTS`: its places are the columns there."""
    return VariantView(
        variant_id=row[0],
        sku=row[1],
        options=read_options(row[2]),
        price=Money(row[3], currency),
        compare_at_price=_money(row[4], currency),
        stock_state=stock_state(row[5]),
        is_active=row[6],
        barcode=row[7],
        weight_grams=row[8],
        position=row[9],
        version=row[10],
        create_time=row[11],
        update_time=row[12],
    )


def _image(row: Sequence[Any]) -> ImageView:
    """A row of `_IMAGES`."""
    image_id, position, media_id, url, alt_text, variant_ids = row
    # asyncpg decodes no array inside of a row, so it comes as text: {…,…}.
    shown = tuple(UUID(each) for each in variant_ids.strip("{}").split(",") if each)
    return ImageView(image_id, position, media_id, url, alt_text, shown)


def _money(amount_minor: int | None, currency: str) -> Money | None:
    return None if amount_minor is None else Money(amount_minor, currency)
