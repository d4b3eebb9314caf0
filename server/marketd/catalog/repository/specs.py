"""The statements over what sellers decide of products, variants and pictures. Rows travel as one JSON document a
statement, so a product and a batch of fifty cost the same number of round trips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from marketd.catalog.model import ProductState
from marketd.catalog.values import ProductImage, ProductSpec, VariantSpec
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.events.events import to_json
from marketd.kernel.values.ratings import Rating

# ruff: noqa: S608 - every interpolated part is one of the constants here
_PRODUCT = Columns(ProductSpec)
_VARIANT = Columns(VariantSpec)
_IMAGE = Columns(ProductImage, without=("picture",))


def _insert(table: str, names: Sequence[str], stamps: str = "", values: str = "") -> str:
    """Inserts the rows of a JSON list: its objects have the table's columns by name."""
    return (
        f"INSERT INTO {table} ({', '.join(names)}{stamps}) SELECT {', '.join(f'r.{name}' for name in names)}{values}"
        f" FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb) r"
    )


def _update(table: str, names: Sequence[str]) -> str:
    """Overwrites the rows of a JSON list; the first of the names is the key."""
    key, *changed = names
    return (
        f"UPDATE {table} t SET {', '.join(f'{name} = r.{name}' for name in changed)}, version = t.version + 1,"
        f" update_time = $2 FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb) r WHERE t.{key} = r.{key}"
    )


_STAMPS, _FIRST = ", version, create_time, update_time", ", 1, $2, $2"
# A slug that a product had before is as good as taken.
_INSERT_PRODUCTS = (
    _insert("products", _PRODUCT.names, _STAMPS, _FIRST)
    + " WHERE NOT EXISTS (SELECT 1 FROM product_slugs s WHERE s.slug = r.slug)"
    " ON CONFLICT DO NOTHING RETURNING product_id"
)
_INSERT_VARIANTS = _insert("variants", _VARIANT.names, _STAMPS, _FIRST)
# What was given by its address alone waits to be fetched; a lane is named by the host, as an address writes it.
_INSERT_IMAGES = (
    f"WITH made AS ({_insert('product_images', _IMAGE.names)} RETURNING image_id, product_id, media_id, url)"
    " INSERT INTO remote_images (image_id, seller_id, host, state, tries, next_try_time)"
    " SELECT m.image_id, p.seller_id, lower(split_part(split_part(m.url, '/', 3), '?', 1)), 'WAITING', 0, $2"
    " FROM made m JOIN products p ON p.product_id = m.product_id WHERE m.media_id IS NULL"
)
_PLACE_IMAGES = (
    "UPDATE product_images i SET position = r.position, alt_text = r.alt_text, variant_ids = r.variant_ids"
    " FROM jsonb_populate_recordset(NULL::product_images, $1::jsonb) r WHERE i.image_id = r.image_id"
)
_UPDATE_PRODUCTS = _update("products", _PRODUCT.names)
_UPDATE_VARIANTS = _update("variants", _VARIANT.names)


async def insert_products(connection: Connection, specs: Sequence[ProductSpec], now: datetime) -> set[UUID]:
    """Insert products whose slug and (seller, handle) are free; gives the ids of those."""
    rows = await connection.fetch(_INSERT_PRODUCTS, to_json(specs), now)
    return {row["product_id"] for row in rows}


async def insert_variants(connection: Connection, specs: Sequence[VariantSpec], now: datetime) -> None:
    """Insert variants. A SKU or choice that is taken breaks a unique constraint (SQLSTATE 23505)."""
    if specs:
        await connection.execute(_INSERT_VARIANTS, to_json(specs), now)


async def insert_images(connection: Connection, images: Sequence[ProductImage], now: datetime) -> None:
    """Insert pictures; those that have only an address are to be fetched."""
    if images:
        await connection.execute(_INSERT_IMAGES, to_json(images), now)


async def update_products(connection: Connection, specs: Sequence[ProductSpec], now: datetime) -> None:
    """Overwrite products that the caller has locked, and raise their versions."""
    if specs:
        await connection.execute(_UPDATE_PRODUCTS, to_json(specs), now)


