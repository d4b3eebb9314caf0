"""Products whose documents are to be written anew soon: noted in the transaction that changed them, brought in by
drain.py.

Nobody waits for another's note, and a product may be noted often: it is written once for all notes of a batch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from marketd.catalog.search import documents
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
BATCH: Final = 100
"""So many documents are written in one transaction: their products are locked meanwhile, for a tenth of a second."""
SPREAD_BATCH: Final = 5_000
_FEW: Final = 10

_NOTE: Final = "INSERT INTO search_pending (product_id, standing_only) SELECT each, false FROM unnest($1::uuid[]) each"
_NOTE_VARIANT: Final = (
    "INSERT INTO search_pending (product_id, standing_only) SELECT product_id, true FROM variants WHERE variant_id = $1"
)
# One leader takes them, so what is locked here is only being taken by one that leads no more.
_TAKE: Final = """
DELETE FROM search_pending WHERE pending_id IN (
  SELECT pending_id FROM search_pending ORDER BY pending_id LIMIT $1 FOR UPDATE SKIP LOCKED
) RETURNING product_id, standing_only
"""


def _spread(column: str) -> str:
    """In the order of the index that lists a brand's or a category's products."""
    return f"""
WITH found AS MATERIALIZED (
  SELECT p.create_time, p.product_id FROM products p
  WHERE p.{column} = $2 AND p.state = 'PUBLISHED'
    AND ($3::timestamptz IS NULL OR (p.create_time, p.product_id) > ($3, $4))
  ORDER BY p.create_time, p.product_id LIMIT {SPREAD_BATCH}
),
noted AS (
  INSERT INTO search_pending (product_id, standing_only) SELECT product_id, false FROM found
),
last AS (
  SELECT create_time, product_id FROM found ORDER BY create_time DESC, product_id DESC LIMIT 1
),
onward AS (
  UPDATE search_spreads s SET after_time = last.create_time, after_product_id = last.product_id
  FROM last WHERE s.spread_id = $1
)
DELETE FROM search_spreads WHERE spread_id = $1 AND NOT EXISTS (SELECT FROM last)
"""


_SPREAD_BRAND: Final = _spread("brand_id")
_SPREAD_CATEGORY: Final = _spread("category_id")


# What was noted before and is not brought in whole begins anew: who corrects a name three times has it written once.
_NOTE_BRAND: Final = """
WITH earlier AS (DELETE FROM search_spreads WHERE brand_id = $1)
INSERT INTO search_spreads (brand_id) VALUES ($1)
"""
_NOTE_CATEGORY: Final = """
WITH touched AS MATERIALIZED (SELECT category_id FROM categories WHERE path @> ARRAY[$1::uuid]),
earlier AS (DELETE FROM search_spreads WHERE category_id IN (SELECT category_id FROM touched))
INSERT INTO search_spreads (category_id) SELECT category_id FROM touched
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits: noted products, brands and categories that were changed, a rebuild, words to be counted."""

    products: bool
    spreads: bool
    rebuild: bool
    words: bool


_WAITING = Columns(
    Waiting,
    expressions={
        "products": "EXISTS (SELECT FROM search_pending)",
        "spreads": "EXISTS (SELECT FROM search_spreads)",
        "rebuild": "EXISTS (SELECT FROM search_state WHERE rebuild_after IS NOT NULL)",
        "words": "EXISTS (SELECT FROM search_word_changes)",
    },
)
_LOOK = f"SELECT {_WAITING.sql}"


async def index_products(connection: Connection, product_ids: Collection[UUID]) -> None:
    """Bring what was made or changed of products that the caller has locked into search: few at once, many soon."""
    if len(product_ids) <= _FEW:
        await documents.write_documents(connection, list(product_ids))
    else:
        await note_products(connection, product_ids)


async def note_products(connection: Connection, product_ids: Collection[UUID]) -> None:
    """Note products whose texts or state may have changed."""
    if product_ids:
        await connection.execute(_NOTE, list(product_ids))


async def note_standing_of_variant(connection: Connection, variant_id: UUID) -> None:
    """Note the product of a variant whose stock has come or gone."""
    await connection.execute(_NOTE_VARIANT, variant_id)


async def note_brand(connection: Connection, brand_id: UUID) -> None:
    """Note that a brand's products are to be written anew. The caller has locked the brand FOR UPDATE: who gives it to
    a product meanwhile has committed before, and is seen later, or reads what is new.
    """
    await connection.execute(_NOTE_BRAND, brand_id)


async def note_category(connection: Connection, category_id: UUID) -> None:
    """The same for a category and all below it, which the caller has locked so."""
    await connection.execute(_NOTE_CATEGORY, category_id)


async def look(connection: Connection) -> Waiting:
    """What there is to do, in one look: nothing waits nearly always."""
    row = await connection.fetchrow(_LOOK)
    return _WAITING.optional(row) or Waiting(False, False, False, False)


async def drain(connection: Connection) -> int:
    """Bring in one batch of what is noted; how many notes that were, at most BATCH."""
    rows = await connection.fetch(_TAKE, BATCH)
    whole = {row["product_id"] for row in rows if not row["standing_only"]}
    standing = {row["product_id"] for row in rows} - whole
    await documents.lock_products(connection, whole | standing)
    await documents.write_documents(connection, sorted(whole))
    await documents.write_standing(connection, sorted(standing))
    return len(rows)


async def spread(connection: Connection) -> bool:
    """Note the next products of the first brand or category that has changed; whether there was one."""
    row = await connection.fetchrow(
        "SELECT spread_id, brand_id, category_id, after_time, after_product_id FROM search_spreads"
        " ORDER BY spread_id LIMIT 1 FOR UPDATE"
    )
    if row is None:
        return False
    place = (row["after_time"], row["after_product_id"])
    if row["category_id"] is None:
        await connection.execute(_SPREAD_BRAND, row["spread_id"], row["brand_id"], *place)
    else:
        await connection.execute(_SPREAD_CATEGORY, row["spread_id"], row["category_id"], *place)
    return True
