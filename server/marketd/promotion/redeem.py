"""Using codes up for an order, in the order's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.promotion import words
from marketd.promotion.errors import PromoExhausted, PromoExpired, PromoNotApplicable, TermsChanged
from marketd.promotion.model import PromoCodeState
from marketd.promotion.ports import BuyerHistory
from marketd.promotion.repository import codes, uses
from marketd.promotion.values import Promotion


async def redeem(
    uow: UnitOfWork, user_id: UUID, order_group_id: UUID, promotions: Sequence[Promotion], history: BuyerHistory
) -> None:
    """service.redeem."""
    if not promotions:
        return
    versions = {each.promo_code_id: each.terms_version for each in promotions}
    counted = await uses.redeem(uow.connection, user_id, order_group_id, versions, uow.now)
    is_used = {each.promo_code_id: each.used for each in counted}
    for promotion in promotions:
        if promotion.promo_code_id not in is_used:
            await _refuse(uow, promotion)
        if not is_used[promotion.promo_code_id]:
            raise PromoExhausted(promotion.code, words.used_up(promotion.code, by_user=True))
    first_orders_only = {each.promo_code_id for each in counted if each.first_order_only}
    if first_orders_only and await history(uow, user_id, order_group_id):
        name = next(each.code for each in promotions if each.promo_code_id in first_orders_only)
        raise PromoNotApplicable(name, words.later_order(name))


async def _refuse(uow: UnitOfWork, promotion: Promotion) -> None:
    """Say why no use of the code was counted. Its row is locked, so it still is as it was judged."""
    code = await codes.read(uow.connection, promotion.promo_code_id)
    if code is None or code.terms_version != promotion.terms_version or code.disable_time is not None:
        raise TermsChanged(promotion.code)
    if code.state(uow.now) is PromoCodeState.EXHAUSTED:
        raise PromoExhausted(code.code, words.used_up(code.code, by_user=False))
    raise PromoExpired(code.code, words.out_of_window(code, uow.now))
