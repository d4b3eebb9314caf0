"""Showing a payment with its refunds."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.payment import repository
from marketd.payment.values import Payment


async def get_payment(unit: UnitOfWork | ReadUnit, caller: Caller, payment_id: UUID) -> Payment:
    """The caller's payment with its refunds; any for admins and services. Raises NotFound."""
    payment = await repository.read_whole(unit.connection, payment_id)
    if payment is None or not (payment.buyer_id == caller.user_id or caller.has(Role.ADMIN, Role.SERVICE)):
        raise NotFound("payment", payment_id)
    return payment
