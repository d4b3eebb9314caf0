"""Looking at promo codes, and asking what one would do for the cart of whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.reasons import Reason
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit
from marketd.promotion import words
from marketd.promotion.evaluate import evaluate
from marketd.promotion.owners import may_see, own_seller_id
from marketd.promotion.ports import BuyerHistory, CallersCart
from marketd.promotion.repository import codes
from marketd.promotion.repository.codes import PromoCodeKey
from marketd.promotion.values import PromoCodeQuery, PromoProblem, Promotion, SeenCode, code_key


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a code would do for a cart: one of the two is there. code: as it was issued, or as it was asked for."""

    code: str
    promotion: Promotion | None
    problem: PromoProblem | None


async def get_promo_code(unit: ReadUnit, caller: Caller, promo_code_id: UUID) -> SeenCode:
    """A code that is the caller's to see. Raises NotFound, also for the codes of others."""
    code = await codes.read(unit.connection, promo_code_id)
    if code is None or not await may_see(unit, caller, code):
        raise NotFound("promo code", promo_code_id)
    return code.seen(unit.now)


async def list_promo_codes(
    unit: ReadUnit, caller: Caller, query: PromoCodeQuery, after: PromoCodeKey | None, limit: int
) -> list[SeenCode]:
    """Up to `limit` codes after that key: of the caller's shop, for admins of all."""
    own = None
    if not caller.has(Role.ADMIN):
        own = await own_seller_id(unit, caller)
        if own is None:
            return []
    found = await codes.list_page(unit.connection, query, own, after, limit, unit.now)
    return [code.seen(unit.now) for code in found]


async def validate_promo_code(
    unit: ReadUnit, caller: Caller, code: str, cart: CallersCart, history: BuyerHistory
) -> Verdict:
    """What the code would do for the caller's cart beside the codes on it, which were there first."""
    found = await codes.find(unit.connection, code_key(code))
    if found is None:
        return Verdict(code, None, PromoProblem(None, code, Reason.PROMO_NOT_FOUND, words.unknown(code)))
    basket = await cart(unit, caller)
    applied = [each for each in basket.promo_code_ids if each != found.promo_code_id]
    is_on_cart = len(applied) < len(basket.promo_code_ids)
    asked = basket.promo_code_ids if is_on_cart else (*applied, found.promo_code_id)
    outcome = await evaluate(unit, asked, basket.lines, None, caller.user_id, history)
    return Verdict(
        found.code,
        next((each for each in outcome.promotions if each.promo_code_id == found.promo_code_id), None),
        next((each for each in outcome.problems if each.promo_code_id == found.promo_code_id), None),
    )