async def update_variants(connection: Connection, specs: Sequence[VariantSpec], now: datetime) -> None:
    """Overwrite variants of products that the caller has locked, and raise their versions.

    Of several SKUs and choices are taken away first: two that swap theirs would meet the unique index half-way.
    """
    if len(specs) > 1:
        await connection.execute(
            "UPDATE variants SET sku_key = '', options_key = variant_id::text WHERE variant_id = ANY($1::uuid[])",
            [spec.variant_id for spec in specs],
        )
    if specs:
        await connection.execute(_UPDATE_VARIANTS, to_json(specs), now)


async def touch_products(connection: Connection, product_ids: Sequence[UUID], now: datetime) -> None:
    """Raise the versions of products that the caller has locked: something that they show has changed."""
    await connection.execute(
        "UPDATE products SET version = version + 1, update_time = $2 WHERE product_id = ANY($1::uuid[])",
        list(product_ids),
        now,
    )


async def replace_images(
    connection: Connection, product_ids: Sequence[UUID], images: Sequence[ProductImage], now: datetime
) -> dict[UUID, list[UUID]]:
    """Give these products the pictures in `images` and no others; those that are there already keep their media.

    Gives by product the media that it does not show any more.
    """
    if not product_ids:
        return {}
    gone = await connection.fetch(
        "DELETE FROM product_images WHERE product_id = ANY($1::uuid[]) AND image_id <> ALL($2::uuid[])"
        " RETURNING product_id, media_id",
        list(product_ids),
        [image.image_id for image in images],
    )
    kept = await connection.fetch(
        "SELECT image_id, product_id, media_id FROM product_images WHERE product_id = ANY($1::uuid[])",
        list(product_ids),
    )
    known = {row["image_id"] for row in kept}
    shown = {(row["product_id"], row["media_id"]) for row in kept}
    await connection.execute(_PLACE_IMAGES, to_json([image for image in images if image.image_id in known]))
    await insert_images(connection, [image for image in images if image.image_id not in known], now)
    left: dict[UUID, list[UUID]] = {}
    for row in gone:
        if row["media_id"] is not None and (row["product_id"], row["media_id"]) not in shown:
            left.setdefault(row["product_id"], []).append(row["media_id"])
    return left


async def set_state(connection: Connection, product_id: UUID, state: ProductState, now: datetime) -> None:
    """Move a product that the caller has locked to another state; the time of its first publication stays."""
    await connection.execute(
        "UPDATE products SET state = $3, publish_time = CASE $3 WHEN 'PUBLISHED' THEN COALESCE(publish_time, $2)"
        " ELSE publish_time END, version = version + 1, update_time = $2 WHERE product_id = $1",
        product_id,
        now,
        state.value,
    )


async def set_rating(connection: Connection, product_id: UUID, rating: Rating) -> None:
    """Write what buyers think of a product, whose row is locked by it. That is no change of its seller's."""
    await connection.execute(
        "UPDATE products SET rating_count = $2, rating_average_milli = $3, rating_histogram = $4 WHERE product_id = $1",
        product_id,
        rating.count,
        rating.average_milli,
        list(rating.counts),
    )


async def delete_product(connection: Connection, product_id: UUID, now: datetime) -> None:
    """Delete a product that the caller has locked, with its variants, pictures and former slugs.

    It lets go of its category and brand, so that these can be deleted.
    """
    await connection.execute(
        "UPDATE products SET state = 'ARCHIVED', category_id = NULL, brand_id = NULL, version = version + 1,"
        " update_time = $2, delete_time = $2 WHERE product_id = $1",
        product_id,
        now,
    )
    await connection.execute(
        "UPDATE variants SET active = false, version = version + 1, update_time = $2, delete_time = $2"
        " WHERE product_id = $1 AND delete_time IS NULL",
        product_id,
        now,
    )
    await connection.execute("DELETE FROM product_slugs WHERE product_id = $1", product_id)
    await connection.execute("DELETE FROM product_images WHERE product_id = $1", product_id)


async def delete_variant(connection: Connection, spec: VariantSpec, now: datetime) -> None:
    """Delete a variant of a product that the caller has locked; pictures do not name it any more."""
    await connection.execute(
        "UPDATE variants SET active = false, version = version + 1, update_time = $2, delete_time = $2"
        " WHERE variant_id = $1",
        spec.variant_id,
        now,
    )
    await connection.execute(
        "UPDATE product_images SET variant_ids = array_remove(variant_ids, $1) WHERE product_id = $2"
        " AND $1 = ANY(variant_ids)",
        spec.variant_id,
        spec.product_id,
    )


