"""Whose promo codes they are: sellers have those of the own shop, admins have all."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.promotion.ports import Unit
from marketd.promotion.values import PromoCode
from marketd.seller import service as sellers


async def own_seller_id(unit: Unit, caller: Caller) -> UUID | None:
    """The caller's shop that is neither closed nor rejected; None for whoever has none."""
    if not caller.has(Role.SELLER) or caller.user_id is None:
        return None
    seller = await sellers.seller_of(unit, caller.user_id)
    return None if seller is None else seller.seller_id


async def seller_for(unit: Unit, caller: Caller, seller_id: UUID | None) -> UUID | None:
    """Whose a new code is, that names this seller or none: the caller's own, for admins that seller's or, with None,
    the marketplace's.

    Raises NotFound for a seller without a shop, and ValidationFailed for another's and for one that there is not.
    """
    if caller.has(Role.ADMIN):
        if seller_id is None or await sellers.known_sellers(unit, [seller_id]):
            return seller_id
        raise ValidationFailed(FieldViolation("promo_code.seller_id", "is no seller; leave it out for the marketplace"))
    own = await own_seller_id(unit, caller)
    if own is None:
        raise NotFound("seller", "me")
    if seller_id not in (None, own):
        raise ValidationFailed(FieldViolation("promo_code.seller_id", "is not your shop; leave it out"))
    return own


async def may_see(unit: Unit, caller: Caller, code: PromoCode) -> bool:
    """Whether the code is the caller's to see and change."""
    if caller.has(Role.ADMIN):
        return True
    return code.seller_id is not None and code.seller_id == await own_seller_id(unit, caller)
