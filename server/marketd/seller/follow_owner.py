"""What becomes of a shop when its owner's account ends: auth's ports, in the transaction that ends the account."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from marketd.audit import log
from marketd.auth import service as auth
from marketd.auth.ports import AccessEnd
from marketd.kernel.call.caller import SYSTEM, Role
from marketd.kernel.db.uow import UnitOfWork
from marketd.seller import repository
from marketd.seller.events import SellerSuspended
from marketd.seller.life import write_to_owner
from marketd.seller.model import SellerState

_REASONS: Final = {
    AccessEnd.BLOCKED: "The owner's account was blocked.",
    AccessEnd.ROLES_TAKEN: "The owner's account lost the role SELLER.",
}


async def owner_lost_access(uow: UnitOfWork, user_id: UUID, lost: Collection[Role], end: AccessEnd) -> None:
    """Suspend the shop of an account that cannot see to it any more: auth's AccessEnded.

    One that was suspended before stays so; that its owner is gone as well is told, because its open orders end then. An
    application waits: it cannot be approved before its owner can act. The block has a letter of its own.
    """
    if Role.SELLER not in lost:
        return
    seller = await repository.lock_by_owner(uow.connection, user_id)
    if seller is None or seller.state is SellerState.PENDING:
        return
    if seller.state is SellerState.ACTIVE:
        suspended = await repository.set_state(
            uow.connection, seller.seller_id, SellerState.SUSPENDED, _REASONS[end], uow.now
        )
        await log.record(uow, SYSTEM, "seller", seller.seller_id, _REASONS[end], before=seller, after=suspended)
        if end is AccessEnd.ROLES_TAKEN:
            write_to_owner(uow, await auth.read_profile(uow, user_id), suspended)
    uow.emit(
        SellerSuspended(
            seller_id=seller.seller_id,
            owner_user_id=user_id,
            state=SellerState.SUSPENDED.value,
            owner_can_act=False,
        )
    )


async def owner_deleted(uow: UnitOfWork, user_id: UUID) -> None:
    """Forget where the account's shops were and how to reach them: auth's AccountEnded. All of them are over."""
    seller_ids = await repository.forget_owner(uow.connection, user_id, uow.now)
    if seller_ids:
        await log.forget_values(uow, "seller", seller_ids)
