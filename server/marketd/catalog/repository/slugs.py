"""Slugs that nobody has yet, in any table that has a `slug`, and those that products had before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from marketd.kernel.db.database import Connection


async def free_slug(connection: Connection, table: str, stem: str, own: str = "") -> str:
    """The stem itself, or with the first number that makes it unused by others (`own` is the row's slug so far).

    `table` is a constant, never input. A race for the slug ends in the unique constraint.
    """
    rows = await connection.fetch(
        f"SELECT slug FROM {table} WHERE starts_with(slug, $1) AND slug <> $2",  # noqa: S608 - a constant
        stem,
        own,
    )
    taken = {row["slug"] for row in rows}
    if stem not in taken:
        return stem
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{stem}-{number}") not in taken)


async def taken_slugs(connection: Connection, table: str, slugs: Sequence[str]) -> set[str]:
    """Those of these slugs that are in use. `table` is a constant, never input."""
    rows = await connection.fetch(f"SELECT slug FROM {table} WHERE slug = ANY($1::text[])", list(slugs))  # noqa: S608
    return {row["slug"] for row in rows}


async def taken_by_products(connection: Connection, slugs: Sequence[str], but: UUID) -> set[str]:
    """Those of these slugs that another product than `but` has or had before."""
    rows = await connection.fetch(
        "SELECT slug FROM products WHERE slug = ANY($1::text[]) AND delete_time IS NULL AND product_id <> $2"
        " UNION ALL SELECT slug FROM product_slugs WHERE slug = ANY($1::text[]) AND product_id <> $2",
        list(slugs),
        but,
    )
    return {row["slug"] for row in rows}


async def are_former(connection: Connection, products: Mapping[str, UUID]) -> bool:
    """Whether any of these products has, by its slug, one that another one had before."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM unnest($1::text[], $2::uuid[]) n(slug, product_id)"
            " JOIN product_slugs s ON s.slug = n.slug AND s.product_id <> n.product_id)",
            list(products),
            list(products.values()),
        )
    )


async def keep_slug(connection: Connection, product_id: UUID, former: str, now: str) -> None:
    """Keep the former slug of a product that the caller has locked, and not the one that it has now."""
    await connection.execute("DELETE FROM product_slugs WHERE slug = $1 AND product_id = $2", now, product_id)
    await connection.execute("INSERT INTO product_slugs (slug, product_id) VALUES ($1, $2)", former, product_id)
