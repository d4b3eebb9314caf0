"""The statements by which an import looks at what a seller has, and makes the brands and categories it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from marketd.catalog.names import name_key, slugify
from marketd.catalog.repository.products import read_options
from marketd.catalog.repository.writes import (
    IMAGE_COLUMNS,
    PRODUCT_COLUMNS,
    VARIANT_COLUMNS,
    ImageRecord,
    ProductRecord,
    VariantRecord,
    names_of,
)
from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.values.ids import new_id

_PRODUCTS = f"SELECT {', '.join(names_of(PRODUCT_COLUMNS))} FROM products"  # noqa: S608 - constant names
_VARIANTS = (
    "SELECT "  # noqa: S608 - constant names
    + ", ".join(names_of(VARIANT_COLUMNS)).replace("options,", "options::text AS options,")
    + " FROM variants WHERE product_id = ANY($1::uuid[]) ORDER BY position"
)
_IMAGES = (
    f"SELECT {', '.join(names_of(IMAGE_COLUMNS))} FROM product_images"  # noqa: S608 - constant names
    " WHERE product_id = ANY($1::uuid[]) AND media_id IS NULL ORDER BY position"
)


async def lock_seller(connection: Connection, seller_id: UUID) -> None:
    """Keep other imports of the same seller waiting until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"catalog.import/{seller_id}")


async def read_products(connection: Connection, seller_id: UUID, handles: Sequence[str]) -> dict[str, ProductRecord]:
    """The seller's products of these handles by handle, locked in id order until the transaction ends."""
    rows = await connection.fetch(
        f"{_PRODUCTS} WHERE seller_id = $1 AND handle = ANY($2::text[]) ORDER BY product_id FOR UPDATE",
        seller_id,
        list(handles),
    )
    return {row["handle"]: _product(row) for row in rows}


def _product(row: Record) -> ProductRecord:
    values = dict(row)
    return ProductRecord(**values | {"tags": tuple(row["tags"]), "option_names": tuple(row["option_names"])})


async def read_variants(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, list[VariantRecord]]:
    """All variants of these products, by product."""
    found: dict[UUID, list[VariantRecord]] = {product_id: [] for product_id in product_ids}
    for row in await connection.fetch(_VARIANTS, list(product_ids)):
        values = dict(row)
        found[row["product_id"]].append(VariantRecord(**values | {"options": read_options(row["options"])}))
    return found


async def read_images(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, list[ImageRecord]]:
    """The pictures of these products that are shown from elsewhere, by product, in order."""
    found: dict[UUID, list[ImageRecord]] = {product_id: [] for product_id in product_ids}
    for row in await connection.fetch(_IMAGES, list(product_ids)):
        values = dict(row)
        found[row["product_id"]].append(ImageRecord(**values | {"variant_ids": tuple(row["variant_ids"])}))
    return found


async def read_sku_owners(connection: Connection, seller_id: UUID, skus: Sequence[str]) -> dict[str, UUID]:
    """The products whose variants have these SKUs."""
    rows = await connection.fetch(
        "SELECT sku, product_id FROM variants WHERE seller_id = $1 AND sku = ANY($2::text[]) AND sku <> ''",
        seller_id,
        list(skus),
    )
    return {row["sku"]: row["product_id"] for row in rows}


async def ensure_brands(
    connection: Connection, names: Iterable[str], now: datetime
) -> tuple[dict[str, UUID], frozenset[str]]:
    """The brands of these names, by name key, those that were missing made; and the keys of the latter."""
    return await _ensure(
        connection,
        names,
        now,
        "brand",
        "SELECT brand_id AS id, name_key FROM brands WHERE name_key = ANY($1::text[])",
        "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, '', 1, $5, $5) ON CONFLICT DO NOTHING RETURNING brand_id",
    )


async def ensure_categories(
    connection: Connection, names: Iterable[str], now: datetime
) -> tuple[dict[str, UUID], frozenset[str]]:
    """The categories of these names, by name key: the highest of a name, or a new one at the top; and the new keys."""
    return await _ensure(
        connection,
        names,
        now,
        "category",
        "SELECT category_id AS id, name_key FROM categories WHERE name_key = ANY($1::text[])"
        " ORDER BY cardinality(path) DESC, category_id DESC",
        "INSERT INTO categories"
        " (category_id, name, name_key, slug, description, position, path, version, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, '', 0, ARRAY[$1::uuid], 1, $5, $5) ON CONFLICT DO NOTHING RETURNING category_id",
    )


async def _ensure(
    connection: Connection, names: Iterable[str], now: datetime, kind: str, select: str, insert: str
) -> tuple[dict[str, UUID], frozenset[str]]:
    by_key: dict[str, str] = {}
    for name in names:
        by_key.setdefault(name_key(name), name)
    # A later row wins, so the order of the statement decides which of several is meant.
    known: dict[str, UUID] = {row["name_key"]: row["id"] for row in await connection.fetch(select, list(by_key))}
    made: set[str] = set()
    # In order of the keys: two imports that make the same names wait for each other in one direction only.
    for key in sorted(by_key.keys() - known.keys()):
        stem = slugify(by_key[key], kind)
        for attempt in range(1, 8):
            slug = stem if attempt == 1 else f"{stem}-{attempt}"
            inserted = await connection.fetchval(insert, new_id(), by_key[key], key, slug, now)
            if inserted is not None:
                known[key] = inserted
                made.add(key)
                break
            # Either somebody else has just made it, or only the slug is another's.
            row = await connection.fetchrow(select, [key])
            if row is not None:
                known[key] = row["id"]
                break
        else:
            raise ConcurrentUpdate
    return known, frozenset(made)
