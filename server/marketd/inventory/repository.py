"""Every SQL statement of inventory.

Wherever several rows change, a CTE locks them in variant id order before the UPDATE touches any of them; so any two
transactions meet on their first common row and never deadlock (`UPDATE … WHERE variant_id = ANY(…)` alone does).

Only two statements may raise `oversold`, and only for stocks whose policy allows it: the one that promises pieces, and
the one that counts them. All others can lower it alone, so what they get wrong meets the table's CHECK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from marketd.inventory.model import MAX_QUANTITY, MovementKind, StockPolicy
from marketd.inventory.values import (
    Actor,
    Movement,
    MovementQuery,
    NewStock,
    Shortage,
    Stock,
    StockChange,
    StockCount,
    StockLine,
)
from marketd.kernel.db.database import Connection, Record
from marketd.kernel.db.sql import Arguments, Columns, where
from marketd.kernel.values.ids import new_id
from marketd.seller import service as sellers

# ruff: noqa: S608 - every interpolated part is one of the constants here
_STOCK = Columns(Stock)
_AFTER = Columns(Stock, table="s")
_MOVEMENT = Columns(Movement, table="m")
_TRACKED = f"'{StockPolicy.TRACKED.value}'"


def _touched(now: str) -> str:
    """What each change sets. A transaction that began earlier may change the row later: its time is moved up."""
    return f"version = s.version + 1, update_time = GREATEST({now}, s.update_time + interval '1 microsecond')"


_OPEN = """
WITH opened AS (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::uuid[])
    AS o(variant_id, seller_id, quantity, reason, policy, movement_id)
), made AS (
  INSERT INTO stocks (variant_id, seller_id, policy, on_hand, create_time, update_time)
  SELECT variant_id, seller_id, policy, quantity, $7, $7 FROM opened ORDER BY variant_id
)
INSERT INTO stock_movements
  (movement_id, variant_id, seller_id, kind, delta, on_hand, reason, actor, actor_id, create_time)
SELECT movement_id, variant_id, seller_id, $8, quantity, quantity, reason, $9, $10, $7 FROM opened WHERE quantity > 0
"""

# `locked` waits for the rows and sees their newest versions, and by those it is judged and counted. The UPDATE's own
# row is first what the statement saw at its start, in its conditions and in the table's CHECKs, which would pass over
# pieces that came back while it waited. One statement gives the outcome of every line.
_RESERVE = f"""
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[]) AS w(variant_id, quantity)
), locked AS (
  SELECT s.variant_id, s.policy, s.on_hand, s.reserved, s.oversold, w.quantity, s.on_hand - s.reserved AS available
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
), taken AS (
  UPDATE stocks s SET on_hand = l.on_hand, reserved = l.reserved + l.quantity, {_touched("$3")},
    oversold = CASE l.policy WHEN {_TRACKED} THEN l.oversold
      ELSE GREATEST(0, l.reserved + l.quantity - l.on_hand) END
  FROM locked l WHERE s.variant_id = l.variant_id
    AND l.available - l.quantity >= CASE l.policy WHEN {_TRACKED} THEN 0 ELSE -{MAX_QUANTITY} END
  RETURNING {_AFTER.sql}
)
SELECT w.variant_id AS wanted_id, w.quantity, GREATEST(0, l.available) AS available, t.*
FROM wanted w LEFT JOIN locked l USING (variant_id) LEFT JOIN taken t USING (variant_id) ORDER BY w.variant_id
"""

_RELEASE = f"""
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[]) AS w(variant_id, quantity)
), locked AS (
  SELECT s.variant_id, w.quantity
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
)
UPDATE stocks s SET reserved = s.reserved - l.quantity, {_touched("$3")},
  oversold = LEAST(s.oversold, GREATEST(0, s.reserved - l.quantity - s.on_hand))
