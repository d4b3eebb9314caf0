"""CreatePayment: another payment for an unpaid group, in place of the one before."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.payment import repository, service
from marketd.payment.attempts import repository as attempts
from marketd.payment.attempts.confirm import check_not_running
from marketd.payment.errors import PaymentOver
from marketd.payment.model import PaymentState
from marketd.payment.ports import OrderPayments
from marketd.payment.values import Payment


async def create_payment(
    uow: UnitOfWork, orders: OrderPayments, caller: Caller, order_group_id: UUID, provider: str
) -> Payment:
    """Make another payment for the caller's unpaid group and cancel the one before.

    Raises NotFound, PaymentOver when the group waits for no money, RequestInProgress while the provider is asked.
    """
    standing = await orders.lock_group(uow, order_group_id)
    if standing is None or standing.buyer_id != caller.known_user_id:
        raise NotFound("order group", order_group_id)
    before = await repository.lock_open(uow.connection, order_group_id)
    if before is None or not standing.is_payable or uow.now >= before.expire_time:
        raise PaymentOver(PaymentState.CANCELLED if before is not None else await _last_state(uow, order_group_id))
    for attempt in await attempts.read_unsettled(uow.connection, order_group_id):
        check_not_running(attempt, uow.now)
    await service.cancel_open(uow, order_group_id)
    payment = await service.create_for_group(
        uow, order_group_id, caller.known_user_id, standing.due, provider, expire_time=before.expire_time
    )
    await orders.payment_made(uow, order_group_id, payment.payment_id)
    if not payment.state.is_open:
        await orders.payment_captured(uow, order_group_id, payment.payment_id)
    return payment


async def _last_state(uow: UnitOfWork, order_group_id: UUID) -> PaymentState:
    payments = await repository.read_group(uow.connection, order_group_id)
    return payments[-1].state if payments else PaymentState.CANCELLED
