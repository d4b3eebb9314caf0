"""Changing a seller: what its owner says about the shop, and what an admin sets right."""

from __future__ import annotations

from dataclasses import replace

from marketd.audit import log
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.texts import name_key
from marketd.media.images.held import HeldImage, ImageChange, change_image
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind
from marketd.seller import repository
from marketd.seller.model import SELLER_STEPS
from marketd.seller.names import known_time_zone
from marketd.seller.opening import check_opening
from marketd.seller.values import Seller, SellerChange


async def update_seller(uow: UnitOfWork, caller: Caller, change: SellerChange) -> Seller:
    """Change what is named; what is so already stays as it is.

    Orders that are placed meanwhile do not wait: they keep what their quote says. Raises NotFound, also for the sellers
    of others, EtagMismatch, IllegalTransition for one that is closed or rejected, TimeZoneUnknown, and ValidationFailed
    for opening hours that cannot be meant and a logo that is not the caller's or the owner's to use.
    """
    before = await repository.lock_to_change(uow.connection, change.seller_id)
    if before is None or not (caller.user_id == before.owner_user_id or caller.has(Role.ADMIN)):
        raise NotFound("seller", change.seller_id)
    check_etag(change.etag, before.version)
    if before.state.is_over:
        raise SELLER_STEPS.refusal(before.state)
    after = _changed(before, change)
    if change.logo is not None:
        after = replace(after, logo=await _logo(uow, caller, before, change.logo))
    if after == before:
        return before
    check_opening(after.opening_hours, after.opening_exceptions, "seller")
    after = replace(after, version=before.version + 1, update_time=uow.now)
    await repository.save(uow.connection, after)
    await log.record(uow, caller, "seller", after.seller_id, before=before, after=after)
    return after


async def _logo(uow: UnitOfWork, caller: Caller, before: Seller, change: ImageChange) -> HeldImage | None:
    owners = [caller.known_user_id, before.owner_user_id]
    holder = Holder(HolderKind.SELLER, before.seller_id)
    return await change_image(uow, before.logo, change, owners, Purpose.SHOP, holder)


def _changed(before: Seller, change: SellerChange) -> Seller:
    after = before
    if change.shop_name is not None:
        after = replace(after, shop_name=change.shop_name, shop_name_key=name_key(change.shop_name))
    if change.description is not None:
        after = replace(after, description=change.description)
    if change.pickup_address is not None and before.pickup_address is not None:
        after = replace(after, pickup_address=change.pickup_address(before.pickup_address))
    if change.contact is not None:
        after = replace(after, contact=change.contact(before.contact))
    if change.prep_duration is not None:
        after = replace(after, prep_duration=change.prep_duration)
    if change.time_zone is not None:
        after = replace(after, time_zone=known_time_zone(change.time_zone))
    if change.opening_hours is not None:
        after = replace(after, opening_hours=change.opening_hours)
    if change.opening_exceptions is not None:
        after = replace(after, opening_exceptions=change.opening_exceptions)
    return after
