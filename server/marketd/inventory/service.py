"""What other slices ask of inventory: opening, counting and reading stock for catalog and cart; promising, taking back
and shipping pieces for order. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from marketd.inventory import repository
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.values import NewStock, Stock, StockCount, StockLine
from marketd.kernel.db.uow import UnitOfWork


def available_sql(variant_id: str) -> str:
    """SQL that gives the pieces that can still be sold of the variant whose id `variant_id` names (a column or an
    argument); 0 without stock. For statements of slices above that would need a second round trip else.
    """
    return f"COALESCE((SELECT s.on_hand - s.reserved FROM stocks s WHERE s.variant_id = {variant_id}), 0)"  # noqa: S608 - a column


async def create_stock(uow: UnitOfWork, rows: Sequence[NewStock]) -> None:
    """Open the stock of new variants; catalog calls it in the transaction that makes them. rows: unique variants."""
    if rows:
        await repository.open_stocks(uow.connection, rows, uow.now)


async def lock_stocks(uow: UnitOfWork, variant_ids: Sequence[UUID]) -> dict[UUID, Stock]:
    """The stocks of these variants, locked in id order for `set_stocks`; unknown ones are left out."""
    return await repository.lock_stocks(uow.connection, variant_ids)


async def set_stocks(uow: UnitOfWork, counts: Sequence[StockCount]) -> None:
    """Write many counts at once. The caller owns the variants, has locked them with `lock_stocks` and has seen that
    none falls below what is reserved; the table's CHECK refuses it otherwise. counts: unique variants.
    """
    if counts:
        await repository.count(uow.connection, counts, uow.now)


async def reserve(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Promise pieces to an order: all lines or none, in one statement, rows locked in variant id order.

    `reference` is the order group; it is not stored, the order's own lines are the record of the promise. Raises
    InsufficientStock with every short line; a variant without stock counts as 0. lines: those of one variant are added.
    """
    shortages = await repository.reserve(uow.connection, _merged(lines), uow.now) if lines else []
    if shortages:
        raise InsufficientStock(shortages)


async def release(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Take back what `reserve` promised to `reference`. The caller sees to it that this happens once for a line."""
    merged = _merged(lines)
    if merged and await repository.release(uow.connection, merged, uow.now) != len(merged):
        raise RuntimeError(f"a variant of {reference} has no stock to release")


async def ship(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Take promised pieces out of the shop: on hand and reserved fall, and a movement names `reference`.

    The caller sees to it that this happens once for a line.
    """
    merged = _merged(lines)
    if merged and await repository.ship(uow.connection, merged, reference, uow.now) != len(merged):
        raise RuntimeError(f"a variant of {reference} has no stock to ship")


async def put_back(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Put pieces that were shipped with `reference` back into the shop: on hand rises, and a movement says so.

    The caller sees to it that this happens once for a line. What would not fit into a stock any more is left out.
    """
    merged = _merged(lines)
    if merged and await repository.put_back(uow.connection, merged, reference, uow.now) != len(merged):
        raise RuntimeError(f"a variant of {reference} has no stock to come back to")


def _merged(lines: Iterable[StockLine]) -> list[StockLine]:
    """One line a variant, quantities added, in variant id order."""
    quantities: dict[UUID, int] = {}
    for line in lines:
        quantities[line.variant_id] = quantities.get(line.variant_id, 0) + line.quantity
    return [StockLine(variant_id, quantities[variant_id]) for variant_id in sorted(quantities)]
