"""Settling: what a provider's answer does to attempt, payment and orders, in one transaction and once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.money import Money
from marketd.payment import repository, service
from marketd.payment.model import AttemptState, PaymentState, RefundState
from marketd.payment.ports import OrderPayments, Outcome
from marketd.payment.values import Attempt, Payment, Refund

LATE_REASON = "The money was taken after the orders were gone."
SURPLUS_REASON = "A part of the orders was cancelled while the money was taken."


@dataclass(frozen=True, slots=True)
class Settled:
    """Where attempt and payment stand now."""

    attempt: Attempt
    payment: Payment


async def settle(uow: UnitOfWork, orders: OrderPayments, known: Attempt, outcome: Outcome) -> Settled:
    """Write the provider's outcome down. An attempt that has its final outcome stays as it is.

    Money that was taken makes the waiting orders PAID; when they are gone (`attempt.is_late` then), or less is due by
    now, the rest is given back by a job.
    """
    standing = await orders.lock_group(uow, known.order_group_id)
    payment = await repository.lock_payment(uow.connection, known.payment_id)
    attempt = await repository.lock_attempt(uow.connection, known.attempt_id)
    if standing is None or payment is None or attempt is None:
        raise RuntimeError(f"attempt {known.attempt_id} has lost its payment or its orders")
    if attempt.state.is_final or outcome.state is AttemptState.PENDING:
        return Settled(attempt, payment)
    is_captured = outcome.state is AttemptState.CAPTURED
    is_late = is_captured and not (payment.state.is_open and standing.is_payable)
    await repository.save_outcome(uow.connection, attempt.attempt_id, outcome, uow.now, is_late=is_late)
    attempt = replace(
        attempt,
        state=outcome.state,
        is_late=is_late,
        redirect_url=outcome.redirect_url,
        decline_code=outcome.decline_code,
        decline_message=outcome.decline_message,
    )
    if is_captured or payment.state.is_open:
        payment = _after(uow, payment, attempt)
        await repository.save_payment(uow.connection, payment)
    if is_captured:
        surplus = attempt.amount_minor - (0 if is_late else standing.due.amount_minor)
        if surplus > 0:
            await service.add_refund(
                uow,
                payment,
                Money(surplus, payment.currency),
                reason=LATE_REASON if is_late else SURPLUS_REASON,
                key=attempt.key,
            )
        if not is_late:
            await orders.payment_captured(uow, known.order_group_id, known.payment_id)
    return Settled(attempt, payment)


def _after(uow: UnitOfWork, payment: Payment, attempt: Attempt) -> Payment:
    bare = replace(
        payment, redirect_url="", decline_code="", decline_message="", decline_time=None, update_time=uow.now
    )
    match attempt.state:
        case AttemptState.CAPTURED:
            return replace(
                bare,
                state=PaymentState.CAPTURED,
                captured_minor=payment.captured_minor + attempt.amount_minor,
                capture_time=payment.capture_time or uow.now,
            )
        case AttemptState.DECLINED:
            return replace(
                bare,
                state=PaymentState.DECLINED,
                decline_code=attempt.decline_code,
                decline_message=attempt.decline_message,
                decline_time=uow.now,
            )
        case AttemptState.ACTION_REQUIRED:
            return replace(bare, state=PaymentState.ACTION_REQUIRED, redirect_url=attempt.redirect_url)
        case _:
            return replace(bare, state=PaymentState.PENDING)


async def settle_refund(uow: UnitOfWork, orders: OrderPayments, known: Refund, *, succeeded: bool) -> Refund:
    """Write the provider's answer to a refund down; a refund that has one stays as it is."""
    await orders.lock_group(uow, known.order_group_id)
    payment = await repository.lock_payment(uow.connection, known.payment_id)
    refund = await repository.lock_refund(uow.connection, known.refund_id)
    if payment is None or refund is None:
        raise RuntimeError(f"refund {known.refund_id} has lost its payment")
    if refund.state is not RefundState.PENDING:
        return refund
    state = RefundState.SUCCEEDED if succeeded else RefundState.FAILED
    await repository.save_refund(uow.connection, refund.refund_id, state, uow.now)
    amount = refund.amount.amount_minor
    if succeeded:
        refunded = payment.refunded_minor + amount
        whole = refunded == payment.captured_minor
        payment = replace(
            payment,
            refunded_minor=refunded,
            state=PaymentState.REFUNDED if whole else PaymentState.PARTIALLY_REFUNDED,
        )
    else:
        payment = replace(payment, refund_reserved_minor=payment.refund_reserved_minor - amount)
    await repository.save_payment(uow.connection, replace(payment, update_time=uow.now))
    if refund.shares:
        await orders.refund_settled(uow, refund.order_group_id, refund.shares, succeeded=succeeded)
    return replace(refund, state=state, update_time=uow.now)
