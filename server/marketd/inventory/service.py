"""What other slices ask of inventory: opening, counting and reading stock for catalog and cart; promising, taking back
and shipping pieces for order. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from marketd.inventory import repository
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.model import MovementKind, StockPolicy
from marketd.inventory.tell import tell
from marketd.inventory.values import Actor, NewStock, Stock, StockCount, StockLine
from marketd.kernel.call import call as calls
from marketd.kernel.db.uow import UnitOfWork


def availability_sql(variant_id: str) -> str:
    """SQL that gives the policy and the available pieces of the variant whose id `variant_id` names (a column or an
    argument), as one value that `Availability.read` reads; NULL without stock. For statements of slices above that
    would need a second round trip else.
    """
    return f"(SELECT ROW(s.policy, s.on_hand - s.reserved) FROM stocks s WHERE s.variant_id = {variant_id})"  # noqa: S608 - a column


def level_sql(variant_id: str) -> str:
    """SQL that gives the policy and the pieces on hand of the variant whose id `variant_id` names, as one value that
    `StockLevel.read` reads; NULL without stock. For catalog, whose exports say what a seller counted.
    """
    return f"(SELECT ROW(s.policy, s.on_hand) FROM stocks s WHERE s.variant_id = {variant_id})"  # noqa: S608 - a column


def in_stock_sql(variant_id: str) -> str:
    """SQL that says whether buyers are told that there are some of the variant whose id `variant_id` names (a column):
    IN_STOCK or LOW_STOCK. False without stock. For catalog, whose search puts them first.
    """
    return (
        f"COALESCE((SELECT s.policy = '{StockPolicy.UNTRACKED}' OR s.on_hand > s.reserved FROM stocks s"  # noqa: S608 - a column
        f" WHERE s.variant_id = {variant_id}), false)"
    )


async def create_stock(uow: UnitOfWork, rows: Sequence[NewStock], actor: Actor | None = None) -> None:
    """Open the stock of new variants; catalog calls it in the transaction that makes them.

    rows: unique variants. `actor` is who made them, None whoever makes the current call.
    """
    if rows:
        await repository.open_stocks(uow.connection, rows, actor or _caller(), uow.now)


async def lock_stocks(uow: UnitOfWork, variant_ids: Sequence[UUID]) -> dict[UUID, Stock]:
    """The stocks of these variants, locked in id order for `set_stocks` and `set_policies`; unknown are left out."""
    return await repository.lock_stocks(uow.connection, variant_ids)


async def set_stocks(uow: UnitOfWork, counts: Sequence[StockCount], actor: Actor | None = None) -> None:
    """Write many counts at once. The caller owns the variants, has locked them with `lock_stocks` and has seen that
    none that is TRACKED falls below what is reserved; the table's CHECK refuses it otherwise.

    counts: unique variants. `actor` is who counted, None whoever makes the current call.
    """
    if counts:
        tell(uow, await repository.count(uow.connection, counts, MovementKind.COUNTED, actor or _caller(), uow.now))


async def set_policies(uow: UnitOfWork, policies: Mapping[UUID, StockPolicy]) -> None:
    """Say until when variants are sold; those that are sold so already are left alone.

    The caller owns them and has locked their stocks with `lock_stocks`. To TRACKED may go what has promised more than
    is there: nothing more is sold of it until enough is counted.
    """
    if policies:
        tell(uow, await repository.set_policies(uow.connection, policies, uow.now))


async def reserve(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Promise pieces to an order: all lines or none, in one statement, rows locked in variant id order.

    Of a variant that is not TRACKED pieces are promised that are not there. `reference` is the order group; it is not
    stored, the order's own lines are the record of the promise. Raises InsufficientStock with every short line; a
    variant without stock counts as 0. lines: those of one variant are added.
    """
    if not lines:
        return
    changes, shortages = await repository.reserve(uow.connection, _merged(lines), uow.now)
    if shortages:
        raise InsufficientStock(shortages)
    tell(uow, changes)


async def release(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Take back what `reserve` promised to `reference`. The caller sees to it that this happens once for a line."""
    if merged := _merged(lines):
        changes = await repository.release(uow.connection, merged, uow.now)
        if len(changes) != len(merged):
            raise RuntimeError(f"a variant of {reference} has no stock to release")
        tell(uow, changes)


async def ship(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Take promised pieces out of the shop: on hand and reserved fall, and a movement names `reference`, the order.

    The caller sees to it that this happens once for a line.
    """
    if merged := _merged(lines):
        changes = await repository.ship(uow.connection, merged, reference, uow.now)
        if len(changes) != len(merged):
            raise RuntimeError(f"a variant of {reference} has no stock to ship")
        tell(uow, changes)


async def put_back(uow: UnitOfWork, lines: Sequence[StockLine], reference: UUID) -> None:
    """Put pieces of the order `reference` that were shipped back into the shop: on hand rises, and a movement says so.

    The caller sees to it that this happens once for a line. What would not fit into a stock any more is left out.
    """
    if merged := _merged(lines):
        changes = await repository.put_back(uow.connection, merged, reference, uow.now)
        if len(changes) != len(merged):
            raise RuntimeError(f"a variant of {reference} has no stock to come back to")
        tell(uow, changes)


def _caller() -> Actor:
    return Actor.of(calls.current_caller())


def _merged(lines: Iterable[StockLine]) -> list[StockLine]:
    """One line a variant, quantities added, in variant id order."""
    quantities: dict[UUID, int] = {}
    for line in lines:
        quantities[line.variant_id] = quantities.get(line.variant_id, 0) + line.quantity
    return [StockLine(variant_id, quantities[variant_id]) for variant_id in sorted(quantities)]
