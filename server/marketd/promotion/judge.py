"""Whether a code does anything for a cart, and why not: in words that say what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.kernel.call.reasons import Reason
from marketd.promotion import discounts, words
from marketd.promotion.model import MAX_CODES, PromoCodeState, PromoKind
from marketd.promotion.values import Evaluation, PromoCode, PromoLine, PromoProblem, PromoScope, PromoTerms, Promotion


@dataclass(frozen=True, slots=True)
class Candidate:
    """A code of a cart with what decides about it beside the cart.

    category_ids: those of the lines that are in one of the scope's categories or below. uses: how often the account
    uses it now. is_first_order: whether the account has no order yet; True also for guests, of whom nobody knows.
    """

    code: PromoCode
    category_ids: tuple[UUID, ...] = ()
    uses: int = 0
    is_first_order: bool = True

    @property
    def terms(self) -> PromoTerms:
        """What the arithmetic needs of it."""
        code = self.code
        # A scope whose categories fit none of the lines must not become one without categories.
        categories = self.category_ids or code.scope_category_ids
        return PromoTerms(
            promo_code_id=code.promo_code_id,
            code=code.code,
            terms_version=code.terms_version,
            kind=code.kind,
            rate=code.rate,
            amount_minor=code.amount_minor,
            max_discount_minor=code.max_discount_minor,
            seller_id=code.seller_id,
            scope=PromoScope(code.scope_seller_ids, categories, code.scope_product_ids),
            description=code.description,
        )


def judge(
    candidates: Sequence[Candidate], lines: Sequence[PromoLine], fees: Mapping[UUID, int] | None, now: datetime
) -> Evaluation:
    """What the codes do together. candidates: in the order applied; lines and fees as of discounts.apply.

    Of codes that cannot stand together the one that was applied first counts. A code that would take nothing off has a
    problem too, so that it is not used up for nothing; then one that it kept out may count.
    """
    problems: dict[UUID, PromoProblem] = {}
    for candidate in candidates:
        problem = _own_problem(candidate, lines, now)
        if problem is not None:
            problems[candidate.code.promo_code_id] = problem
    while True:
        standing, kept_out = _together([each for each in candidates if each.code.promo_code_id not in problems])
        promotions = discounts.apply([each.terms for each in standing], lines, fees)
        idle = [each for each in promotions if _is_idle(each, fees)]
        if not idle:
            break
        problems |= {each.promo_code_id: _idle_problem(each) for each in idle}
    problems |= kept_out
    in_order = [each.code.promo_code_id for each in candidates]
    return Evaluation(promotions, tuple(problems[each] for each in in_order if each in problems))


def _own_problem(candidate: Candidate, lines: Sequence[PromoLine], now: datetime) -> PromoProblem | None:
    """What keeps the code from counting, whatever others are on the cart."""
    code, name = candidate.code, candidate.code.code
    state = code.state(now)
    if state is PromoCodeState.DISABLED:
        return _problem(code, Reason.PROMO_EXPIRED, words.disabled(name))
    if state in (PromoCodeState.EXPIRED, PromoCodeState.SCHEDULED):
        return _problem(code, Reason.PROMO_EXPIRED, words.out_of_window(code, now))
    if state is PromoCodeState.EXHAUSTED:
        return _problem(code, Reason.PROMO_EXHAUSTED, words.used_up(name, by_user=False))
    if code.per_user_limit is not None and candidate.uses >= code.per_user_limit:
        return _problem(code, Reason.PROMO_EXHAUSTED, words.used_up(name, by_user=True))
    if code.first_order_only and not candidate.is_first_order:
        return _problem(code, Reason.PROMO_NOT_APPLICABLE, words.later_order(name))
    terms = candidate.terms
    in_scope = [line for line in lines if terms.covers(line)]
    if not in_scope:
        return _problem(code, Reason.PROMO_NOT_APPLICABLE, words.out_of_scope(name))
    worth = sum(line.amount_minor for line in in_scope)
    if code.min_subtotal_minor is not None and worth < code.min_subtotal_minor:
        message = words.too_little(name, code.money(code.min_subtotal_minor), code.money(worth))
        return _problem(code, Reason.PROMO_NOT_APPLICABLE, message)
    return None


def _together(candidates: Sequence[Candidate]) -> tuple[list[Candidate], dict[UUID, PromoProblem]]:
    """Those that count beside each other, and the problems of the others."""
    standing: list[Candidate] = []
    kept_out: dict[UUID, PromoProblem] = {}
    for each in candidates:
        code = each.code
        others = [one.code.code for one in standing if not (code.stackable and one.code.stackable)]
        if not others and len(standing) < MAX_CODES:
            standing.append(each)
            continue
        message = words.not_beside(code.code, others) if others else words.too_many(code.code)
        kept_out[code.promo_code_id] = _problem(code, Reason.PROMO_NOT_APPLICABLE, message)
    return standing, kept_out


def _is_idle(promotion: Promotion, fees: Mapping[UUID, int] | None) -> bool:
    """Whether it takes nothing off; a free delivery may still do so while no fees are known."""
    if promotion.kind is PromoKind.FREE_DELIVERY and fees is None:
        return False
    return not promotion.line_shares and not promotion.delivery_shares


def _idle_problem(promotion: Promotion) -> PromoProblem:
    is_delivery = promotion.kind is PromoKind.FREE_DELIVERY
    message = words.delivered_free(promotion.code) if is_delivery else words.nothing_left(promotion.code)
    return PromoProblem(promotion.promo_code_id, promotion.code, Reason.PROMO_NOT_APPLICABLE, message)


def _problem(code: PromoCode, reason: Reason, message: str) -> PromoProblem:
    return PromoProblem(code.promo_code_id, code.code, reason, message)
