"""The statements of imports alone: one import of a seller at a time, and the brands and categories that a file names.

What a seller has already is read by catalog/repository/specs.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.catalog.names import slugify
from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.database import Connection
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key


async def lock_seller(connection: Connection, seller_id: UUID) -> None:
    """Keep other imports of the same seller waiting until the transaction ends.

    Its statements are planned each time: tables grow a hundredfold during an import, and a plan that was kept from when
    they were small reads all of them.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0)),"
        " set_config('plan_cache_mode', 'force_custom_plan', true)",
        f"catalog.import/{seller_id}",
    )


@dataclass(frozen=True, slots=True)
class SkuHolder:
    """The variant that has a SKU, and the handle of its product."""

    variant_id: UUID
    handle: str


async def read_sku_holders(connection: Connection, seller_id: UUID, sku_keys: Sequence[str]) -> dict[str, SkuHolder]:
    """Which variants of the seller have SKUs of these keys (name_key), by key."""
    if not sku_keys:
        return {}
    rows = await connection.fetch(
        "SELECT v.sku_key, v.variant_id, (SELECT p.handle FROM products p WHERE p.product_id = v.product_id) AS handle"
        " FROM variants v"
        " WHERE v.seller_id = $1 AND v.sku_key = ANY($2::text[]) AND v.sku_key <> '' AND v.delete_time IS NULL",
        seller_id,
        list(sku_keys),
    )
    return {row["sku_key"]: SkuHolder(row["variant_id"], row["handle"]) for row in rows}


async def take_skus(
    connection: Connection, variant_ids: Sequence[UUID], sku_keys: Collection[str], now: datetime
) -> set[UUID]:
    """Take these SKUs from variants of products that the caller has locked; those that have others now keep them.

    Gives the products of those that lost one.
    """
    rows = await connection.fetch(
        "WITH taken AS ("
        "UPDATE variants SET sku = '', sku_key = '', version = version + 1, update_time = $3"
        " WHERE variant_id = ANY($1::uuid[]) AND sku_key = ANY($2::text[]) RETURNING product_id"
        ") UPDATE products SET version = version + 1, update_time = $3"
        " WHERE product_id IN (SELECT product_id FROM taken) RETURNING product_id",
        list(variant_ids),
        list(sku_keys),
        now,
    )
    return {row["product_id"] for row in rows}


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


async def category_keys(connection: Connection, category_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The name keys of these categories."""
    rows = await connection.fetch(
        "SELECT category_id, name_key FROM categories WHERE category_id = ANY($1::uuid[])", list(category_ids)
    )
    return {row["category_id"]: row["name_key"] for row in rows}


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
