"""Merging a guest's cart into an account's, when somebody signs in. `merge_guest_cart` is auth's CartMerger port."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from marketd.auth.ports import MergeLine, MergeOutcome, MergeReport, MergeStrategy
from marketd.cart import repository
from marketd.cart.model import MAX_LINE_QUANTITY, MAX_LINES
from marketd.cart.values import StoredLine
from marketd.catalog import service as catalog
from marketd.kernel.db.uow import UnitOfWork


async def merge_guest_cart(uow: UnitOfWork, user_id: UUID, guest_token: str) -> MergeReport | None:
    """Add the guest's lines to the account's cart and delete the guest's; None when the token names no cart."""
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
    offers = await catalog.read_offers(uow.connection, [line.variant_id for line in guest.lines])
    buyable = {variant_id for variant_id, offer in offers.items() if offer.is_buyable}
    merged = combine(guest.lines, own.lines, buyable)
    prices = {line.variant_id: line.price for line in guest.lines}
    written = [
        (line.variant_id, line.merged_quantity, prices[line.variant_id])
        for line in merged
        if line.outcome is not MergeOutcome.DROPPED and line.merged_quantity != line.user_quantity
    ]
    if written:
        await repository.put_lines(uow.connection, own.cart_id, written, uow.now)
        await repository.raise_version(uow.connection, own.cart_id, uow.now)
    await repository.delete_cart(uow.connection, guest.cart_id)
    return MergeReport(own.cart_id, MergeStrategy.SUM, merged)


def combine(guest: Sequence[StoredLine], own: Sequence[StoredLine], buyable: Collection[UUID]) -> tuple[MergeLine, ...]:
    """One entry for each guest line, quantities added within the cart's limits. Pure."""
    quantities = {line.variant_id: line.quantity for line in own}
    room = MAX_LINES - len(own)
    merged: list[MergeLine] = []
    for line in guest:
        had = quantities.get(line.variant_id, 0)
        if line.variant_id not in buyable:
            merged.append(MergeLine(line.variant_id, line.quantity, had, had, MergeOutcome.DROPPED))
            continue
        if not had and room <= 0:
            merged.append(MergeLine(line.variant_id, line.quantity, 0, 0, MergeOutcome.LIMITED))
            continue
        room -= 0 if had else 1
        wanted = had + line.quantity
        after = min(wanted, MAX_LINE_QUANTITY)
        outcome = MergeOutcome.COMBINED if had else MergeOutcome.ADDED
        if after < wanted:
            outcome = MergeOutcome.LIMITED
        merged.append(MergeLine(line.variant_id, line.quantity, had, after, outcome))
    return tuple(merged)
