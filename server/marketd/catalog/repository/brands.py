"""Every SQL statement of brands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg

from marketd.catalog.values import Brand, Order
from marketd.kernel.call.refusals import AlreadyExists, InUse
from marketd.kernel.db.database import Connection
from marketd.kernel.db.paging import begins, follow
from marketd.kernel.db.sql import Arguments, Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
_BRAND = Columns(Brand)
BrandKey: TypeAlias = tuple[str | datetime | UUID, ...]
"""Where a brand stands in a list: what the order sorts by."""

_SORTS = {"name": ("name_key",), "create_time": ("create_time", "brand_id")}
ORDERS: Final = tuple(_SORTS)
_TAKEN = {"uq_brands_name_key": "name", "uq_brands_slug": "slug"}


@contextmanager
def _unique() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        taken = _TAKEN.get(error.constraint_name or "")
        if taken is not None:
            raise AlreadyExists("brand", taken) from error
        raise


async def insert(connection: Connection, brand: Brand) -> None:
    """Write a new brand. Raises AlreadyExists for a name or slug in use."""
    with _unique():
        await connection.execute(
            "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            brand.brand_id,
            brand.name,
            brand.name_key,
            brand.slug,
            brand.description,
            brand.version,
            brand.create_time,
            brand.update_time,
        )


async def save(connection: Connection, brand: Brand) -> None:
    """Write what can change of a locked brand. Raises AlreadyExists for a name or slug in use."""
    with _unique():
        await connection.execute(
            "UPDATE brands SET name = $2, name_key = $3, slug = $4, description = $5, version = $6, update_time = $7"
            " WHERE brand_id = $1",
            brand.brand_id,
            brand.name,
            brand.name_key,
            brand.slug,
            brand.description,
            brand.version,
            brand.update_time,
        )


async def lock(connection: Connection, brand_id: UUID) -> Brand | None:
    """Lock a brand and read it."""
    row = await connection.fetchrow(f"SELECT {_BRAND.sql} FROM brands WHERE brand_id = $1 FOR UPDATE", brand_id)
    return _BRAND.optional(row)


async def delete(connection: Connection, brand_id: UUID) -> None:
    """Delete a brand. Raises InUse: a product may have taken it since the look, and the foreign key sees that."""
    await connection.execute(
        "UPDATE products SET brand_id = NULL WHERE brand_id = $1 AND delete_time IS NOT NULL", brand_id
    )
    try:
        await connection.execute("DELETE FROM brands WHERE brand_id = $1", brand_id)
    except asyncpg.ForeignKeyViolationError as error:
        raise InUse("brand", "a product") from error


async def used_by(connection: Connection, brand_id: UUID) -> str:
    """A product that has the brand, in any state: `product …`; empty for none.

    What is left of deleted ones holds nothing.
    """
    found: str = await connection.fetchval(
        "SELECT COALESCE((SELECT 'product ' || product_id FROM products"
        " WHERE brand_id = $1 AND delete_time IS NULL LIMIT 1), '')",
        brand_id,
    )
    return found


async def read(connection: Connection, brand_id: UUID | None, slug: str) -> Brand | None:
    """A brand by its id, or by its slug when that is None."""
    column, key = ("slug", slug) if brand_id is None else ("brand_id", brand_id)
    return _BRAND.optional(await connection.fetchrow(f"SELECT {_BRAND.sql} FROM brands WHERE {column} = $1", key))


async def list_page(
    connection: Connection, name_prefix: str, order: Order, after: BrandKey | None, limit: int
) -> list[Brand]:
    """The next `limit` brands after that key, of those whose name key begins with `name_prefix`."""
    arguments = Arguments()
    conditions = begins(arguments, "name_key", name_prefix)
    tail = follow(arguments, _SORTS[order.name], after, limit, conditions, descending=order.descending)
    return _BRAND.values(await connection.fetch(f"SELECT {_BRAND.sql} FROM brands{tail}", *arguments))


def cursor_of(brand: Brand, order: Order) -> BrandKey:
    """Where the brand stands in a list of this order."""
    return tuple(getattr(brand, column) for column in _SORTS[order.name])
