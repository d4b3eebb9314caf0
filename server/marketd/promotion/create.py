"""Making promo codes."""

from __future__ import annotations

from marketd.audit import log
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.promotion.errors import CodeTaken
from marketd.promotion.events import PromoCodeCreated
from marketd.promotion.owners import seller_for
from marketd.promotion.repository import codes
from marketd.promotion.terms import check_scope, check_terms
from marketd.promotion.values import NewPromoCode, PromoCode, PromoScope, SeenCode, code_key


async def create_promo_code(uow: UnitOfWork, caller: Caller, new: NewPromoCode, currency: str) -> SeenCode:
    """Make a code: a seller's own, or as an admin the marketplace's or a seller's.

    Raises NotFound for a seller without a shop, ValidationFailed for a seller, terms and things in the scope that
    cannot be, and CodeTaken.
    """
    seller_id = await seller_for(uow, caller, new.seller_id)
    code = PromoCode(
        promo_code_id=new_id(),
        code=new.code,
        code_key=code_key(new.code),
        seller_id=seller_id,
        kind=new.kind,
        currency=currency,
        rate=new.rate,
        amount_minor=minor_of(new.amount),
        scope_seller_ids=new.scope.seller_ids,
        scope_category_ids=new.scope.category_ids,
        scope_product_ids=new.scope.product_ids,
        min_subtotal_minor=minor_of(new.min_subtotal) or None,
        max_discount_minor=minor_of(new.max_discount),
        start_time=new.start_time,
        end_time=new.end_time,
        usage_limit=new.usage_limit,
        per_user_limit=new.per_user_limit,
        first_order_only=new.first_order_only,
        stackable=new.stackable,
        description=new.description,
        usage_count=0,
        usage_ceiling=new.usage_limit,
        per_user_ceiling=new.per_user_limit,
        terms_version=1,
        create_time=uow.now,
        update_time=uow.now,
        disable_time=None,
        version=1,
    )
    check_terms(code)
    await check_scope(uow, code, PromoScope())
    if not await codes.insert(uow.connection, code):
        raise CodeTaken(code.code)
    uow.emit(PromoCodeCreated(promo_code_id=code.promo_code_id, seller_id=code.seller_id))
    await log.record(uow, caller, "promo_code", code.promo_code_id, after=code)
    return code.seen(uow.now)


def minor_of(amount: Money | None) -> int | None:
    """The amount in minor units of the marketplace's currency; None where there is none."""
    return None if amount is None else amount.amount_minor
