"""Settling an attempt: what the provider's outcome does to attempt, payment and orders, in one transaction and once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.money import Money
from marketd.payment import repository as payments
from marketd.payment.attempts import repository
from marketd.payment.model import AttemptState, PaymentState
from marketd.payment.ports import ChargeOutcome, OrderPayments
from marketd.payment.refunds.set_aside import set_refund_aside
from marketd.payment.values import Attempt, Payment

LATE_REASON = "The money was taken after the orders were gone."
SURPLUS_REASON = "A part of the orders was cancelled while the money was taken."


@dataclass(frozen=True, slots=True)
class SettledAttempt:
    """Where attempt and payment stand now."""

    attempt: Attempt
    payment: Payment


async def settle_attempt(
    uow: UnitOfWork, orders: OrderPayments, known: Attempt, outcome: ChargeOutcome
) -> SettledAttempt:
    """Write the provider's outcome down. An attempt that has its final outcome stays as it is.

    Money that was taken makes the waiting orders PAID; when they are gone (`attempt.late` then), or less is due by
    now, the rest is given back by a job.
    """
    standing = await orders.lock_group(uow, known.order_group_id)
    payment = await payments.lock_payment(uow.connection, known.payment_id)
    attempt = await repository.lock_attempt(uow.connection, known.attempt_id)
    if standing is None or payment is None or attempt is None:
        raise RuntimeError(f"attempt {known.attempt_id} has lost its payment or its orders")
    if attempt.state.is_final or outcome.state is AttemptState.PENDING:
        return SettledAttempt(attempt, payment)
    is_captured = outcome.state is AttemptState.CAPTURED
    late = is_captured and not (payment.state.is_open and standing.is_payable)
    await repository.save_outcome(uow.connection, attempt.attempt_id, outcome, uow.now, late=late)
    attempt = replace(
        attempt,
        state=outcome.state,
        late=late,
        redirect_url=outcome.redirect_url,
        decline_code=outcome.decline_code,
        decline_message=outcome.decline_message,
    )
    if is_captured or payment.state.is_open:
        payment = _after(uow, payment, attempt)
        await payments.save_payment(uow.connection, payment)
    if is_captured:
        surplus = attempt.amount_minor - (0 if late else standing.due.amount_minor)
        if surplus > 0:
            await set_refund_aside(
                uow,
                payment,
                Money(surplus, payment.currency),
                reason=LATE_REASON if late else SURPLUS_REASON,
                key=attempt.key,
            )
        if not late:
            await orders.payment_captured(uow, known.order_group_id, known.payment_id)
    return SettledAttempt(attempt, payment)


def _after(uow: UnitOfWork, payment: Payment, attempt: Attempt) -> Payment:
    bare = replace(
        payment, redirect_url="", decline_code="", decline_message="", decline_time=None, update_time=uow.now
    )
    match attempt.state:
        case AttemptState.CAPTURED:
            return replace(
                bare,
                state=PaymentState.CAPTURED,
                # What was taken counts from here on, also where less is due by now: the rest shows as a refund.
                amount_minor=payment.captured_amount_minor + attempt.amount_minor,
                captured_amount_minor=payment.captured_amount_minor + attempt.amount_minor,
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
