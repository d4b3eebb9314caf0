"""Evaluating the codes of a cart or quote, with what the database knows about them at the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from marketd.catalog import service as catalog
from marketd.kernel.call.reasons import Reason
from marketd.promotion import words
from marketd.promotion.judge import Candidate, judge
from marketd.promotion.ports import BuyerHistory, Unit
from marketd.promotion.repository import codes
from marketd.promotion.values import Evaluation, PromoCode, PromoLine, PromoProblem


async def evaluate(
    unit: Unit,
    promo_code_ids: Sequence[UUID],
    lines: Sequence[PromoLine],
    fees: Mapping[UUID, int] | None,
    user_id: UUID | None,
    history: BuyerHistory,
) -> Evaluation:
    """service.evaluate."""
    if not promo_code_ids:
        return Evaluation()
    known = await codes.read_for_cart(unit.connection, promo_code_ids, user_id)
    found = [known[each] for each in promo_code_ids if each in known]
    paths = await _paths(unit, [code for code, _ in found], lines)
    is_first = True
    if user_id is not None and any(code.first_order_only for code, _ in found):
        is_first = not await history(unit, user_id, None)
    candidates = [Candidate(code, tuple(_below(code, paths)), uses, is_first_order=is_first) for code, uses in found]
    evaluation = judge(candidates, lines, fees, unit.now)
    if len(found) == len(promo_code_ids):
        return evaluation
    gone = tuple(
        PromoProblem(each, str(each), Reason.PROMO_NOT_FOUND, words.unknown(str(each)))
        for each in promo_code_ids
        if each not in known
    )
    return Evaluation(evaluation.promotions, (*gone, *evaluation.problems))


async def _paths(unit: Unit, found: Sequence[PromoCode], lines: Sequence[PromoLine]) -> Mapping[UUID, frozenset[UUID]]:
    """Each category of the lines with itself and those above; nothing where no code asks for categories."""
    if not any(code.scope_category_ids for code in found):
        return {}
    wanted = {line.category_id for line in lines if line.category_id is not None}
    return await catalog.read_category_paths(unit.connection, list(wanted))


def _below(code: PromoCode, paths: Mapping[UUID, frozenset[UUID]]) -> list[UUID]:
    return [each for each, path in paths.items() if not path.isdisjoint(code.scope_category_ids)]
