"""Every SQL statement of categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg

from marketd.catalog.values import Category, CategoryQuery, Order
from marketd.kernel.call.refusals import AlreadyExists, InUse
from marketd.kernel.db.database import Connection
from marketd.kernel.db.paging import begins, follow
from marketd.kernel.db.sql import Arguments, Columns
from marketd.media.images.held import held_of, held_sql

# ruff: noqa: S608 - every interpolated part is one of the constants here
# Any fixed number: whoever changes the shape of the tree holds it, because two moves at once could make a circle.
_TREE_LOCK: Final = 7_201_977_205
_CATEGORY = Columns(
    Category, expressions={"image": held_sql("image_media_id", "image_alt_text")}, readers={"image": held_of}
)

CategoryKey: TypeAlias = tuple[int | str | datetime | UUID, ...]
"""Where a category stands in a list: what the order sorts by, and its id."""

_SORTS = {
    "position": ("position", "name_key", "category_id"),
    "name": ("name_key", "category_id"),
    "create_time": ("create_time", "category_id"),
}
ORDERS: Final = tuple(_SORTS)


@contextmanager
def _unique() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "uq_categories_slug":
            raise AlreadyExists("category", "slug") from error
        raise


async def lock_tree(connection: Connection) -> None:
    """Keep others from changing the shape of the tree until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _TREE_LOCK)


async def insert(connection: Connection, category: Category) -> None:
    """Write a new category. Raises AlreadyExists for a slug in use."""
    with _unique():
        await connection.execute(
            "INSERT INTO categories (category_id, parent_category_id, name, name_key, slug, description, position,"
            " tax_rate, path, version, create_time, update_time, image_media_id, image_alt_text)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            category.category_id,
            category.parent_category_id,
            category.name,
            category.name_key,
            category.slug,
            category.description,
            category.position,
            category.tax_rate,
            category.path,
            category.version,
            category.create_time,
            category.update_time,
            *_image(category),
        )


async def save(connection: Connection, category: Category) -> None:
    """Write what can change of a locked category. Raises AlreadyExists for a slug in use."""
    with _unique():
        await connection.execute(
            "UPDATE categories SET parent_category_id = $2, name = $3, name_key = $4, slug = $5, description = $6,"
            " position = $7, tax_rate = $8, path = $9, version = $10, update_time = $11, image_media_id = $12,"
            " image_alt_text = $13 WHERE category_id = $1",
            category.category_id,
            category.parent_category_id,
            category.name,
            category.name_key,
            category.slug,
            category.description,
            category.position,
            category.tax_rate,
            category.path,
            category.version,
            category.update_time,
            *_image(category),
        )


def _image(category: Category) -> tuple[UUID | None, str]:
    """The two columns of its picture."""
    return (None, "") if category.image is None else (category.image.media_id, category.image.alt_text)


async def lock(connection: Connection, category_id: UUID) -> Category | None:
    """Lock a category and read it."""
    row = await connection.fetchrow(
        f"SELECT {_CATEGORY.sql} FROM categories WHERE category_id = $1 FOR UPDATE", category_id
    )
    return _CATEGORY.optional(row)


async def depth_below(connection: Connection, category: Category) -> int:
    """How many levels the tree has from this category down, itself included."""
    deepest = await connection.fetchval(
        "SELECT max(cardinality(path)) FROM categories WHERE path @> ARRAY[$1::uuid]", category.category_id
    )
    return int(deepest or 0) - len(category.path) + 1


async def lock_below(connection: Connection, category: Category) -> None:
    """Lock all categories below a locked one, so that no product comes into one of them until the transaction ends."""
    await connection.execute(
        "SELECT FROM categories WHERE path @> ARRAY[$1::uuid] AND category_id <> $1 ORDER BY category_id FOR UPDATE",
        category.category_id,
    )


async def move_below(connection: Connection, before: Category, after: Category) -> None:
    """Give all categories below this one the way to its new place."""
    await connection.execute(
        "UPDATE categories SET path = $2::uuid[] || path[$3::int + 1:]"
        " WHERE path @> ARRAY[$1::uuid] AND category_id <> $1",
        before.category_id,
        after.path,
        len(before.path),
    )


async def used_by(connection: Connection, category_id: UUID) -> str:
    """What still uses a category, one of it: `category …` below it or `product …` in any state; empty for nothing."""
    found: str = await connection.fetchval(
        "SELECT COALESCE((SELECT 'category ' || category_id FROM categories WHERE parent_category_id = $1 LIMIT 1),"
        " (SELECT 'product ' || product_id FROM products WHERE category_id = $1 LIMIT 1), '')",
        category_id,
    )
    return found


async def delete(connection: Connection, category_id: UUID) -> None:
    """Delete a category. Raises InUse: a product may have taken it since the look, and the foreign key sees that."""
    try:
        await connection.execute("DELETE FROM categories WHERE category_id = $1", category_id)
    except asyncpg.ForeignKeyViolationError as error:
        raise InUse("category", "a product") from error


async def read(connection: Connection, category_id: UUID | None, slug: str) -> Category | None:
    """A category by its id, or by its slug when that is None."""
    column, key = ("slug", slug) if category_id is None else ("category_id", category_id)
    row = await connection.fetchrow(f"SELECT {_CATEGORY.sql} FROM categories WHERE {column} = $1", key)
    return _CATEGORY.optional(row)


async def read_paths(connection: Connection, category_ids: Sequence[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Each of these categories with itself and all above it; unknown ones are left out."""
    rows = await connection.fetch(
        "SELECT category_id, path FROM categories WHERE category_id = ANY($1::uuid[])", list(category_ids)
    )
    return {row["category_id"]: frozenset(row["path"]) for row in rows}


async def list_page(
    connection: Connection, query: CategoryQuery, order: Order, after: CategoryKey | None, limit: int
) -> list[Category]:
    """The next `limit` categories after the one with that key."""
    arguments = Arguments()
    conditions = begins(arguments, "name_key", query.name_prefix)
    if query.top_level:
        conditions.append("parent_category_id IS NULL")
    elif len(query.parent_category_ids) == 1:
        conditions.append(f"parent_category_id = {arguments.add(query.parent_category_ids[0])}")
    elif query.parent_category_ids:
        conditions.append(f"parent_category_id = ANY({arguments.add(list(query.parent_category_ids))}::uuid[])")
    tail = follow(arguments, _SORTS[order.name], after, limit, conditions, descending=order.descending)
    return _CATEGORY.values(await connection.fetch(f"SELECT {_CATEGORY.sql} FROM categories{tail}", *arguments))


def cursor_of(category: Category, order: Order) -> CategoryKey:
    """Where the category stands in a list of this order."""
    return tuple(getattr(category, column) for column in _SORTS[order.name])
