"""What delivery writes to couriers: that an admin has changed what they may do."""

from __future__ import annotations

from typing import Final

from marketd.auth.service import Profile
from marketd.delivery.model import CourierState
from marketd.delivery.values import Courier
from marketd.kernel.db.uow import UnitOfWork
from marketd.mail.jobs import mail_job
from marketd.mail.render import Wording

_CHANGES: Final = {
    CourierState.REJECTED: "rejected",
    CourierState.SUSPENDED: "suspended",
    CourierState.ACTIVE: "reinstated",
    CourierState.CLOSED: "closed",
}


def courier_changed(uow: UnitOfWork, profile: Profile, courier: Courier) -> None:
    """That the courier was rejected, suspended, reinstated or closed, and why; after the move."""
    values = {
        "name": profile.full_name,
        "time": uow.now.isoformat(),
        "change": _CHANGES[courier.state],
        "reason": courier.state_reason,
    }
    uow.enqueue(mail_job(Wording.COURIER_CHANGED, profile.email, values, locale=profile.language))
