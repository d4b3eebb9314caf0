"""The use cases of inventory: counting by sellers, and promising, taking back and shipping for orders.

Everything runs on `uow.connection` alone, so callers may be in either dress. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from marketd.inventory import repository
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.model import Count, Line, NewStock, Shortage, Stock
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.seller import service as sellers


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of a count; `applied` is False when its `source_version` was not above the stored one."""

    stock: Stock
    applied: bool


async def create_stock(uow: UnitOfWork, rows: Sequence[NewStock]) -> None:
    """Open the stock of new variants; catalog calls it in the transaction that makes them."""
    if rows:
        await repository.open_stocks(uow.connection, rows, uow.now)


async def get_stock(unit: UnitOfWork | ReadUnit, caller: Caller, variant_id: UUID) -> Stock:
    """The stock of an own variant; of any for admins and services. Raises NotFound."""
    stock = await repository.read_stock(unit.connection, variant_id)
    return await _owned(unit, caller, variant_id, stock)


async def set_stock(uow: UnitOfWork, caller: Caller, counted: Count) -> Counted:
    """Take a seller's count of an own variant; admins and services may count any.

    A `source_version` that is not above the stored one changes nothing: the count is older than what is known. Raises
    NotFound, and InsufficientStock when open orders have more pieces reserved than were counted.
    """
    locked = await repository.lock_stocks(uow.connection, [counted.variant_id])
    stock = await _owned(uow, caller, counted.variant_id, locked.get(counted.variant_id))
    if counted.source_version is not None and counted.source_version <= stock.source_version:
        return Counted(stock, applied=False)
    if counted.quantity < stock.reserved:
        raise InsufficientStock([Shortage(stock.variant_id, stock.reserved, counted.quantity)])
    version = stock.source_version if counted.source_version is None else counted.source_version
    if counted.quantity == stock.on_hand and version == stock.source_version:
        return Counted(stock, applied=True)
    await repository.count(uow.connection, [counted], uow.now)
    after = replace(stock, on_hand=counted.quantity, source_version=version, update_time=uow.now)
    return Counted(after, applied=True)


async def lock_stocks(uow: UnitOfWork, variant_ids: Sequence[UUID]) -> dict[UUID, Stock]:
    """The stocks of these variants, locked in id order; for callers that then `set_stocks`."""
    return await repository.lock_stocks(uow.connection, variant_ids)


async def set_stocks(uow: UnitOfWork, counts: Sequence[Count]) -> None:
    """Write many counts at once. The caller owns the variants, has locked them with `lock_stocks` and has seen that
    none falls below what is reserved; the table's CHECK refuses it otherwise. counts: unique variants.
    """
    if counts:
        await repository.count(uow.connection, counts, uow.now)


async def reserve(uow: UnitOfWork, lines: Sequence[Line], reference: UUID) -> None:
    """Promise pieces to an order: all lines or none, in one statement, rows locked in variant id order.

    `reference` is the order group; it is not stored, the order's own lines are the record of the promise. Raises
    InsufficientStock with every short line; a variant without stock counts as 0.
    """
    shortages = await repository.reserve(uow.connection, merge_lines(lines), uow.now) if lines else []
    if shortages:
        raise InsufficientStock(shortages)


async def release(uow: UnitOfWork, lines: Sequence[Line], reference: UUID) -> None:
    """Take back what `reserve` promised to `reference`. The caller sees to it that this happens once for a line."""
    merged = merge_lines(lines)
    if merged and await repository.release(uow.connection, merged, uow.now) != len(merged):
        raise RuntimeError(f"a variant of {reference} has no stock to release")


async def ship(uow: UnitOfWork, lines: Sequence[Line], reference: UUID) -> None:
    """Promised pieces leave the shop with `reference`: on hand and reserved fall, and a movement says why. Once."""
    merged = merge_lines(lines)
    if merged and await repository.ship(uow.connection, merged, reference, uow.now) != len(merged):
        raise RuntimeError(f"a variant of {reference} has no stock to ship")


async def available(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many pieces of each variant can still be sold; 0 for those without stock."""
    known = await repository.read_available(connection, variant_ids) if variant_ids else {}
    return {variant_id: known.get(variant_id, 0) for variant_id in variant_ids}


def merge_lines(lines: Iterable[Line]) -> list[Line]:
    """One line a variant, quantities added, in variant id order."""
    quantities: dict[UUID, int] = {}
    for line in lines:
        quantities[line.variant_id] = quantities.get(line.variant_id, 0) + line.quantity
    return [Line(variant_id, quantities[variant_id]) for variant_id in sorted(quantities)]


async def _owned(unit: UnitOfWork | ReadUnit, caller: Caller, variant_id: UUID, stock: Stock | None) -> Stock:
    if stock is not None and not caller.has(Role.ADMIN, Role.SERVICE):
        seller = await sellers.seller_of(unit, caller.known_user_id)
        if seller is None or seller.seller_id != stock.seller_id:
            stock = None
    if stock is None:
        raise NotFound("stock", variant_id)
    return stock
