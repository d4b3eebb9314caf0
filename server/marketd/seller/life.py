"""What becomes of a seller: approved or rejected, suspended, reinstated, closed.

The owner's account is locked first, then the seller: the order of all locks. Who owns a seller never changes, so it is
read before any lock. A move whose effect stands already, for the same reason, leaves everything as it is, whatever etag
comes: that of a caller who has lost the answer is stale.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from marketd.audit import log
from marketd.auth import service as auth
from marketd.auth.service import Profile
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.mail.jobs import tell
from marketd.mail.render import Wording
from marketd.seller import repository
from marketd.seller.errors import OtherShop, ReasonNeeded, SellerHeld
from marketd.seller.events import (
    SellerApproved,
    SellerClosed,
    SellerMoved,
    SellerReinstated,
    SellerRejected,
    SellerSuspended,
)
from marketd.seller.model import SELLER_STEPS, SellerState
from marketd.seller.ports import SellerHolder
from marketd.seller.values import Seller, SellerMove

_WORDS: Final = {
    SellerState.REJECTED: "rejected",
    SellerState.SUSPENDED: "suspended",
    SellerState.ACTIVE: "reinstated",
    SellerState.CLOSED: "closed",
}


async def approve_seller(uow: UnitOfWork, caller: Caller, command: SellerMove) -> Seller:
    """Let a pending seller sell; its account gets the role SELLER in the same transaction.

    Raises NotFound, EtagMismatch, AccountCannotAct, and IllegalTransition when it is not pending.
    """
    owner, seller = await _lock(uow, command)
    if _stands(seller, command, SellerState.ACTIVE):
        return seller
    check_etag(command.etag, seller.version)
    if seller.state is not SellerState.PENDING:
        raise SELLER_STEPS.refusal(seller.state)
    auth.check_can_act(owner)
    await auth.grant_role(uow, owner.user_id, Role.SELLER)
    return await _move(uow, caller, seller, command, SellerState.ACTIVE, SellerApproved, owner_can_act=True)


async def reject_seller(uow: UnitOfWork, caller: Caller, command: SellerMove) -> Seller:
    """Turn an application down and tell its owner, who may apply again.

    Raises NotFound, EtagMismatch, and IllegalTransition when it is not pending.
    """
    owner, seller = await _lock(uow, command)
    if _stands(seller, command, SellerState.REJECTED):
        return seller
    check_etag(command.etag, seller.version)
    SELLER_STEPS.check(seller.state, SellerState.REJECTED)
    await auth.revoke_role(uow, owner.user_id, Role.SELLER)
    rejected = await _move(uow, caller, seller, command, SellerState.REJECTED, SellerRejected, owner_can_act=False)
    write_to_owner(uow, owner, rejected)
    return rejected


async def suspend_seller(uow: UnitOfWork, caller: Caller, command: SellerMove) -> Seller:
    """Let a seller sell nothing new, and tell its owner, who keeps the role and finishes the open orders.

    Raises NotFound, EtagMismatch, and IllegalTransition when it is not active.
    """
    owner, seller = await _lock(uow, command)
    if _stands(seller, command, SellerState.SUSPENDED):
        return seller
    check_etag(command.etag, seller.version)
    SELLER_STEPS.check(seller.state, SellerState.SUSPENDED)
    suspended = await _move(
        uow, caller, seller, command, SellerState.SUSPENDED, SellerSuspended, owner_can_act=owner.acts_as(Role.SELLER)
    )
    write_to_owner(uow, owner, suspended)
    return suspended


async def reinstate_seller(uow: UnitOfWork, caller: Caller, command: SellerMove) -> Seller:
    """Let a suspended or closed seller sell again and tell its owner; the account gets the role where it has lost it.

    Raises NotFound, EtagMismatch, AccountCannotAct, OtherShop, and IllegalTransition for one that is pending or
    rejected.
    """
    owner, seller = await _lock(uow, command)
    if _stands(seller, command, SellerState.ACTIVE):
        return seller
    check_etag(command.etag, seller.version)
    if seller.state not in (SellerState.SUSPENDED, SellerState.CLOSED):
        raise SELLER_STEPS.refusal(seller.state)
    auth.check_can_act(owner)
    live = await repository.read_by_owner(uow.connection, owner.user_id)
    if live is not None and live.seller_id != seller.seller_id:
        raise OtherShop(live.handle)
    await auth.grant_role(uow, owner.user_id, Role.SELLER)
    reinstated = await _move(uow, caller, seller, command, SellerState.ACTIVE, SellerReinstated, owner_can_act=True)
    write_to_owner(uow, owner, reinstated)
    return reinstated


async def close_seller(
    uow: UnitOfWork, caller: Caller, command: SellerMove, holders: Collection[SellerHolder]
) -> Seller:
    """Close a shop or withdraw an application; the account loses the role SELLER.

    The owner may, and admins with a reason, of which the owner is told. Raises NotFound, also for the sellers of
    others, ReasonNeeded, EtagMismatch, SellerHeld while one of the `holders` knows of something, and IllegalTransition.
    """
    known = await repository.read(uow.connection, command.seller_id)
    is_own = known is not None and caller.user_id == known.owner_user_id
    if not is_own and not caller.has(Role.ADMIN):
        raise NotFound("seller", command.seller_id)
    if not is_own and not command.reason.strip():
        raise ReasonNeeded
    owner, seller = await _lock(uow, command)
    if _stands(seller, command, SellerState.CLOSED):
        return seller
    check_etag(command.etag, seller.version)
    SELLER_STEPS.check(seller.state, SellerState.CLOSED)
    for holder in holders:
        held_by = await holder(uow, seller.seller_id)
        if held_by is not None:
            raise SellerHeld(held_by)
    await auth.revoke_role(uow, owner.user_id, Role.SELLER)
    closed = await _move(uow, caller, seller, command, SellerState.CLOSED, SellerClosed, owner_can_act=False)
    if not is_own:
        write_to_owner(uow, owner, closed)
    return closed


def write_to_owner(uow: UnitOfWork, owner: Profile, seller: Seller) -> None:
    """Write that the shop was rejected, suspended, reinstated or closed, and why; after the move."""
    told = {"shop_name": seller.shop_name, "change": _WORDS[seller.state], "reason": seller.state_reason}
    tell(uow, Wording.SHOP_CHANGED, owner.email, owner.full_name, owner.language, **told)


async def _lock(uow: UnitOfWork, command: SellerMove) -> tuple[Profile, Seller]:
    known = await repository.read(uow.connection, command.seller_id)
    if known is None:
        raise NotFound("seller", command.seller_id)
    owner = await auth.lock_profile(uow, known.owner_user_id)
    seller = await repository.lock(uow.connection, command.seller_id)
    if seller is None:
        raise RuntimeError("sellers are never deleted")
    return owner, seller


def _stands(seller: Seller, command: SellerMove, wanted: SellerState) -> bool:
    return seller.state is wanted and seller.state_reason == command.reason


async def _move(
    uow: UnitOfWork,
    caller: Caller,
    seller: Seller,
    command: SellerMove,
    state: SellerState,
    event: type[SellerMoved],
    *,
    owner_can_act: bool,
) -> Seller:
    after = await repository.set_state(uow.connection, seller.seller_id, state, command.reason, uow.now)
    await log.record(uow, caller, "seller", seller.seller_id, command.reason, before=seller, after=after)
    uow.emit(
        event(
            seller_id=seller.seller_id,
            owner_user_id=seller.owner_user_id,
            state=state.value,
            owner_can_act=owner_can_act,
        )
    )
    return after
