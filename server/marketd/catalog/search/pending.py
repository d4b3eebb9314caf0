"""Products whose documents are to be written anew soon: noted with whatever changed them, brought in by drain.py."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from marketd.kernel.db.database import Connection

_NOTE: Final = "INSERT INTO search_pending (product_id, standing_only) SELECT each, $2 FROM unnest($1::uuid[]) each"


async def note_products(connection: Connection, product_ids: Collection[UUID]) -> None:
    """Note products whose texts or state may have changed."""
    if product_ids:
        await connection.execute(_NOTE, list(product_ids), False)


async def note_standing(connection: Connection, product_ids: Collection[UUID]) -> None:
    """Note products of which only stock, sales, ratings or prices have changed."""
    if product_ids:
        await connection.execute(_NOTE, list(product_ids), True)
