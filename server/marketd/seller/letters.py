"""What seller writes to owners: that an admin has changed what their shop may do."""

from __future__ import annotations

from typing import Final

from marketd.auth.service import Profile
from marketd.kernel.db.uow import UnitOfWork
from marketd.mail.jobs import mail_job
from marketd.mail.render import Wording
from marketd.seller.model import SellerState
from marketd.seller.values import Seller

_CHANGES: Final = {
    SellerState.REJECTED: "rejected",
    SellerState.SUSPENDED: "suspended",
    SellerState.ACTIVE: "reinstated",
    SellerState.CLOSED: "closed",
}


def shop_changed(uow: UnitOfWork, owner: Profile, seller: Seller) -> None:
    """That the shop was rejected, suspended, reinstated or closed, and why; after the move."""
    values = {
        "name": owner.full_name,
        "time": uow.now.isoformat(),
        "shop_name": seller.shop_name,
        "change": _CHANGES[seller.state],
        "reason": seller.state_reason,
    }
    uow.enqueue(mail_job(Wording.SHOP_CHANGED, owner.email, values, locale=owner.language))
