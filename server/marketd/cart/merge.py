"""Merging a guest's cart into an account's: at sign-in, where `merge_guest_cart` is auth's CartMerger, and when asked.

Both carts are locked, in the order of their ids, before either is read. What is added to the guest's cart meanwhile was
committed before, and comes along; or it comes after, finds the cart gone, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from marketd.auth import service as auth
from marketd.auth.ports import MergeLine, MergeOutcome, MergeReport, MergeStrategy
from marketd.cart import repository
from marketd.cart.model import MAX_LINE_QUANTITY, MAX_LINES
from marketd.cart.owner import CartOwner
from marketd.cart.pricing import Pricing
from marketd.cart.quotes import repository as quotes
from marketd.cart.read import own_cart
from marketd.cart.values import Cart, CartItem, PricedCart
from marketd.catalog import service as catalog
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.promotion import service as promotions


@dataclass(frozen=True, slots=True)
class MergedCart:
    """The account's cart after a merge, and what the merge did."""

    cart: PricedCart
    report: MergeReport


async def merge_carts(
    uow: UnitOfWork, user_id: UUID, guest_cart_id: UUID, strategy: MergeStrategy, pricing: Pricing
) -> MergedCart:
    """Move the guest's cart into the account's. Raises NotFound when the guest's, or the account, is gone."""
    # Whoever ends the account finds what came along, addresses in quotes above all; Login holds it already.
    await auth.hold_active(uow, user_id)
    report = await merge_guest_cart(uow, user_id, guest_cart_id, strategy)
    if report is None:
        raise NotFound("guest cart", guest_cart_id)
    return MergedCart(await own_cart(uow, CartOwner.account(user_id), pricing), report)


async def merge_guest_cart(
    uow: UnitOfWork, user_id: UUID, guest_cart_id: UUID, strategy: MergeStrategy
) -> MergeReport | None:
    """Move the guest's items, and quotes that can still be ordered, into the account's cart, and delete the guest's.

    None when the guest's cart is gone.
    """
    found = await repository.lock_both(uow.connection, user_id, guest_cart_id)
    if found.guest_cart_id is None:
        return None
    if found.own_cart_id is None:
        await repository.open_cart(uow.connection, user_id, uow.now)
        found = await repository.lock_both(uow.connection, user_id, guest_cart_id)
    if found.guest_cart_id is None or found.own_cart_id is None:
        raise RuntimeError("a cart was deleted while its row was locked")
    carts = await repository.read_carts(uow.connection, [found.guest_cart_id, found.own_cart_id])
    guest, own = carts[found.guest_cart_id], carts[found.own_cart_id]
    offers = await catalog.read_offers(uow.connection, [item.variant_id for item in guest.items])
    buyable = {variant_id for variant_id, offer in offers.items() if offer.is_buyable}
    lines = combine(guest.items, own.items, buyable, strategy)
    if changed := _changed(uow, guest, lines):
        await repository.put_items(uow.connection, own.cart_id, changed)
        await repository.raise_version(uow.connection, own.cart_id, uow.now)
    codes = await _merge_codes(uow, guest, own)
    await quotes.give_to(uow.connection, user_id, guest.cart_id, uow.now)
    await repository.delete_cart(uow.connection, guest.cart_id)
    return MergeReport(own.cart_id, strategy, lines, codes.along, codes.dropped)


@dataclass(frozen=True, slots=True)
class _MergedCodes:
    """The guest's promo codes that came along, and those that did not."""

    along: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


async def _merge_codes(uow: UnitOfWork, guest: Cart, own: Cart) -> _MergedCodes:
    """Put the guest's codes behind the account's, whatever the strategy: a code of both stands there once.

    One that there is no room for, or that cannot stand beside the others, is dropped. The account's own stay.
    """
    if not guest.promo_code_ids:
        return _MergedCodes()
    fit = await promotions.fit_beside(uow, guest.promo_code_ids, own.promo_code_ids)
    added = [each.promo_code_id for each in fit.along if each.promo_code_id not in own.promo_code_ids]
    if added:
        await repository.set_promo_codes(uow.connection, own.cart_id, (*own.promo_code_ids, *added), uow.now)
    return _MergedCodes(tuple(each.code for each in fit.along), tuple(each.code for each in fit.dropped))


def combine(
    guest: Sequence[CartItem], own: Sequence[CartItem], buyable: Collection[UUID], strategy: MergeStrategy
) -> tuple[MergeLine, ...]:
    """One line for each of the guest's items, within the cart's limits. own: 0..100 items. Pure."""
    quantities = {item.variant_id: item.quantity for item in own}
    room = MAX_LINES - len(own)
    merged: list[MergeLine] = []
    for item in guest:
        had = quantities.get(item.variant_id, 0)
        if item.variant_id not in buyable:
            after, outcome = had, MergeOutcome.DROPPED
        elif not had and room <= 0:
            after, outcome = 0, MergeOutcome.LIMITED
        else:
            room -= not had
            after, outcome = _one(had, item.quantity, strategy)
        merged.append(MergeLine(item.variant_id, item.quantity, had, after, outcome))
    return tuple(merged)


def _one(had: int, guest: int, strategy: MergeStrategy) -> tuple[int, MergeOutcome]:
    """The quantity of a variant after the merge, and what became of it. had: 0 where it was not in the account's."""
    wanted = _WANTED[strategy](had, guest) if had else guest
    if wanted > MAX_LINE_QUANTITY:
        return MAX_LINE_QUANTITY, MergeOutcome.LIMITED
    if not had:
        return wanted, MergeOutcome.ADDED
    return wanted, MergeOutcome.KEPT if wanted == had else MergeOutcome.COMBINED


_WANTED: Final[Mapping[MergeStrategy, Callable[[int, int], int]]] = {
    MergeStrategy.SUM: lambda had, guest: had + guest,
    MergeStrategy.KEEP_MAX: max,
    MergeStrategy.PREFER_GUEST: lambda had, guest: guest,
    MergeStrategy.PREFER_USER: lambda had, guest: had,
}


def _changed(uow: UnitOfWork, guest: Cart, lines: Sequence[MergeLine]) -> list[CartItem]:
    """What is written into the account's cart: lines that are new there, or of another quantity."""
    items = {item.variant_id: item for item in guest.items}
    return [
        replace(
            items[line.variant_id],
            item_id=new_id(),
            quantity=line.merged_quantity,
            create_time=uow.now,
            update_time=uow.now,
        )
        for line in lines
        if line.merged_quantity != line.user_quantity
    ]
