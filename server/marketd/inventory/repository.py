"""Every SQL statement of inventory.

Wherever several rows change, a CTE locks them in variant id order before the UPDATE touches any of them; so any two
transactions meet on their first common row and never deadlock (`UPDATE … WHERE variant_id = ANY(…)` alone does).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketd.inventory.model import MAX_QUANTITY, MovementKind
from marketd.inventory.values import NewStock, Shortage, Stock, StockCount, StockLine
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.kernel.values.ids import new_id

# ruff: noqa: S608 - every interpolated part is one of the constants here
_STOCK = Columns(Stock)
_SHORTAGE = Columns(Shortage)

_OPEN = """
WITH opened AS (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::uuid[])
    AS o(variant_id, seller_id, quantity, reason, movement_id)
), made AS (
  INSERT INTO stocks (variant_id, seller_id, on_hand, create_time, update_time)
  SELECT variant_id, seller_id, quantity, $6, $6 FROM opened ORDER BY variant_id
)
INSERT INTO stock_movements (movement_id, variant_id, kind, delta, on_hand, reason, create_time)
SELECT movement_id, variant_id, $7, quantity, quantity, reason, $6 FROM opened WHERE quantity > 0
"""

# `locked` waits for the rows and sees their newest versions. The UPDATE re-checks its condition on the newest version
# too (READ COMMITTED), so what is taken was there. One statement gives the outcome of every line.
_RESERVE = """
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[]) AS w(variant_id, quantity)
), locked AS (
  SELECT s.variant_id, w.quantity, s.on_hand - s.reserved AS available
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
), taken AS (
  UPDATE stocks s SET reserved = s.reserved + l.quantity, version = s.version + 1, update_time = $3
  FROM locked l WHERE s.variant_id = l.variant_id AND s.on_hand - s.reserved >= l.quantity
  RETURNING s.variant_id
)
SELECT w.variant_id, w.quantity AS requested, COALESCE(l.available, 0) AS available
FROM wanted w LEFT JOIN locked l USING (variant_id) LEFT JOIN taken t USING (variant_id)
WHERE t.variant_id IS NULL ORDER BY w.variant_id
"""

_RELEASE = """
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[]) AS w(variant_id, quantity)
), locked AS (
  SELECT s.variant_id, w.quantity
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
)
UPDATE stocks s SET reserved = s.reserved - l.quantity, version = s.version + 1, update_time = $3
FROM locked l WHERE s.variant_id = l.variant_id
"""

_SHIP = """
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[]) AS w(variant_id, quantity, movement_id)
), locked AS (
  SELECT s.variant_id, w.quantity, w.movement_id
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
), gone AS (
  UPDATE stocks s
  SET reserved = s.reserved - l.quantity, on_hand = s.on_hand - l.quantity, version = s.version + 1, update_time = $4
  FROM locked l WHERE s.variant_id = l.variant_id
  RETURNING s.variant_id, l.quantity, l.movement_id, s.on_hand
)
INSERT INTO stock_movements (movement_id, variant_id, kind, delta, on_hand, reference, create_time)
SELECT movement_id, variant_id, $5, -quantity, on_hand, $6, $4 FROM gone
"""

# What a seller has counted meanwhile may leave no room for all of it: goods must be able to come back all the same.
_PUT_BACK = """
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[]) AS w(variant_id, quantity, movement_id)
), locked AS (
  SELECT s.variant_id, LEAST(w.quantity, $7 - s.on_hand) AS quantity, w.movement_id
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
), back AS (
  UPDATE stocks s SET on_hand = s.on_hand + l.quantity, version = s.version + 1, update_time = $4
  FROM locked l WHERE s.variant_id = l.variant_id
  RETURNING s.variant_id, l.quantity, l.movement_id, s.on_hand
), moved AS (
  INSERT INTO stock_movements (movement_id, variant_id, kind, delta, on_hand, reference, create_time)
  SELECT movement_id, variant_id, $5, quantity, on_hand, $6, $4 FROM back WHERE quantity > 0
)
SELECT count(*) FROM back
"""

# The rows are locked by the caller, so `before` is what the UPDATE replaces.
_COUNT = """
WITH counted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::uuid[])
    AS c(variant_id, quantity, reason, source_version, movement_id)
), before AS (
  SELECT s.variant_id, s.on_hand FROM stocks s JOIN counted c USING (variant_id)
), set_to AS (
  UPDATE stocks s
  SET on_hand = c.quantity, source_version = COALESCE(c.source_version, s.source_version), version = s.version + 1,
    update_time = $6
  FROM counted c WHERE s.variant_id = c.variant_id
)
INSERT INTO stock_movements (movement_id, variant_id, kind, delta, on_hand, reason, create_time)
SELECT c.movement_id, c.variant_id, $7, c.quantity - b.on_hand, c.quantity, c.reason, $6
FROM counted c JOIN before b USING (variant_id) WHERE c.quantity <> b.on_hand
"""


async def open_stocks(connection: Connection, rows: Sequence[NewStock], now: datetime) -> None:
    """Insert the stock rows of new variants and the movements of what is there at first. rows: unique variants."""
    await connection.execute(
        _OPEN,
        [row.variant_id for row in rows],
        [row.seller_id for row in rows],
        [row.quantity for row in rows],
        [row.reason for row in rows],
        [new_id() for _ in rows],
        now,
        MovementKind.OPENED.value,
    )


async def read_stock(connection: Connection, variant_id: UUID) -> Stock | None:
    """The stock of a variant."""
    row = await connection.fetchrow(f"SELECT {_STOCK.sql} FROM stocks WHERE variant_id = $1", variant_id)
    return _STOCK.optional(row)


async def lock_stocks(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Stock]:
    """The stocks of these variants, locked in id order until the transaction ends; unknown ones are left out."""
    rows = await connection.fetch(
        f"SELECT {_STOCK.sql} FROM stocks WHERE variant_id = ANY($1::uuid[]) ORDER BY variant_id FOR UPDATE",
        list(variant_ids),
    )
    return {stock.variant_id: stock for stock in _STOCK.values(rows)}


async def count(connection: Connection, counts: Sequence[StockCount], now: datetime) -> None:
    """Write counts of stocks that the caller has locked, with a movement for each that changes `on_hand`.

    counts: unique variants.
    """
    await connection.execute(
        _COUNT,
        [item.variant_id for item in counts],
        [item.quantity for item in counts],
        [item.reason for item in counts],
        [item.source_version for item in counts],
        [new_id() for _ in counts],
        now,
        MovementKind.COUNTED.value,
    )


async def reserve(connection: Connection, lines: Sequence[StockLine], now: datetime) -> list[Shortage]:
    """Promise the pieces of all lines that can be had; gives the others. lines: unique variants."""
    rows = await connection.fetch(_RESERVE, [line.variant_id for line in lines], [line.quantity for line in lines], now)
    return _SHORTAGE.values(rows)


async def release(connection: Connection, lines: Sequence[StockLine], now: datetime) -> int:
    """Take promises back; how many stocks were changed. lines: unique variants."""
    tag = await connection.execute(
        _RELEASE, [line.variant_id for line in lines], [line.quantity for line in lines], now
    )
    return _affected(tag)


async def ship(connection: Connection, lines: Sequence[StockLine], reference: UUID, now: datetime) -> int:
    """Take promised pieces out of the stock; how many stocks were changed. lines: unique variants."""
    tag = await connection.execute(
        _SHIP,
        [line.variant_id for line in lines],
        [line.quantity for line in lines],
        [new_id() for _ in lines],
        now,
        MovementKind.SHIPPED.value,
        reference,
    )
    return _affected(tag)


async def put_back(connection: Connection, lines: Sequence[StockLine], reference: UUID, now: datetime) -> int:
    """Put shipped pieces back into the stock; how many stocks there are for them. lines: unique variants."""
    count: int = await connection.fetchval(
        _PUT_BACK,
        [line.variant_id for line in lines],
        [line.quantity for line in lines],
        [new_id() for _ in lines],
        now,
        MovementKind.RETURNED.value,
        reference,
        MAX_QUANTITY,
    )
    return count


def _affected(tag: str) -> int:
    return int(tag.rsplit(" ", 1)[-1])
