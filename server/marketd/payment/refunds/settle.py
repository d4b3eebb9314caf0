"""Settling a refund: what the provider's answer does to refund, payment and orders, in one transaction and once."""

from __future__ import annotations

from dataclasses import replace

from marketd.kernel.db.uow import UnitOfWork
from marketd.payment import repository as payments
from marketd.payment.model import PaymentState, RefundState
from marketd.payment.ports import OrderPayments
from marketd.payment.refunds import repository
from marketd.payment.values import Refund


async def settle_refund(uow: UnitOfWork, orders: OrderPayments, known: Refund, *, succeeded: bool) -> Refund:
    """Write the provider's answer to a refund down; a refund that has one stays as it is."""
    await orders.lock_group(uow, known.order_group_id)
    payment = await payments.lock_payment(uow.connection, known.payment_id)
    refund = await repository.lock_refund(uow.connection, known.refund_id)
    if payment is None or refund is None:
        raise RuntimeError(f"refund {known.refund_id} has lost its payment")
    if refund.state is not RefundState.PENDING:
        return refund
    state = RefundState.SUCCEEDED if succeeded else RefundState.FAILED
    await repository.save_refund(uow.connection, refund.refund_id, state, uow.now)
    amount = refund.amount_minor
    if succeeded:
        refunded = payment.refunded_amount_minor + amount
        whole = refunded == payment.captured_amount_minor
        payment = replace(
            payment,
            refunded_amount_minor=refunded,
            state=PaymentState.REFUNDED if whole else PaymentState.PARTIALLY_REFUNDED,
        )
    else:
        payment = replace(payment, refund_reserved_minor=payment.refund_reserved_minor - amount)
    await payments.save_payment(uow.connection, replace(payment, update_time=uow.now))
    if refund.shares:
        await orders.refund_settled(uow, refund.order_group_id, refund.shares, succeeded=succeeded)
    return replace(refund, state=state, update_time=uow.now)