async def lock_product(connection: Connection, product_id: UUID) -> ProductSpec | None:
    """Lock a product until the transaction ends, and read it."""
    row = await connection.fetchrow(
        f"SELECT {_PRODUCT.sql} FROM products WHERE product_id = $1 AND delete_time IS NULL FOR UPDATE", product_id
    )
    return _PRODUCT.optional(row)


async def lock_all(connection: Connection, seller_id: UUID, product_ids: Sequence[UUID]) -> dict[UUID, ProductSpec]:
    """Those of these products that the seller has, locked in id order until the transaction ends."""
    rows = await connection.fetch(
        f"SELECT {_PRODUCT.sql} FROM products WHERE seller_id = $1 AND product_id = ANY($2::uuid[])"
        " AND delete_time IS NULL ORDER BY product_id FOR UPDATE",
        seller_id,
        list(product_ids),
    )
    return {spec.product_id: spec for spec in _PRODUCT.values(rows)}


async def lock_products(connection: Connection, seller_id: UUID, handles: Sequence[str]) -> dict[str, ProductSpec]:
    """The seller's products of these handles by handle, locked in id order until the transaction ends."""
    rows = await connection.fetch(
        f"SELECT {_PRODUCT.sql} FROM products WHERE seller_id = $1 AND handle = ANY($2::text[])"
        " AND delete_time IS NULL ORDER BY product_id FOR UPDATE",
        seller_id,
        list(handles),
    )
    return {spec.handle: spec for spec in _PRODUCT.values(rows)}


async def read_variants(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, list[VariantSpec]]:
    """All variants of these products, by product, in order."""
    found: dict[UUID, list[VariantSpec]] = {product_id: [] for product_id in product_ids}
    rows = await connection.fetch(
        f"SELECT {_VARIANT.sql} FROM variants WHERE product_id = ANY($1::uuid[]) AND delete_time IS NULL"
        " ORDER BY position",
        list(product_ids),
    )
    for spec in _VARIANT.values(rows):
        found[spec.product_id].append(spec)
    return found


async def read_images(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, list[ProductImage]]:
    """The pictures of these products, by product, in order."""
    found: dict[UUID, list[ProductImage]] = {product_id: [] for product_id in product_ids}
    rows = await connection.fetch(
        f"SELECT {_IMAGE.sql} FROM product_images WHERE product_id = ANY($1::uuid[]) ORDER BY position",
        list(product_ids),
    )
    for image in _IMAGE.values(rows):
        found[image.product_id].append(image)
    return found


async def read_sku_owners(connection: Connection, seller_id: UUID, sku_keys: Sequence[str]) -> dict[str, UUID]:
    """The products whose variants have SKUs of these keys (name_key), by key."""
    rows = await connection.fetch(
        "SELECT sku_key, product_id FROM variants WHERE seller_id = $1 AND sku_key = ANY($2::text[]) AND sku_key <> ''"
        " AND delete_time IS NULL",
        seller_id,
        list(sku_keys),
    )
    return {row["sku_key"]: row["product_id"] for row in rows}


async def product_of(connection: Connection, variant_id: UUID) -> UUID | None:
    """The product of a variant, which never changes; None when the variant is not there."""
    found: UUID | None = await connection.fetchval(
        "SELECT product_id FROM variants WHERE variant_id = $1 AND delete_time IS NULL", variant_id
    )
    return found


async def read_source_versions(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The versions of the feeds that wrote these variants last; those that none wrote are left out."""
    rows = await connection.fetch(
        "SELECT variant_id, source_version FROM variants WHERE variant_id = ANY($1::uuid[])"
        " AND source_version IS NOT NULL",
        list(variant_ids),
    )
    return {row["variant_id"]: row["source_version"] for row in rows}


async def set_source_versions(connection: Connection, versions: Mapping[UUID, int]) -> None:
    """Write which version of a feed the variants are of, whose products the caller has locked."""
    if versions:
        await connection.execute(
            "UPDATE variants v SET source_version = n.version"
            " FROM unnest($1::uuid[], $2::bigint[]) n(variant_id, version) WHERE v.variant_id = n.variant_id",
            list(versions),
            list(versions.values()),
        )
