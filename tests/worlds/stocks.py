"""Shops that have nothing but stock, for tests of inventory alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

from marketd.inventory import invariants, service, stocks
from marketd.inventory.model import StockPolicy
from marketd.inventory.values import Actor, NewStock, Stock
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.db.database import Connection
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id


async def seller(tx: Transactor) -> tuple[UUID, Caller]:
    """An active seller and the caller who owns it."""
    seller_id, user_id = new_id(), new_id()

    async def work(uow: UnitOfWork) -> None:
        await uow.connection.execute(
            "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, shop_name_key, description, state,"
            " contact, prep_duration, time_zone, opening_hours, approve_time, create_time, update_time)"
            " VALUES ($1, $2, $3, 'Shop', 'shop', '', 'ACTIVE', '{}', '10 minutes', 'UTC', '[]', $4, $4, $4)",
            seller_id,
            user_id,
            f"shop-{seller_id.hex[-12:]}",
            uow.now,
        )

    await tx.run("test.seller", work)
    return seller_id, Caller(user_id, None, frozenset({Role.SELLER}))


async def stock(
    tx: Transactor, seller_id: UUID, *quantities: int, policy: StockPolicy = StockPolicy.TRACKED, by: Caller = SYSTEM
) -> list[UUID]:
    """A variant with each of these quantities; their ids, sorted."""
    variants = sorted(new_id() for _ in quantities)
    rows = [
        NewStock(variant, seller_id, quantity, policy=policy)
        for variant, quantity in zip(variants, quantities, strict=True)
    ]
    await tx.run("test.stock", lambda uow: service.create_stock(uow, rows, Actor.of(by)))
    return variants


async def get(tx: Transactor, variant_id: UUID) -> Stock:
    """The stock as it is now."""
    return await tx.read(lambda unit: stocks.get_stock(unit, SYSTEM, variant_id))


async def counts(tx: Transactor, variant_id: UUID) -> tuple[int, int, int]:
    """Pieces on hand, promised, and promised without being there."""
    row = await tx.read(
        lambda unit: unit.connection.fetchrow(
            "SELECT on_hand, reserved, oversold FROM stocks WHERE variant_id = $1", variant_id
        )
    )
    assert row is not None
    return tuple(row)


async def broken(tx: Transactor) -> Sequence[str]:
    """What is wrong with all stocks."""
    return await tx.read(lambda unit: violations(unit.connection, invariants.INVARIANTS))


async def movements(tx: Transactor, variant_id: UUID) -> list[tuple[str, int, int]]:
    """Kind, difference and what was there after it, of each movement in order."""
    rows = await tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT kind, delta, on_hand FROM stock_movements WHERE variant_id = $1 ORDER BY create_time", variant_id
        )
    )
    return [tuple(row) for row in rows]


async def untold(connection: Connection, variant_ids: Sequence[UUID]) -> list[str]:
    """What of the stocks' events does not follow from the one before, or promises what its policy does not allow.

    Each event says how the stock was before and after it, so one that was lost, or two that did not see each other, do
    not join; and of what is tracked no step may leave more pieces owed than before.
    """
    rows = await connection.fetch(
        "SELECT s.variant_id, s.policy, s.on_hand, s.reserved, ARRAY(SELECT o.payload::text FROM outbox_events o"
        "   WHERE o.aggregate_id = s.variant_id AND o.event_type = 'stock.changed' ORDER BY o.seq) AS told"
        " FROM stocks s WHERE s.variant_id = ANY($1::uuid[])",
        list(variant_ids),
    )
    wrong: list[str] = []
    for row in rows:
        events = [json.loads(text) for text in row["told"]]
        for before, after in zip(events, [*events[1:], dict(row)], strict=True):
            where = f"{row['variant_id']} after {before['stock_version']}"
            prefix = "previous_" if "previous_on_hand" in after else ""
            if any(before[name] != after[f"{prefix}{name}"] for name in ("policy", "on_hand", "reserved")):
                wrong.append(f"{where}: what follows does not join")
            owed = max(0, before["reserved"] - before["on_hand"])
            owed_before = max(0, before["previous_reserved"] - before["previous_on_hand"])
            if before["previous_policy"] == before["policy"] == "TRACKED" and owed > owed_before:
                wrong.append(f"{where}: {owed} are owed of what is tracked, {owed_before} were")
    return wrong
