"""Setting money of a payment aside for a refund, with the job that has it given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.payment import jobs
from marketd.payment import repository as payments
from marketd.payment.attempts import repository as attempts
from marketd.payment.model import RefundState
from marketd.payment.ports import RefundShare
from marketd.payment.refunds import repository
from marketd.payment.values import Payment, Refund


async def set_refund_aside(
    uow: UnitOfWork,
    payment: Payment,
    amount: Money,
    *,
    shares: Sequence[RefundShare] = (),
    order_id: UUID | None = None,
    reason: str,
    key: str | None = None,
    asked_by: UUID | None = None,
    request_id: UUID | None = None,
    fingerprint: bytes | None = None,
    delay: timedelta = jobs.AT_ONCE,
) -> Refund | None:
    """Write a refund of a locked payment down, with the job that carries it out; None when its request id is taken.

    `key` is the charge it comes out of, by default the one that paid. The CHECK on payments keeps refunds within what
    was taken.
    """
    charge_key = key or await attempts.read_charge_key(uow.connection, payment.payment_id)
    if charge_key is None:
        raise RuntimeError(f"payment {payment.payment_id} has no charge to give money back of")
    refund = Refund(
        refund_id=new_id(),
        payment_id=payment.payment_id,
        order_group_id=payment.order_group_id,
        order_id=order_id,
        payment_provider=payment.payment_provider,
        charge_key=charge_key,
        amount_minor=amount.amount_minor,
        currency=amount.currency,
        shares=tuple(shares),
        reason=reason,
        state=RefundState.PENDING,
        fingerprint=fingerprint,
        create_time=uow.now,
        update_time=uow.now,
    )
    if not await repository.insert_refund(uow.connection, refund, asked_by=asked_by, request_id=request_id):
        return None
    reserved = replace(
        payment, refund_reserved_minor=payment.refund_reserved_minor + amount.amount_minor, update_time=uow.now
    )
    await payments.save_payment(uow.connection, reserved)
    jobs.enqueue_refund(uow, refund.refund_id, delay)
    return refund
