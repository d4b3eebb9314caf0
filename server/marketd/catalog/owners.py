"""Whose products they are: for which seller a caller may act, and what of the catalog is the caller's own."""

from __future__ import annotations

from uuid import UUID

from marketd.audit import log
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.seller import service as sellers
from marketd.seller.values import Seller


async def own_seller(unit: UnitOfWork | ReadUnit, caller: Caller) -> Seller | None:
    """The caller's seller that is not closed; None for whoever has none."""
    if not caller.has(Role.SELLER) or caller.user_id is None:
        return None
    return await sellers.seller_of(unit, caller.user_id)


async def owns(unit: UnitOfWork | ReadUnit, caller: Caller, seller_id: UUID) -> bool:
    """Whether the caller may see and change all of the seller's products: the owner and admins."""
    if caller.has(Role.ADMIN):
        return True
    own = await own_seller(unit, caller)
    return own is not None and own.seller_id == seller_id


async def record_foreign(
    uow: UnitOfWork,
    caller: Caller,
    seller_id: UUID,
    thing: tuple[str, UUID],
    *,
    before: object | None = None,
    after: object | None = None,
) -> None:
    """Leave an audit entry of a change when the product is another shop's than the caller's: an admin made it.

    thing: its kind and its id. `before` and `after` as in audit.log.
    """
    own = await own_seller(uow, caller)
    if own is None or own.seller_id != seller_id:
        kind, thing_id = thing
        await log.record(uow, caller, kind, thing_id, before=before, after=after)


async def seller_for(unit: UnitOfWork | ReadUnit, caller: Caller, seller_id: UUID | None, field: str) -> Seller:
    """The seller that the caller may act for: its own, or as an admin the named one.

    Raises NotFound for a seller that is not the caller's, and ValidationFailed at `field` when an admin without a shop
    names none.
    """
    own = await own_seller(unit, caller)
    if own is not None and seller_id in (None, own.seller_id):
        return own
    if not caller.has(Role.ADMIN):
        raise NotFound("seller", seller_id or "me")
    if seller_id is None:
        raise ValidationFailed(FieldViolation(field, "admins must name the seller"))
    named = await sellers.read_seller(unit, seller_id)
    if named is None:
        raise NotFound("seller", seller_id)
    return named
