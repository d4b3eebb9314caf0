"""The statements that write products, variants and pictures. Rows travel as one JSON document a statement, so a product
and a batch of fifty cost the same number of round trips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.catalog.names import Options
from marketd.kernel.db.database import Connection
from marketd.kernel.events.events import to_json


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """The columns of a product that its seller decides on."""

    product_id: UUID
    seller_id: UUID
    handle: str
    slug: str
    title: str
    title_key: str
    description: str
    category_id: UUID | None
    brand_id: UUID | None
    tags: tuple[str, ...]
    option_names: tuple[str, ...]
    currency: str
    price_minor: int
    compare_at_price_minor: int | None
    state: str
    publish_time: datetime | None


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """The columns of a variant that its seller decides on."""

    variant_id: UUID
    product_id: UUID
    seller_id: UUID
    sku: str
    options: Options
    options_key: str
    price_minor: int
    compare_at_price_minor: int | None
    is_active: bool
    barcode: str
    weight_grams: int
    position: int


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A picture by its address."""

    image_id: UUID
    product_id: UUID
    position: int
    source_url: str
    alt_text: str
    variant_ids: tuple[UUID, ...]


PRODUCT_COLUMNS = (
    "product_id uuid, seller_id uuid, handle text, slug text, title text, title_key text, description text,"
    " category_id uuid, brand_id uuid, tags text[], option_names text[], currency text, price_minor bigint,"
    " compare_at_price_minor bigint, state text, publish_time timestamptz"
)
VARIANT_COLUMNS = (
    "variant_id uuid, product_id uuid, seller_id uuid, sku text, options jsonb, options_key text, price_minor bigint,"
    " compare_at_price_minor bigint, is_active boolean, barcode text, weight_grams int, position int"
)
IMAGE_COLUMNS = "image_id uuid, product_id uuid, position int, source_url text, alt_text text, variant_ids uuid[]"


def names_of(columns: str) -> list[str]:
    """The names in a list of typed columns."""
    return [column.split()[0] for column in columns.split(", ")]


def _insert(table: str, columns: str, stamps: str, values: str) -> str:
    names = ", ".join(names_of(columns))
    given = ", ".join(f"r.{name}" for name in names_of(columns))
    return (
        f"INSERT INTO {table} ({names}{stamps}) SELECT {given}{values}"  # noqa: S608 - constant names
        f" FROM jsonb_to_recordset($1::jsonb) AS r({columns})"
    )


def _update(table: str, columns: str) -> str:
    key, *names = names_of(columns)
    changes = ", ".join(f"{name} = r.{name}" for name in names)
    return (
        f"UPDATE {table} t SET {changes}, version = t.version + 1, update_time = $2"  # noqa: S608 - constant names
        f" FROM jsonb_to_recordset($1::jsonb) AS r({columns}) WHERE t.{key} = r.{key}"
    )


_STAMPS = ", version, create_time, update_time"
_INSERT_PRODUCTS = (
    _insert("products", PRODUCT_COLUMNS, _STAMPS, ", 1, $2, $2") + " ON CONFLICT DO NOTHING RETURNING product_id"
)
_INSERT_VARIANTS = _insert("variants", VARIANT_COLUMNS, _STAMPS, ", 1, $2, $2")
_INSERT_IMAGES = _insert("product_images", IMAGE_COLUMNS, "", "")
_UPDATE_PRODUCTS = _update("products", PRODUCT_COLUMNS)
_UPDATE_VARIANTS = _update("variants", VARIANT_COLUMNS)


async def insert_products(connection: Connection, records: Sequence[ProductRecord], now: datetime) -> set[UUID]:
    """Insert products whose slug and (seller, handle) are free; gives the ids of those."""
    rows = await connection.fetch(_INSERT_PRODUCTS, to_json(records), now)
    return {row["product_id"] for row in rows}


async def insert_variants(connection: Connection, records: Sequence[VariantRecord], now: datetime) -> None:
    """Insert variants. A SKU or choice that is taken breaks a unique constraint (SQLSTATE 23505)."""
    if records:
        await connection.execute(_INSERT_VARIANTS, to_json(records), now)


async def update_products(connection: Connection, records: Sequence[ProductRecord], now: datetime) -> None:
    """Overwrite products that the caller has locked, and raise their versions."""
    if records:
        await connection.execute(_UPDATE_PRODUCTS, to_json(records), now)


async def update_variants(connection: Connection, records: Sequence[VariantRecord], now: datetime) -> None:
    """Overwrite variants of products that the caller has locked, and raise their versions.

    SKUs are taken away first: two variants that swap theirs would meet the unique index half-way.
    """
    if records:
        await connection.execute(
            "UPDATE variants SET sku = '' WHERE variant_id = ANY($1::uuid[]) AND sku <> ''",
            [record.variant_id for record in records],
        )
        await connection.execute(_UPDATE_VARIANTS, to_json(records), now)


async def replace_images(connection: Connection, product_ids: Sequence[UUID], records: Sequence[ImageRecord]) -> None:
    """Give these products the pictures in `records` in place of those that they show from elsewhere; uploads stay."""
    if product_ids:
        await connection.execute(
            "DELETE FROM product_images WHERE product_id = ANY($1::uuid[]) AND media_id IS NULL", list(product_ids)
        )
    await insert_images(connection, records)


async def insert_images(connection: Connection, records: Sequence[ImageRecord]) -> None:
    """Insert pictures."""
    if records:
        await connection.execute(_INSERT_IMAGES, to_json(records))


async def lock_product(connection: Connection, product_id: UUID) -> bool:
    """Lock a product until the transaction ends; whether there is one."""
    return bool(await connection.fetchval("SELECT true FROM products WHERE product_id = $1 FOR UPDATE", product_id))


async def read_handle(connection: Connection, product_id: UUID) -> str:
    """The seller's own name for a product."""
    return str(await connection.fetchval("SELECT handle FROM products WHERE product_id = $1", product_id))


async def publish(connection: Connection, product_id: UUID, now: datetime) -> None:
    """Publish a product that the caller has locked; the time of its first publication stays."""
    await connection.execute(
        "UPDATE products SET state = 'PUBLISHED', publish_time = COALESCE(publish_time, $2), version = version + 1,"
        " update_time = $2 WHERE product_id = $1",
        product_id,
        now,
    )
