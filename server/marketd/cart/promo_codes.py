"""Promo codes on a cart: put there and taken off again.

What a code that stands there does is worked out whenever the cart is looked at (pricing.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.cart import repository
from marketd.cart.change import lock, lock_open
from marketd.cart.errors import PromoCodeNotApplied, TooManyPromoCodes
from marketd.cart.owner import CartOwner
from marketd.cart.pricing import Pricing
from marketd.cart.read import open_cart, own_cart
from marketd.cart.values import PricedCart
from marketd.kernel.call.reasons import Reason
from marketd.kernel.db.uow import UnitOfWork
from marketd.promotion import service as promotions
from marketd.promotion.errors import PromoExhausted, PromoExpired, PromoNotFound
from marketd.promotion.model import MAX_CODES
from marketd.promotion.values import PromoProblem


@dataclass(frozen=True, slots=True)
class RemoveCode:
    """Remove a code; with `allow_missing` one that is not on the cart is no reason to refuse."""

    code: str
    allow_missing: bool


async def apply_code(uow: UnitOfWork, owner: CartOwner, code: str, pricing: Pricing) -> PricedCart:
    """Put a code on the cart; one that is there already changes nothing.

    One that does not fit what is in the cart yet is kept, and its problem says why. Raises PromoNotFound, PromoExpired,
    PromoExhausted, PromoNotApplicable for codes that cannot stand together, TooManyPromoCodes and GuestCartGone.
    """
    locked = await lock_open(uow, owner)
    # The cart's row is locked before codes are looked for, so two calls at once count each other's.
    found = await promotions.find_code(uow, code.strip())
    if found.promo_code_id in locked.promo_code_ids:
        return await own_cart(uow, owner, pricing)
    if len(locked.promo_code_ids) >= MAX_CODES:
        raise TooManyPromoCodes
    await promotions.check_beside(uow, found.promo_code_id, locked.promo_code_ids)
    codes = (*locked.promo_code_ids, found.promo_code_id)
    await repository.set_promo_codes(uow.connection, locked.cart_id, codes, uow.now)
    cart = await own_cart(uow, owner, pricing)
    for problem in cart.evaluation.problems:
        if problem.promo_code_id == found.promo_code_id:
            _check_mends(problem)
    return cart


def _check_mends(problem: PromoProblem) -> None:
    """Raises PromoExpired and PromoExhausted: nothing that the buyer puts into the cart helps against these."""
    if problem.reason is Reason.PROMO_EXPIRED:
        raise PromoExpired(problem.code, problem.message)
    if problem.reason is Reason.PROMO_EXHAUSTED:
        raise PromoExhausted(problem.code, problem.message)


async def remove_code(uow: UnitOfWork, owner: CartOwner, command: RemoveCode, pricing: Pricing) -> PricedCart:
    """Take a code off the cart. Raises GuestCartGone, and PromoCodeNotApplied unless it may be missing."""
    locked = await lock(uow, owner)
    kept = None
    if locked is not None and locked.promo_code_ids:
        found = await _find(uow, command.code)
        if found in locked.promo_code_ids:
            kept = [each for each in locked.promo_code_ids if each != found]
    if kept is None and not command.allow_missing:
        raise PromoCodeNotApplied(command.code)
    if locked is None:
        return await open_cart(uow, owner, pricing)
    if kept is not None:
        await repository.set_promo_codes(uow.connection, locked.cart_id, kept, uow.now)
    return await own_cart(uow, owner, pricing)


async def _find(uow: UnitOfWork, code: str) -> UUID | None:
    try:
        return (await promotions.find_code(uow, code.strip())).promo_code_id
    except PromoNotFound:
        return None
