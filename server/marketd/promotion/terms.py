"""What a code's terms must be: a value that belongs to its kind, a window, and a scope of things that there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from marketd.catalog import service as catalog
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.promotion.model import PromoKind
from marketd.promotion.ports import Unit
from marketd.promotion.repository import codes
from marketd.promotion.values import PromoCode, PromoScope
from marketd.seller import service as sellers

_FIELD = "promo_code"


def check_terms(code: PromoCode) -> None:
    """Raises ValidationFailed for a value, a cap or a window that the code cannot have, naming all of them."""
    problems = [FieldViolation(f"{_FIELD}.{path}", problem) for path, problem in _problems(code)]
    if problems:
        raise ValidationFailed(*problems)


def _problems(code: PromoCode) -> Iterator[tuple[str, str]]:
    is_percent, is_fixed = code.kind is PromoKind.PERCENT, code.kind is PromoKind.FIXED
    if is_percent and not code.rate:
        yield "percent", "must be above 0; a PERCENT code takes off a part"
    if not is_percent and code.rate is not None:
        yield "percent", f"must be left out; a {code.kind.value} code has none"
    if is_fixed and not code.amount_minor:
        yield "amount", "must be more than nothing; a FIXED code takes it off"
    if not is_fixed and code.amount_minor is not None:
        yield "amount", f"must be left out; a {code.kind.value} code has none"
    if code.max_discount_minor is not None:
        if is_fixed:
            yield "max_discount", "must be left out; the amount of a FIXED code says it"
        elif code.max_discount_minor == 0:
            yield "max_discount", "must be more than nothing; leave it out for no such limit"
    if code.start_time is not None and code.end_time is not None and code.end_time <= code.start_time:
        yield "window.end_time", "must be after window.start_time"


async def check_scope(unit: Unit, code: PromoCode, former: PromoScope) -> None:
    """Raises ValidationFailed, naming all of them, for sellers, categories and products that there are not, or that are
    not of the seller whose code it is. What the former scope had may stay, though it is gone meanwhile.
    """
    scope = code.scope
    if scope == former:
        return
    problems = [
        *_unknown("seller_ids", scope.seller_ids, former.seller_ids, await _known_sellers(unit, code), _SELLER),
        *_unknown("category_ids", scope.category_ids, former.category_ids, await _known_categories(unit, code), _ANY),
        *_unknown("product_ids", scope.product_ids, former.product_ids, await _known_products(unit, code), _PRODUCT),
    ]
    if problems:
        raise ValidationFailed(*problems)


_SELLER = "is no seller that the code can be for"
_ANY = "is no category"
_PRODUCT = "is no product that the code can be for"


async def _known_sellers(unit: Unit, code: PromoCode) -> set[UUID]:
    if code.seller_id is not None:
        return {code.seller_id}
    return await sellers.known_sellers(unit, code.scope_seller_ids)


async def _known_categories(unit: Unit, code: PromoCode) -> set[UUID]:
    return set(await catalog.read_category_paths(unit.connection, code.scope_category_ids))


async def _known_products(unit: Unit, code: PromoCode) -> set[UUID]:
    owners = await catalog.read_product_sellers(unit.connection, code.scope_product_ids)
    return {each for each, seller_id in owners.items() if code.seller_id in (None, seller_id)}


def _unknown(
    name: str, given: tuple[UUID, ...], former: tuple[UUID, ...], known: set[UUID], problem: str
) -> Iterator[FieldViolation]:
    for place, each in enumerate(given):
        if each not in known and each not in former:
            yield FieldViolation(f"{_FIELD}.scope.{name}[{place}]", problem)


async def with_ceilings(unit: Unit, code: PromoCode) -> PromoCode:
    """The code with what its uses cannot exceed from now on: its limits, or the uses that there are already."""
    by_user = code.per_user_limit
    if by_user is not None:
        by_user = max(by_user, await codes.most_uses(unit.connection, code.promo_code_id))
    in_all = None if code.usage_limit is None else max(code.usage_limit, code.usage_count)
    return replace(code, usage_ceiling=in_all, per_user_ceiling=by_user)
