"""What codes take off lines and delivery fees, in whole minor units. Pure: no database, no clock, no currency.

Nothing is created or lost: a discount is computed once over all the lines in scope, and its shares add up to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from marketd.promotion.model import PromoKind
from marketd.promotion.values import PromoLine, PromoTerms, Promotion

_WHOLE: Final = 1_000_000  # the rate of 100 percent
_ORDER: Final = tuple(PromoKind)


def apply(
    terms: Sequence[PromoTerms], lines: Sequence[PromoLine], fees: Mapping[UUID, int] | None
) -> tuple[Promotion, ...]:
    """What the codes take off together, in the order in which they count; one for each of `terms`, also where it takes
    nothing off.

    terms: in the order applied. lines: unique variant_id, amounts of 0 or more. fees: of the packages by seller_id, 0
    or more; None while nobody knows them.

    PERCENT takes of what is left of the lines in scope, rounded half up once and at most the cap; FIXED takes at most
    what is left; FREE_DELIVERY takes what is left of the fees of packages with a line in scope, at most the cap.
    """
    left = {line.variant_id: line.amount_minor for line in lines}
    fees_left = dict(fees or {})
    found = []
    for code in sorted(terms, key=lambda each: _ORDER.index(each.kind)):  # stable: each kind in the order applied
        in_scope = [line for line in lines if code.covers(line)]
        if code.kind is PromoKind.FREE_DELIVERY:
            packages = [each for each in dict.fromkeys(line.seller_id for line in in_scope) if each in fees_left]
            delivery_shares = _take(fees_left, packages, _discount(code, sum(fees_left[each] for each in packages)))
            line_shares: dict[UUID, int] = {}
        else:
            variants = [line.variant_id for line in in_scope]
            line_shares = _take(left, variants, _discount(code, sum(left[each] for each in variants)))
            delivery_shares = {}
        found.append(
            Promotion(
                promo_code_id=code.promo_code_id,
                code=code.code,
                terms_version=code.terms_version,
                kind=code.kind,
                funded_by=code.funded_by,
                line_shares=line_shares,
                delivery_shares=delivery_shares,
                description=code.description,
                seller_id=code.seller_id,
            )
        )
    return tuple(found)


def share_out(amount_minor: int, weights: Sequence[int]) -> list[int]:
    """The amount in whole parts in proportion to the weights, by largest remainder; of equal remainders the earlier one
    gets the unit.

    weights: 0 or more each, and together at least the amount, so that no part is above its weight. The parts add up to
    the amount, and each is within one unit of its exact share.
    """
    whole = sum(weights)
    if not 0 <= amount_minor <= whole:
        raise ValueError("the amount must be 0 or more and at most the sum of the weights")
    if whole == 0:
        return [0] * len(weights)
    parts = [amount_minor * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(amount_minor * weights[place] % whole))
    for place in by_remainder[: amount_minor - sum(parts)]:
        parts[place] += 1
    return parts


def _discount(code: PromoTerms, left_minor: int) -> int:
    """What the code takes off lines or fees of which so much is left."""
    if code.kind is PromoKind.FIXED:
        return min(code.amount_minor or 0, left_minor)
    rate = code.rate or 0
    wanted = left_minor if code.kind is PromoKind.FREE_DELIVERY else (2 * left_minor * rate + _WHOLE) // (2 * _WHOLE)
    return wanted if code.max_discount_minor is None else min(wanted, code.max_discount_minor)


def _take(left: dict[UUID, int], keys: Sequence[UUID], amount_minor: int) -> dict[UUID, int]:
    """Share the amount over what is left under the keys, and take it away there; the shares above 0."""
    shares = dict(zip(keys, share_out(amount_minor, [left[key] for key in keys]), strict=True))
    for key, share in shares.items():
        left[key] -= share
    return {key: share for key, share in shares.items() if share}
