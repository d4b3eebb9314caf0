"""Merging a guest's cart into an account's, when somebody signs in. `merge_guest_cart` is auth's CartMerger port."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

from marketd.auth.ports import MergeLine, MergeOutcome, MergeReport, MergeStrategy
from marketd.cart import repository
from marketd.cart.model import MAX_LINE_QUANTITY, MAX_LINES
from marketd.cart.values import CartItem
from marketd.catalog import service as catalog
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id


async def merge_guest_cart(uow: UnitOfWork, user_id: UUID, guest_token: str) -> MergeReport | None:
    """Add the guest's items to the account's cart and delete the guest's; None when the token names no cart."""
    found = await repository.lock_for_merge(uow.connection, user_id, guest_token)
    if True not in found:
        return None
    if False not in found:
        await repository.open_cart(uow.connection, user_id, uow.now)
        found = await repository.lock_for_merge(uow.connection, user_id, guest_token)
    guest = await repository.read_cart_by_id(uow.connection, found[True])
    own = await repository.read_cart_by_id(uow.connection, found[False])
    if guest is None or own is None:
        raise RuntimeError("a cart was deleted while its row was locked")
    offers = await catalog.read_offers(uow.connection, [item.variant_id for item in guest.items])
    buyable = {variant_id for variant_id, offer in offers.items() if offer.is_buyable}
    merged = combine(guest.items, own.items, buyable)
    by_variant = {item.variant_id: item for item in guest.items}
    written = [
        replace(
            by_variant[line.variant_id],
            item_id=new_id(),
            quantity=line.merged_quantity,
            create_time=uow.now,
            update_time=uow.now,
        )
        for line in merged
        if line.outcome is not MergeOutcome.DROPPED and line.merged_quantity != line.user_quantity
    ]
    if written:
        await repository.put_items(uow.connection, own.cart_id, written)
        await repository.raise_version(uow.connection, own.cart_id, uow.now)
    await repository.delete_cart(uow.connection, guest.cart_id)
    return MergeReport(own.cart_id, MergeStrategy.SUM, merged)


def combine(guest: Sequence[CartItem], own: Sequence[CartItem], buyable: Collection[UUID]) -> tuple[MergeLine, ...]:
    """One line for each of the guest's items, quantities added within the cart's limits. own: 0..100 items. Pure."""
    quantities = {item.variant_id: item.quantity for item in own}
    room = MAX_LINES - len(own)
    merged: list[MergeLine] = []
    for item in guest:
        had = quantities.get(item.variant_id, 0)
        if item.variant_id not in buyable:
            merged.append(MergeLine(item.variant_id, item.quantity, had, had, MergeOutcome.DROPPED))
            continue
        if not had and room <= 0:
            merged.append(MergeLine(item.variant_id, item.quantity, 0, 0, MergeOutcome.LIMITED))
            continue
        room -= 0 if had else 1
        wanted = had + item.quantity
        after = min(wanted, MAX_LINE_QUANTITY)
        outcome = MergeOutcome.COMBINED if had else MergeOutcome.ADDED
        if after < wanted:
            outcome = MergeOutcome.LIMITED
        merged.append(MergeLine(item.variant_id, item.quantity, had, after, outcome))
    return tuple(merged)