FROM locked l WHERE s.variant_id = l.variant_id
RETURNING {_AFTER.sql}, l.quantity
"""

# What is owed stays the same: as many pieces leave the shop as are not promised any more.
_SHIP = f"""
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[]) AS w(variant_id, quantity, movement_id)
), locked AS (
  SELECT s.variant_id, w.quantity, w.movement_id
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
), gone AS (
  UPDATE stocks s SET reserved = s.reserved - l.quantity, on_hand = s.on_hand - l.quantity, {_touched("$4")}
  FROM locked l WHERE s.variant_id = l.variant_id
  RETURNING {_AFTER.sql}, l.quantity, l.movement_id
), moved AS (
  INSERT INTO stock_movements (movement_id, variant_id, seller_id, kind, delta, on_hand, actor, reference, create_time)
  SELECT movement_id, variant_id, seller_id, $5, -quantity, on_hand, 'SYSTEM', $6, update_time FROM gone
)
SELECT * FROM gone
"""

# What a seller has counted meanwhile may leave no room for all of it: goods must be able to come back all the same.
_PUT_BACK = f"""
WITH wanted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[]) AS w(variant_id, quantity, movement_id)
), locked AS (
  SELECT s.variant_id, LEAST(w.quantity, {MAX_QUANTITY} - s.on_hand) AS quantity, w.movement_id
  FROM wanted w JOIN stocks s USING (variant_id) ORDER BY s.variant_id FOR UPDATE OF s
), back AS (
  UPDATE stocks s SET on_hand = s.on_hand + l.quantity, {_touched("$4")},
    oversold = LEAST(s.oversold, GREATEST(0, s.reserved - s.on_hand - l.quantity))
  FROM locked l WHERE s.variant_id = l.variant_id
  RETURNING {_AFTER.sql}, l.quantity, l.movement_id
), moved AS (
  INSERT INTO stock_movements (movement_id, variant_id, seller_id, kind, delta, on_hand, actor, reference, create_time)
  SELECT movement_id, variant_id, seller_id, $5, quantity, on_hand, 'SYSTEM', $6, update_time
  FROM back WHERE quantity > 0
)
SELECT * FROM back
"""

# The rows are locked by the caller, so `before` is what the UPDATE replaces.
_COUNT = f"""
WITH counted AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::uuid[])
    AS c(variant_id, counted, reason, given_version, movement_id)
), before AS (
  SELECT s.variant_id, s.on_hand AS previous_on_hand FROM stocks s JOIN counted c USING (variant_id)
), set_to AS (
  UPDATE stocks s
  SET on_hand = c.counted, source_version = COALESCE(c.given_version, s.source_version), {_touched("$6")},
    oversold = LEAST(
      CASE s.policy WHEN {_TRACKED} THEN s.oversold ELSE {MAX_QUANTITY} + 1 END, GREATEST(0, s.reserved - c.counted))
  FROM counted c WHERE s.variant_id = c.variant_id
  RETURNING {_AFTER.sql}, c.reason, c.movement_id
), moved AS (
  INSERT INTO stock_movements
    (movement_id, variant_id, seller_id, kind, delta, on_hand, reason, actor, actor_id, create_time)
  SELECT n.movement_id, n.variant_id, n.seller_id, $7, n.on_hand - b.previous_on_hand, n.on_hand, n.reason, $8, $9,
    n.update_time
  FROM set_to n JOIN before b USING (variant_id) WHERE n.on_hand <> b.previous_on_hand
)
SELECT n.*, b.previous_on_hand FROM set_to n JOIN before b USING (variant_id) ORDER BY variant_id
"""

_SET_POLICIES = f"""
WITH wanted AS (
  SELECT w.variant_id, w.policy, s.policy AS previous_policy
  FROM unnest($1::uuid[], $2::text[]) AS w(variant_id, policy) JOIN stocks s USING (variant_id)
  WHERE s.policy <> w.policy
)
UPDATE stocks s SET policy = w.policy, {_touched("$3")} FROM wanted w WHERE s.variant_id = w.variant_id
RETURNING {_AFTER.sql}, w.previous_policy
"""


async def open_stocks(connection: Connection, rows: Sequence[NewStock], actor: Actor, now: datetime) -> None:
    """Insert the stock rows of new variants and the movements of what is there at first. rows: unique variants."""
    await connection.execute(
        _OPEN,
        [row.variant_id for row in rows],
        [row.seller_id for row in rows],
        [row.quantity for row in rows],
        [row.reason for row in rows],
        [row.policy.value for row in rows],
        [new_id() for _ in rows],
        now,
        MovementKind.OPENED.value,
        actor.kind.value,
        actor.actor_id,
    )


async def read_stock(connection: Connection, variant_id: UUID) -> Stock | None:
    """The stock of a variant."""
    row = await connection.fetchrow(f"SELECT {_STOCK.sql} FROM stocks WHERE variant_id = $1", variant_id)
    return _STOCK.optional(row)


async def read_stocks(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Stock]:
    """The stocks of these variants; unknown ones are left out."""
    rows = await connection.fetch(
        f"SELECT {_STOCK.sql} FROM stocks WHERE variant_id = ANY($1::uuid[])", list(variant_ids)
    )
    return {stock.variant_id: stock for stock in _STOCK.values(rows)}


async def list_movements(
    connection: Connection,
    wanted: MovementQuery,
    account_id: UUID | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
    *,
    newest_first: bool,
) -> list[Movement]:
    """The next `limit` movements after the one with that (create_time, movement_id), of the account's shops or, without
    one, of all.

    Each variant, or each kind of each seller, has its own part of an index and gives its first `limit`; the best of
    those are taken, so a page costs the same wherever it stands and however rare what it looks for is.
    """
    arguments = Arguments(limit)
    way, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
    conditions: list[str] = []
    if wanted.create_time_from is not None:
        conditions.append(f"m.create_time >= {arguments.add(wanted.create_time_from)}")
    if wanted.create_time_before is not None:
        conditions.append(f"m.create_time < {arguments.add(wanted.create_time_before)}")
    if after is not None:
        conditions.append(f"(m.create_time, m.movement_id) {beyond} ({', '.join(arguments.add(key) for key in after)})")
    shops = "" if account_id is None else sellers.owned_sql(arguments.add(account_id))
    if wanted.seller_ids:
        named = f"unnest({arguments.add(list(wanted.seller_ids))}::uuid[])"
        shops = f"SELECT seller_id FROM {named} n(seller_id)" + (f" WHERE seller_id IN ({shops})" if shops else "")
    kinds = [kind.value for kind in wanted.kinds or MovementKind]
    if wanted.variant_ids:
        sources = f"unnest({arguments.add(list(wanted.variant_ids))}::uuid[]) v(variant_id)"
        conditions.append("m.variant_id = v.variant_id")
        if wanted.kinds:
            conditions.append(f"m.kind = ANY({arguments.add(kinds)}::text[])")
        if shops:
            conditions.append(f"m.seller_id IN ({shops})")
    else:
        sources = f"unnest({arguments.add(kinds)}::text[]) k(kind)"
        conditions.append("m.kind = k.kind")
        if shops:
            sources = f"({shops}) s CROSS JOIN {sources}"
            conditions.append("m.seller_id = s.seller_id")
    each = f"SELECT m.create_time, m.movement_id FROM stock_movements m{where(conditions)}"
    sort = f"create_time {way}, movement_id {way}"
    rows = await connection.fetch(
        f"WITH page AS (SELECT l.* FROM {sources} CROSS JOIN LATERAL ({each} ORDER BY {sort} LIMIT $1) l"
        f" ORDER BY {sort} LIMIT $1)"
        f" SELECT {_MOVEMENT.sql} FROM page JOIN stock_movements m USING (movement_id)"
        f" ORDER BY m.create_time {way}, m.movement_id {way}",
        *arguments,
    )
    return _MOVEMENT.values(rows)


async def lock_stocks(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Stock]:
    """The stocks of these variants, locked in id order until the transaction ends; unknown ones are left out."""
    rows = await connection.fetch(
        f"SELECT {_STOCK.sql} FROM stocks WHERE variant_id = ANY($1::uuid[]) ORDER BY variant_id FOR UPDATE",
        list(variant_ids),
    )
    return {stock.variant_id: stock for stock in _STOCK.values(rows)}


async def count(
    connection: Connection, counts: Sequence[StockCount], kind: MovementKind, actor: Actor, now: datetime
) -> list[StockChange]:
    """Write counts of stocks that the caller has locked, with a movement for each that changes `on_hand`.

    counts: unique variants.
    """
    rows = await connection.fetch(
        _COUNT,
        [item.variant_id for item in counts],
        [item.quantity for item in counts],
        [item.reason for item in counts],
        [item.source_version for item in counts],
        [new_id() for _ in counts],
        now,
        kind.value,
        actor.kind.value,
        actor.actor_id,
    )
    return [_change(row, on_hand=row["on_hand"] - row["previous_on_hand"]) for row in rows]


async def set_policies(
    connection: Connection, policies: Mapping[UUID, StockPolicy], now: datetime
) -> list[StockChange]:
    """Write the policies of stocks that the caller has locked; those that have theirs already are left alone."""
    rows = await connection.fetch(_SET_POLICIES, list(policies), [policy.value for policy in policies.values()], now)
    return [_change(row, policy=StockPolicy(row["previous_policy"])) for row in rows]


async def reserve(
    connection: Connection, lines: Sequence[StockLine], now: datetime
) -> tuple[list[StockChange], list[Shortage]]:
    """Promise the pieces of all lines that can be had; gives what changed, and the others. lines: unique variants."""
    rows = await connection.fetch(_RESERVE, [line.variant_id for line in lines], [line.quantity for line in lines], now)
    taken = [_change(row, reserved=row["quantity"]) for row in rows if row["version"] is not None]
    short = [
        Shortage(row["wanted_id"], row["quantity"], row["available"] or 0) for row in rows if row["version"] is None
    ]
    return taken, short


async def release(connection: Connection, lines: Sequence[StockLine], now: datetime) -> list[StockChange]:
    """Take promises back; the stocks that were changed. lines: unique variants."""
    rows = await connection.fetch(_RELEASE, [line.variant_id for line in lines], [line.quantity for line in lines], now)
    return [_change(row, reserved=-row["quantity"]) for row in rows]


async def ship(connection: Connection, lines: Sequence[StockLine], reference: UUID, now: datetime) -> list[StockChange]:
    """Take promised pieces out of the stock; the stocks that were changed. lines: unique variants."""
    rows = await connection.fetch(_SHIP, *_moves(lines), now, MovementKind.SHIPPED.value, reference)
    return [_change(row, on_hand=-row["quantity"], reserved=-row["quantity"]) for row in rows]


async def put_back(
    connection: Connection, lines: Sequence[StockLine], reference: UUID, now: datetime
) -> list[StockChange]:
    """Put shipped pieces back into the stock; the stocks that there are for them. lines: unique variants."""
    rows = await connection.fetch(_PUT_BACK, *_moves(lines), now, MovementKind.RETURNED.value, reference)
    return [_change(row, on_hand=row["quantity"]) for row in rows]


def _moves(lines: Sequence[StockLine]) -> tuple[list[UUID], list[int], list[UUID]]:
    return [line.variant_id for line in lines], [line.quantity for line in lines], [new_id() for _ in lines]


def _change(row: Record, *, on_hand: int = 0, reserved: int = 0, policy: StockPolicy | None = None) -> StockChange:
    """What a row of `_AFTER` changed by so much."""
    stock = _STOCK.value(row)
    return StockChange(stock, policy or stock.policy, stock.on_hand - on_hand, stock.reserved - reserved)
