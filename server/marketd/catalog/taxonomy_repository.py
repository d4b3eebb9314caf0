"""The statements of categories and brands, in the mapped dress; reads also run on plain connections."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from marketd.catalog.model import BrandTable, CategoryTable, ProductTable
from marketd.catalog.values import BrandView, CategoryView
from marketd.kernel.call.pages import Cursor
from marketd.kernel.db.database import Connection, Record

# Any fixed number: whoever changes the shape of the tree holds it, because two moves at once could make a circle.
_TREE_LOCK = 7_201_977_205

_CATEGORY = (
    "category_id, parent_category_id, name, slug, description, position, path, version, create_time, update_time"
)
_BRAND = "brand_id, name, slug, description, version, create_time, update_time"


def category_view(row: CategoryTable | Record) -> CategoryView:
    """A mapped row or a record as a view."""
    if isinstance(row, CategoryTable):
        return CategoryView(
            row.category_id, row.parent_category_id, row.name, row.slug, row.description, row.position,
            tuple(row.path[:-1]), row.version, row.create_time, row.update_time,
        )  # fmt: skip
    return CategoryView(
        row["category_id"], row["parent_category_id"], row["name"], row["slug"], row["description"], row["position"],
        tuple(row["path"][:-1]), row["version"], row["create_time"], row["update_time"],
    )  # fmt: skip


def brand_view(row: BrandTable | Record) -> BrandView:
    """A mapped row or a record as a view."""
    if isinstance(row, BrandTable):
        return BrandView(
            row.brand_id, row.name, row.slug, row.description, row.version, row.create_time, row.update_time
        )
    return BrandView(
        row["brand_id"], row["name"], row["slug"], row["description"], row["version"], row["create_time"],
        row["update_time"],
    )  # fmt: skip


async def lock_tree(session: AsyncSession) -> None:
    """Keep others from changing the shape of the tree until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _TREE_LOCK})


async def load_category(session: AsyncSession, category_id: UUID) -> CategoryTable | None:
    """A category, locked, in its newest version."""
    return await session.get(CategoryTable, category_id, with_for_update=True, populate_existing=True)


async def load_brand(session: AsyncSession, brand_id: UUID) -> BrandTable | None:
    """A brand, locked, in its newest version."""
    return await session.get(BrandTable, brand_id, with_for_update=True, populate_existing=True)


async def depth_below(session: AsyncSession, category_id: UUID) -> int:
    """How many levels the tree has from this category down, itself included."""
    deepest = await session.scalar(
        select(func.max(func.cardinality(CategoryTable.path))).where(CategoryTable.path.contains([category_id]))
    )
    own = await session.scalar(
        select(func.cardinality(CategoryTable.path)).where(CategoryTable.category_id == category_id)
    )
    return int(deepest or 0) - int(own or 0) + 1


async def move_below(session: AsyncSession, category_id: UUID, depth: int, path: Sequence[UUID]) -> None:
    """Give all categories below this one its new path; `depth` is the length of its old one."""
    await session.execute(
        update(CategoryTable)
        .where(CategoryTable.path.contains([category_id]), CategoryTable.category_id != category_id)
        .values(path=func.array_cat(list(path), CategoryTable.path[depth + 1 : 1000]))
        .execution_options(synchronize_session=False)
    )


async def category_is_used(session: AsyncSession, category_id: UUID) -> str:
    """What still uses a category: `categories`, `products`, or nothing."""
    if await session.scalar(select(exists().where(CategoryTable.parent_category_id == category_id))):
        return "categories"
    return "products" if await session.scalar(select(exists().where(ProductTable.category_id == category_id))) else ""


async def brand_is_used(session: AsyncSession, brand_id: UUID) -> bool:
    """Whether a product has the brand."""
    return bool(await session.scalar(select(exists().where(ProductTable.brand_id == brand_id))))


async def delete_category(session: AsyncSession, category_id: UUID) -> None:
    """Delete a category."""
    await session.execute(delete(CategoryTable).where(CategoryTable.category_id == category_id))


async def delete_brand(session: AsyncSession, brand_id: UUID) -> None:
    """Delete a brand."""
    await session.execute(delete(BrandTable).where(BrandTable.brand_id == brand_id))


async def free_slug(
    session: AsyncSession, row: type[CategoryTable] | type[BrandTable], stem: str, own: str = ""
) -> str:
    """The stem itself, or with the first number that makes it unused by others (`own` is the row's slug so far).

    A race for it ends in the unique constraint.
    """
    found = await session.scalars(select(row.slug).where(row.slug.startswith(stem, autoescape=True), row.slug != own))
    taken = set(found)
    if stem not in taken:
        return stem
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{stem}-{number}") not in taken)


async def read_category(connection: Connection, category_id: UUID | None, slug: str) -> CategoryView | None:
    """A category by its id, or by its slug when that is None."""
    column, key = ("slug", slug) if category_id is None else ("category_id", category_id)
    row = await connection.fetchrow(f"SELECT {_CATEGORY} FROM categories WHERE {column} = $1", key)  # noqa: S608 - constant names
    return None if row is None else category_view(row)


async def read_brand(connection: Connection, brand_id: UUID | None, slug: str) -> BrandView | None:
    """A brand by its id, or by its slug when that is None."""
    column, key = ("slug", slug) if brand_id is None else ("brand_id", brand_id)
    row = await connection.fetchrow(f"SELECT {_BRAND} FROM brands WHERE {column} = $1", key)  # noqa: S608 - constant names
    return None if row is None else brand_view(row)


async def list_categories(
    connection: Connection, *, all_levels: bool, parent_category_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[tuple[CategoryView, Cursor]]:
    """Categories by position and name with their cursors: all, or the children of one (None: those at the top)."""
    values: list[object] = [limit]
    conditions = ["true"]
    if not all_levels and parent_category_id is None:
        conditions.append("parent_category_id IS NULL")
    elif not all_levels:
        values.append(parent_category_id)
        conditions.append(f"parent_category_id = ${len(values)}")
    if cursor is not None:
        position, name_key, category_id = cursor
        values += [position, name_key, UUID(str(category_id))]
        conditions.append(
            f"(position, name_key, category_id) > (${len(values) - 2}, ${len(values) - 1}, ${len(values)})"
        )
    rows = await connection.fetch(
        f"SELECT {_CATEGORY}, name_key FROM categories WHERE {' AND '.join(conditions)}"  # noqa: S608 - constant names
        " ORDER BY position, name_key, category_id LIMIT $1",
        *values,
    )
    return [(category_view(row), (row["position"], row["name_key"], str(row["category_id"]))) for row in rows]


async def list_brands(connection: Connection, cursor: Cursor | None, limit: int) -> list[tuple[BrandView, Cursor]]:
    """Brands by name with their cursors."""
    rows = await connection.fetch(
        f"SELECT {_BRAND}, name_key FROM brands WHERE name_key > $1 ORDER BY name_key LIMIT $2",  # noqa: S608 - constant names
        "" if cursor is None else cursor[0],
        limit,
    )
    return [(brand_view(row), (row["name_key"],)) for row in rows]
