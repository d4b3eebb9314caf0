"""What orders ask of payments: make one, change what it asks for, give it up, give money of it back.

Callers hold the lock of the order group (order/__init__).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.payment import jobs, repository
from marketd.payment.attempts import repository as attempts
from marketd.payment.model import PaymentState
from marketd.payment.ports import RefundShare
from marketd.payment.refunds.set_aside import set_refund_aside
from marketd.payment.values import Payment


def new_payment(
    uow: UnitOfWork,
    order_group_id: UUID,
    buyer_id: UUID,
    amount: Money,
    provider: str,
    *,
    expire_time: datetime,
    payment_id: UUID | None = None,
) -> Payment:
    """The group's payment, PENDING, which the caller writes by `insert_sql` and `insert_arguments`.

    No provider takes nothing: a payment of 0 is CAPTURED as it is made, without an attempt, and the caller has the
    group's orders paid.
    """
    is_free = not amount.amount_minor
    return Payment(
        payment_id=payment_id or new_id(),
        order_group_id=order_group_id,
        buyer_id=buyer_id,
        payment_provider=provider,
        state=PaymentState.CAPTURED if is_free else PaymentState.PENDING,
        amount_minor=amount.amount_minor,
        currency=amount.currency,
        create_time=uow.now,
        update_time=uow.now,
        capture_time=uow.now if is_free else None,
        expire_time=expire_time,
    )


def insert_sql(first: int) -> str:
    """SQL that writes a new payment; its arguments are `$first` and those after it. It is a part of the statement that
    writes the orders: one of its own would be one round trip more.
    """
    return repository.insert_sql(first)


def insert_arguments(payment: Payment) -> list[Sequence[object]]:
    """What `insert_sql` takes."""
    return repository.insert_arguments(payment)


async def create_for_group(
    uow: UnitOfWork, order_group_id: UUID, buyer_id: UUID, amount: Money, provider: str, *, expire_time: datetime
) -> Payment:
    """Make the group's payment (`new_payment`); the group has no open one."""
    payment = new_payment(uow, order_group_id, buyer_id, amount, provider, expire_time=expire_time)
    await repository.insert_payment(uow.connection, payment)
    return payment


async def lock_group_payments(uow: UnitOfWork, order_group_id: UUID) -> None:
    """Lock the group's payments, after the group and before its orders; for steps that will change both."""
    await repository.lock_group(uow.connection, order_group_id)


async def cancel_open(uow: UnitOfWork, order_group_id: UUID) -> None:
    """Give the group's open payment up. The reconciler looks after what the provider may still do of it: money that is
    taken all the same goes back.
    """
    payment = await repository.lock_open(uow.connection, order_group_id)
    if payment is None:
        return
    await repository.save_payment(
        uow.connection, replace(payment, state=PaymentState.CANCELLED, redirect_url="", update_time=uow.now)
    )
    await _settle_attempts(uow, order_group_id)


async def capture_nothing(uow: UnitOfWork, order_group_id: UUID) -> Payment | None:
    """The group's open payment asks for nothing any more: it is CAPTURED. None when there is no open one.

    Money that a running attempt takes all the same goes back.
    """
    payment = await repository.lock_open(uow.connection, order_group_id)
    if payment is None:
        return None
    captured = replace(
        payment,
        state=PaymentState.CAPTURED,
        amount_minor=0,
        redirect_url="",
        decline_code="",
        decline_message="",
        decline_time=None,
        capture_time=uow.now,
        update_time=uow.now,
    )
    await repository.save_payment(uow.connection, captured)
    await _settle_attempts(uow, order_group_id)
    return captured


async def _settle_attempts(uow: UnitOfWork, order_group_id: UUID) -> None:
    for attempt in await attempts.read_unsettled(uow.connection, order_group_id):
        jobs.enqueue_reconcile(uow, attempt.attempt_id, jobs.AT_ONCE)


async def change_amount(uow: UnitOfWork, order_group_id: UUID, due: Money) -> None:
    """The group's open payment is for less now. An attempt that runs takes the old amount; the rest goes back."""
    payment = await repository.lock_open(uow.connection, order_group_id)
    if payment is not None:
        changed = replace(payment, amount_minor=due.amount_minor, update_time=uow.now)
        await repository.save_payment(uow.connection, changed)


async def refund(uow: UnitOfWork, order_group_id: UUID, shares: Sequence[RefundShare], reason: str) -> None:
    """Give back what the orders have set aside, by a job; for cancellations. The group was paid for.

    shares: unique order_id.
    """
    amount_minor = sum(share.amount_minor for share in shares)
    if not amount_minor:
        return
    payment = await repository.lock_captured(uow.connection, order_group_id)
    if payment is None:
        raise RuntimeError(f"order group {order_group_id} has no money left to give back")
    order_id = shares[0].order_id if len(shares) == 1 else None
    await set_refund_aside(
        uow, payment, Money(amount_minor, payment.currency), shares=shares, order_id=order_id, reason=reason
    )
