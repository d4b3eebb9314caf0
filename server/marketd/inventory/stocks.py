"""The use cases of stock that sellers ask for: looking at it, counting it anew, putting some in or taking some out."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.audit import log
from marketd.inventory import repository
from marketd.inventory.access import is_own, owned, owned_one
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.model import MAX_QUANTITY, MovementKind, StockPolicy
from marketd.inventory.tell import tell
from marketd.inventory.values import Actor, Adjustment, Counted, Shortage, Stock, StockCount
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag


async def get_stock(unit: UnitOfWork | ReadUnit, caller: Caller, variant_id: UUID) -> Stock:
    """The stock of an own variant; of any for admins and services. Raises NotFound."""
    stock = await repository.read_stock(unit.connection, variant_id)
    return await owned_one(unit, caller, variant_id, stock)


async def batch_get_stock(unit: UnitOfWork | ReadUnit, caller: Caller, variant_ids: Sequence[UUID]) -> list[Stock]:
    """The stocks of these variants that the caller may see, each once, in the order of the ids."""
    found = await owned(unit, caller, await repository.read_stocks(unit.connection, variant_ids))
    return [found[variant_id] for variant_id in dict.fromkeys(variant_ids) if variant_id in found]


async def set_stock(uow: UnitOfWork, caller: Caller, count: StockCount) -> Counted:
    """Take a seller's count of an own variant; admins and services may count any.

    A `source_version` that is not above the stored one changes nothing: the count is older than what is known. Neither
    does a count that stands already, whatever its etag. Raises NotFound, EtagMismatch, ValidationFailed, and
    InsufficientStock when open orders were promised more pieces of what is TRACKED than were counted.
    """
    stock = await _locked(uow, caller, count.variant_id)
    source_version = stock.source_version if count.source_version is None else count.source_version
    if count.quantity == stock.on_hand and source_version == stock.source_version:
        return Counted(stock, applied=True)
    check_etag(count.etag, stock.version)
    if count.source_version is not None and count.source_version <= (stock.source_version or 0):
        return Counted(stock, applied=False)
    if _promises_too_much(stock, count.quantity):
        raise _promised(stock, Shortage(stock.variant_id, stock.reserved, count.quantity))
    after = await _write(uow, caller, stock, count, MovementKind.COUNTED, "quantity")
    return Counted(after, applied=True)


async def adjust_stock(uow: UnitOfWork, caller: Caller, adjustment: Adjustment) -> Stock:
    """Put pieces of an own variant in, or take some out; admins and services may do so to any.

    Raises NotFound, EtagMismatch, ValidationFailed for more than a stock can count, and InsufficientStock when more
    pieces of what is TRACKED would be promised than are there.
    """
    stock = await _locked(uow, caller, adjustment.variant_id)
    check_etag(adjustment.etag, stock.version)
    on_hand = stock.on_hand + adjustment.delta
    if _promises_too_much(stock, on_hand):
        raise _promised(stock, Shortage(stock.variant_id, -adjustment.delta, max(0, stock.available)))
    count = StockCount(stock.variant_id, on_hand, adjustment.reason)
    return await _write(uow, caller, stock, count, MovementKind.ADJUSTED, "delta")


def _promises_too_much(stock: Stock, on_hand: int) -> bool:
    """Whether fewer pieces would be there than were promised. What is short already may only become less so."""
    return stock.policy is StockPolicy.TRACKED and stock.reserved - on_hand > stock.oversold


def _promised(stock: Stock, shortage: Shortage) -> InsufficientStock:
    """The refusal in the words of a shop: who counts cannot ask for fewer."""
    if stock.oversold:
        message = (
            f"{stock.oversold:,} pieces are missing already, so no count below {stock.on_hand:,} is taken; cancel what"
            " cannot be sent first, or let the variant be sold whatever is there (UpdateVariant, stock_policy)."
        )
    elif stock.reserved:
        message = (
            f"On hand: {stock.on_hand:,}, promised to open orders: {stock.reserved:,}; leave at least"
            f" {stock.reserved:,}, or cancel orders."
        )
    else:
        message = f"On hand: {stock.on_hand:,}; no more than that can be taken out."
    return InsufficientStock([shortage], message)


async def _locked(uow: UnitOfWork, caller: Caller, variant_id: UUID) -> Stock:
    locked = await repository.lock_stocks(uow.connection, [variant_id])
    return await owned_one(uow, caller, variant_id, locked.get(variant_id))


async def _write(
    uow: UnitOfWork, caller: Caller, stock: Stock, count: StockCount, kind: MovementKind, field: str
) -> Stock:
    """Write the count of a locked stock. What an admin does to a shop of somebody else's is in the audit log; a service
    that feeds counts would flood it, and is named by the movement.
    """
    if not -MAX_QUANTITY <= count.quantity - stock.reserved <= MAX_QUANTITY or count.quantity > MAX_QUANTITY:
        limit = f"{MAX_QUANTITY:,} pieces at most can be there, and as many be owed beyond; {stock.on_hand:,} are there"
        raise ValidationFailed(FieldViolation(field, f"is too much: {limit}"))
    owns = await is_own(uow, caller, stock)
    [change] = await repository.count(uow.connection, [count], kind, Actor.of(caller, owns=owns), uow.now)
    if not owns and caller.has(Role.ADMIN):
        await log.record(uow, caller, "variant", stock.variant_id, count.reason, before=stock, after=change.stock)
    tell(uow, [change])
    return change.stock
