"""What carts and orders ask of promotions: what codes do for a cart, and that an order uses them up or gives them back.

Whoever calls `evaluate` and `redeem` passes order's answer to BuyerHistory (ports.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.promotion import evaluate as _evaluate
from marketd.promotion import redeem as _redeem
from marketd.promotion import words
from marketd.promotion.errors import PromoNotApplicable, PromoNotFound
from marketd.promotion.model import MAX_CODES
from marketd.promotion.ports import BuyerHistory, Unit
from marketd.promotion.repository import codes, uses
from marketd.promotion.values import CodesBeside, Evaluation, FoundCode, PromoLine, Promotion, code_key


async def evaluate(
    unit: Unit,
    promo_code_ids: Sequence[UUID],
    lines: Sequence[PromoLine],
    fees: Mapping[UUID, int] | None,
    user_id: UUID | None,
    history: BuyerHistory,
) -> Evaluation:
    """What the codes take off the lines and the fees now, and why the others do not; nothing is read without codes.

    promo_code_ids: unique, in the order applied. lines: those that can be bought, unique variant_id, in their order; of
    equal remainders the earlier one gets the unit. fees: of the packages, by seller_id; None while nobody knows them.
    user_id: None for a guest, of whom nothing is known that would be against a code.
    """
    return await _evaluate.evaluate(unit, promo_code_ids, lines, fees, user_id, history)


async def find_code(unit: Unit, code: str) -> FoundCode:
    """The code that somebody entered, in whatever case; whether it applies is `evaluate`'s to say. Raises
    PromoNotFound.
    """
    found = await codes.find(unit.connection, code_key(code))
    if found is None:
        raise PromoNotFound(code, words.unknown(code))
    return found


async def fit_beside(unit: Unit, promo_code_ids: Sequence[UUID], others: Sequence[UUID]) -> CodesBeside:
    """Which of the codes may join the others on a cart, one after the other; those that are there already have."""
    known = await codes.read_for_cart(unit.connection, list(dict.fromkeys([*others, *promo_code_ids])), None)
    standing = [known[each][0] for each in others if each in known]
    along: list[FoundCode] = []
    dropped: list[FoundCode] = []
    for code in (known[each][0] for each in promo_code_ids if each in known):
        found = FoundCode(code.promo_code_id, code.code)
        if code.promo_code_id in others:
            along.append(found)
        elif len(standing) < MAX_CODES and all(code.stackable and each.stackable for each in standing):
            along.append(found)
            standing.append(code)
        else:
            dropped.append(found)
    return CodesBeside(tuple(along), tuple(dropped))


async def check_beside(unit: Unit, promo_code_id: UUID, others: Sequence[UUID]) -> None:
    """Raises PromoNotApplicable, naming which to remove, when the code cannot stand on a cart beside the others."""
    if not others:
        return
    known = await codes.read_for_cart(unit.connection, [promo_code_id, *others], None)
    asked, _ = known[promo_code_id]
    beside = [known[each][0] for each in others if each in known]
    against = [each.code for each in beside if not (asked.stackable and each.stackable)]
    if against:
        raise PromoNotApplicable(asked.code, words.not_beside(asked.code, against))


async def redeem(
    uow: UnitOfWork, user_id: UUID, order_group_id: UUID, promotions: Sequence[Promotion], history: BuyerHistory
) -> None:
    """Count one use of each code for the orders of a group that are being placed; a refusal later in the transaction
    undoes it. promotions: unique promo_code_id, as they were evaluated.

    The codes' rows are locked from here on, in id order, and others who order with them wait: call it just before the
    stock's rows. The buyer's cart must be locked, as PlaceOrder has it: `history` finds every other order of the buyer
    then. Raises TermsChanged, PromoExpired, PromoExhausted and PromoNotApplicable.
    """
    await _redeem.redeem(uow, user_id, order_group_id, promotions, history)


async def give_back(uow: UnitOfWork, order_group_id: UUID, promo_code_ids: Collection[UUID]) -> None:
    """Give back the uses of these codes by the orders of a group: each that stands, once."""
    await give_back_all(uow, {order_group_id: promo_code_ids})


async def give_back_all(uow: UnitOfWork, promo_code_ids: Mapping[UUID, Collection[UUID]]) -> None:
    """Give back uses of several groups at once, by order_group_id: the codes' rows have one order for all of them."""
    given = {(group, code) for group, found in promo_code_ids.items() for code in found}
    if given:
        await uses.give_back(uow.connection, sorted(given), uow.now)
