"""Changing promo codes, and disabling them for good.

Orders that are being placed with a code wait for a change of it, and it for them: both lock the code's row. What was
quoted before with other terms is not ordered (redeem.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from marketd.audit import log
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.promotion.create import minor_of
from marketd.promotion.errors import CodeDisabled
from marketd.promotion.events import PromoCodeDisabled, PromoCodeUpdated
from marketd.promotion.owners import may_see
from marketd.promotion.repository import codes
from marketd.promotion.terms import check_scope, check_terms, with_ceilings
from marketd.promotion.values import PromoCode, PromoCodeChange, SeenCode

# What a quote is made of; limits are judged when the order is placed, and a description changes no price.
_TERMS: Final = (
    "rate",
    "amount_minor",
    "scope_seller_ids",
    "scope_category_ids",
    "scope_product_ids",
    "min_subtotal_minor",
    "max_discount_minor",
    "start_time",
    "end_time",
    "first_order_only",
    "stackable",
)


@dataclass(frozen=True, slots=True)
class Disabling:
    """Which code to disable, and why; an empty etag does so whatever happened to it since it was read."""

    promo_code_id: UUID
    reason: str
    etag: str


async def update_promo_code(uow: UnitOfWork, caller: Caller, change: PromoCodeChange) -> SeenCode:
    """Change what is named; what is so already stays as it is.

    Raises NotFound, also for the codes of others, EtagMismatch, CodeDisabled, and ValidationFailed for terms and things
    in the scope that cannot be.
    """
    before = await _lock(uow, caller, change.promo_code_id)
    check_etag(change.etag, before.version)
    if before.disable_time is not None:
        raise CodeDisabled
    after = _changed(before, change)
    check_terms(after)
    await check_scope(uow, after, before.scope)
    if after == before:
        return before.seen(uow.now)
    is_other = any(getattr(after, name) != getattr(before, name) for name in _TERMS)
    after = replace(
        await with_ceilings(uow, after),
        terms_version=before.terms_version + is_other,
        version=before.version + 1,
        update_time=uow.now,
    )
    await codes.save(uow.connection, after)
    uow.emit(PromoCodeUpdated(promo_code_id=after.promo_code_id, seller_id=after.seller_id))
    await log.record(uow, caller, "promo_code", after.promo_code_id, before=before, after=after)
    return after.seen(uow.now)


async def disable_promo_code(uow: UnitOfWork, caller: Caller, command: Disabling) -> SeenCode:
    """Disable a code for good; one that is disabled stays as it is, whatever etag comes.

    Raises NotFound, also for the codes of others, and EtagMismatch.
    """
    before = await _lock(uow, caller, command.promo_code_id)
    if before.disable_time is not None:
        return before.seen(uow.now)
    check_etag(command.etag, before.version)
    after = replace(before, disable_time=uow.now, update_time=uow.now, version=before.version + 1)
    await codes.save(uow.connection, after)
    uow.emit(PromoCodeDisabled(promo_code_id=after.promo_code_id, seller_id=after.seller_id))
    await log.record(uow, caller, "promo_code", after.promo_code_id, command.reason, before=before, after=after)
    return after.seen(uow.now)


async def _lock(uow: UnitOfWork, caller: Caller, promo_code_id: UUID) -> PromoCode:
    code = await codes.lock(uow.connection, promo_code_id)
    if code is None or not await may_see(uow, caller, code):
        raise NotFound("promo code", promo_code_id)
    return code


def _changed(before: PromoCode, change: PromoCodeChange) -> PromoCode:
    new, paths, after = change.new, change.paths, before
    if "percent" in paths:
        after = replace(after, rate=new.rate)
    if "amount" in paths:
        after = replace(after, amount_minor=minor_of(new.amount))
    if change.scope is not None:
        scope = change.scope(before.scope)
        after = replace(
            after,
            scope_seller_ids=scope.seller_ids,
            scope_category_ids=scope.category_ids,
            scope_product_ids=scope.product_ids,
        )
    if "min_subtotal" in paths:
        after = replace(after, min_subtotal_minor=minor_of(new.min_subtotal) or None)
    if "max_discount" in paths:
        after = replace(after, max_discount_minor=minor_of(new.max_discount))
    if "window" in paths:
        after = replace(after, start_time=new.start_time, end_time=new.end_time)
    for name in ("usage_limit", "per_user_limit", "first_order_only", "stackable", "description"):
        if name in paths:
            after = replace(after, **{name: getattr(new, name)})
    return after
