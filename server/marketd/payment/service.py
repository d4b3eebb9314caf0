"""Payments as other slices and the simple rpcs use them: make one, replace one, show one, give money of it back.

Everything runs on `uow.connection`, in either dress. Callers hold the lock of the order group (order/__init__).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound, RequestInProgress
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import Job
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.payment import repository
from marketd.payment.errors import PaymentOver
from marketd.payment.model import AttemptState, PaymentState, RefundState
from marketd.payment.ports import OrderPayments, Share
from marketd.payment.values import Attempt, Payment, Refund

RECONCILE = "payment.reconcile"
REFUND = "payment.refund"
STALE_AFTER = timedelta(seconds=10)
"""After this an attempt without an outcome is nobody's call in flight any more; calls end after 5 s."""


async def create_for_group(
    uow: UnitOfWork,
    order_group_id: UUID,
    buyer_id: UUID,
    amount: Money,
    provider: str,
    *,
    expire_time: datetime,
    payment_id: UUID | None = None,
) -> Payment:
    """Make the group's payment, PENDING; the group has no open one."""
    payment = Payment(
        payment_id=payment_id or new_id(),
        order_group_id=order_group_id,
        buyer_id=buyer_id,
        provider=provider,
        state=PaymentState.PENDING,
        amount_minor=amount.amount_minor,
        currency=amount.currency,
        captured_minor=0,
        refund_reserved_minor=0,
        refunded_minor=0,
        redirect_url="",
        decline_code="",
        decline_message="",
        decline_time=None,
        create_time=uow.now,
        update_time=uow.now,
        capture_time=None,
        expire_time=expire_time,
    )
    await repository.insert_payment(uow.connection, payment)
    return payment


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
    for attempt in await repository.read_unsettled(uow.connection, order_group_id):
        check_not_running(attempt, uow.now)
    await cancel_open(uow, order_group_id)
    payment = await create_for_group(
        uow, order_group_id, caller.known_user_id, standing.due, provider, expire_time=before.expire_time
    )
    await orders.payment_made(uow, order_group_id, payment.payment_id)
    return payment


def check_not_running(attempt: Attempt, now: datetime) -> None:
    """Raises RequestInProgress while another call may be asking the provider about this attempt."""
    if attempt.state is AttemptState.PENDING and attempt.update_time > now - STALE_AFTER:
        raise RequestInProgress


async def _last_state(uow: UnitOfWork, order_group_id: UUID) -> PaymentState:
    payments = await repository.read_group(uow.connection, order_group_id)
    return payments[-1].state if payments else PaymentState.CANCELLED


async def get_payment(unit: UnitOfWork | ReadUnit, caller: Caller, payment_id: UUID) -> Payment:
    """The caller's payment with its refunds; any for admins and services. Raises NotFound."""
    payment = await repository.read_whole(unit.connection, payment_id)
    if payment is None or not (payment.buyer_id == caller.user_id or caller.has(Role.ADMIN, Role.SERVICE)):
        raise NotFound("payment", payment_id)
    return payment


async def read_payment(unit: UnitOfWork | ReadUnit, payment_id: UUID) -> Payment | None:
    """Any payment with its refunds, for slices that have judged the caller."""
    return await repository.read_whole(unit.connection, payment_id)


async def lock_group_payments(uow: UnitOfWork, order_group_id: UUID) -> None:
    """Lock the group's payments, after the group and before its orders; for steps that will change both."""
    await repository.lock_group(uow.connection, order_group_id)


async def cancel_open(uow: UnitOfWork, order_group_id: UUID) -> None:
    """Give the group's open payment up. What the provider may still do of it is looked after by the reconciler: money
    that is taken all the same goes back.
    """
    payment = await repository.lock_open(uow.connection, order_group_id)
    if payment is None:
        return
    await repository.save_payment(
        uow.connection, replace(payment, state=PaymentState.CANCELLED, redirect_url="", update_time=uow.now)
    )
    for attempt in await repository.read_unsettled(uow.connection, order_group_id):
        enqueue_reconcile(uow, attempt.attempt_id, timedelta(0))


async def change_amount(uow: UnitOfWork, order_group_id: UUID, due: Money) -> None:
    """The group's open payment is for less now. An attempt that runs takes the old amount; the rest goes back."""
    payment = await repository.lock_open(uow.connection, order_group_id)
    if payment is not None:
        changed = replace(payment, amount_minor=due.amount_minor, update_time=uow.now)
        await repository.save_payment(uow.connection, changed)


async def refund(uow: UnitOfWork, order_group_id: UUID, shares: Sequence[Share], reason: str) -> None:
    """Give back what the orders have set aside, by a job; for cancellations. The group was paid for."""
    amount_minor = sum(share.amount_minor for share in shares)
    if not amount_minor:
        return
    payment = await repository.lock_captured(uow.connection, order_group_id)
    if payment is None:
        raise RuntimeError(f"order group {order_group_id} has no money left to give back")
    order_id = shares[0].order_id if len(shares) == 1 else None
    await add_refund(
        uow, payment, Money(amount_minor, payment.currency), shares=shares, order_id=order_id, reason=reason
    )


async def add_refund(
    uow: UnitOfWork,
    payment: Payment,
    amount: Money,
    *,
    shares: Sequence[Share] = (),
    order_id: UUID | None = None,
    reason: str,
    key: str | None = None,
    asked_by: UUID | None = None,
    request_id: UUID | None = None,
    fingerprint: bytes | None = None,
    delay: timedelta = timedelta(0),
) -> Refund | None:
    """Write a refund of a locked payment down, with the job that carries it out; None when its request id is taken.

    `key` is the charge it comes out of, by default the one that paid. The CHECK on payments keeps refunds within what
    was taken.
    """
    charge_key = key or await repository.charge_key(uow.connection, payment.payment_id)
    if charge_key is None:
        raise RuntimeError(f"payment {payment.payment_id} has no charge to give money back of")
    refund_id = new_id()
    refund_row = Refund(
        refund_id,
        payment.payment_id,
        payment.order_group_id,
        order_id,
        payment.provider,
        charge_key,
        amount,
        tuple(shares),
        reason,
        RefundState.PENDING,
        fingerprint,
        uow.now,
        uow.now,
    )
    if not await repository.insert_refund(uow.connection, refund_row, asked_by=asked_by, request_id=request_id):
        return None
    reserved = replace(
        payment, refund_reserved_minor=payment.refund_reserved_minor + amount.amount_minor, update_time=uow.now
    )
    await repository.save_payment(uow.connection, reserved)
    uow.enqueue(Job(kind=REFUND, payload={"refund_id": str(refund_id)}, run_time=_run_time(uow, delay)))
    return refund_row


def enqueue_reconcile(uow: UnitOfWork, attempt_id: UUID, delay: timedelta) -> None:
    """Have the reconciler look at an attempt after `delay`."""
    uow.enqueue(Job(kind=RECONCILE, payload={"attempt_id": str(attempt_id)}, run_time=_run_time(uow, delay)))


def _run_time(uow: UnitOfWork, delay: timedelta) -> datetime | None:
    """None is at once, and wakes whoever runs jobs."""
    return uow.now + delay if delay else None
