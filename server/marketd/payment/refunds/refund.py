"""Refunding: set aside under the payment's row lock, given back by the provider outside of any transaction, settled.

The provider's key `refund:{id}` is written down first, and a job carries the refund out when nobody else does, so a
crash between the steps neither loses money nor gives it back twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from marketd.audit import log
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import FieldViolation, NotFound, RequestIdReused, ValidationFailed
from marketd.kernel.db.transactor import Message, Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Json
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.money import Money
from marketd.payment import repository as payments
from marketd.payment.attempts import repository as attempts
from marketd.payment.attempts.confirm import PROVIDER_SECONDS, RECONCILE_AFTER
from marketd.payment.errors import NothingToRefund, RefundTooLarge
from marketd.payment.model import RefundState
from marketd.payment.ports import OrderPayments, Providers, ProviderUnreachable, RefundShare
from marketd.payment.refunds import repository
from marketd.payment.refunds.set_aside import set_refund_aside
from marketd.payment.refunds.settle import settle_refund
from marketd.payment.values import Payment, Refund

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class OrderRefund:
    """Give `amount` of an order back, more than 0; None is all that is left."""

    order_id: UUID
    amount: Money | None


@dataclass(frozen=True, slots=True)
class RefundPayment:
    """Give money of one order back, or all that is left of the group when none is named.

    `etag` is the payment's, empty for whatever happened to it.
    """

    payment_id: UUID
    order: OrderRefund | None
    reason: str
    etag: str
    request_id: UUID
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Refunded:
    """The refund and its payment, as they are now."""

    refund: Refund
    payment: Payment


class PaymentRefunder:
    """Gives money back, from the rpc and from the job."""

    def __init__(self, *, tx: Transactor, providers: Providers, orders: OrderPayments) -> None:
        self._tx = tx
        self._providers = providers
        self._orders = orders

    async def refund(self, caller: Caller, command: RefundPayment, render: Callable[[Refunded], M]) -> M:
        """Give money back; the refund is PENDING in the answer when the provider takes its time.

        Raises NotFound, NothingToRefund, RefundTooLarge, ValidationFailed, EtagMismatch and RequestIdReused.
        """
        refund = await self._tx.run("payment.begin_refund", lambda uow: self._reserve(uow, caller, command))
        succeeded = await self._ask(refund)

        async def finish(uow: UnitOfWork) -> Refunded:
            settled = refund
            if succeeded is not None:
                settled = await settle_refund(uow, self._orders, refund, succeeded=succeeded)
            payment = await payments.read_whole(uow.connection, refund.payment_id)
            if payment is None:
                raise RuntimeError("a refund's payment was deleted")
            return Refunded(settled, payment)

        return await self._tx.answer("payment.refund", finish, render)

    async def carry_out(self, payload: Mapping[str, Json]) -> None:
        """Have the provider give a written-down refund back; a job outside of transactions, safe to repeat."""
        refund_id = UUID(str(payload["refund_id"]))
        refund = await self._tx.read(lambda unit: repository.read_refund(unit.connection, refund_id))
        if refund is None or refund.state is not RefundState.PENDING:
            return
        succeeded = await self._providers.get(refund.payment_provider).refund(
            refund.key, refund.charge_key, refund.amount
        )
        await self._tx.run(
            "payment.settle_refund", lambda uow: settle_refund(uow, self._orders, refund, succeeded=succeeded)
        )

    async def _reserve(self, uow: UnitOfWork, caller: Caller, command: RefundPayment) -> Refund:
        is_admin = caller.has(Role.ADMIN)
        order_id = None if command.order is None else command.order.order_id
        if order_id is None and not is_admin:
            raise ValidationFailed(FieldViolation("order", "must be given: a seller refunds an order of its own"))
        payment = await payments.read_payment(uow.connection, command.payment_id)
        if payment is None:
            raise NotFound("payment", command.payment_id)
        await self._orders.lock_group(uow, payment.order_group_id)
        payment = await payments.lock_payment(uow.connection, command.payment_id)
        if payment is None:
            raise NotFound("payment", command.payment_id)
        known = await repository.find_refund(uow.connection, caller.known_user_id, command.request_id)
        if known is not None:
            if known.fingerprint != command.fingerprint:
                raise RequestIdReused
            return known
        try:
            shares, amount, key = await self._set_aside_of_orders(uow, caller, command, payment)
        except NotFound:
            if is_admin:
                raise
            # A seller knows a payment only through an order of its own in it.
            raise NotFound("payment", command.payment_id) from None
        except (NothingToRefund, RefundTooLarge):
            # Why there is less left than the caller saw.
            check_etag(command.etag, payment.version)
            raise
        check_etag(command.etag, payment.version)
        if payment.left_minor <= 0:
            raise NothingToRefund(payment.state.value)
        if amount.amount_minor > payment.left_minor:
            raise RefundTooLarge(str(Money(payment.left_minor, payment.currency)))
        refund = await set_refund_aside(
            uow,
            payment,
            amount,
            shares=shares,
            order_id=order_id,
            reason=command.reason,
            key=key,
            asked_by=caller.known_user_id,
            request_id=command.request_id,
            fingerprint=command.fingerprint,
            delay=RECONCILE_AFTER,
        )
        if refund is None:
            raise RequestIdReused
        after = replace(payment, refund_reserved_minor=payment.refund_reserved_minor + amount.amount_minor)
        await log.record(uow, caller, "payment", command.payment_id, command.reason, before=payment, after=after)
        return refund

    async def _set_aside_of_orders(
        self, uow: UnitOfWork, caller: Caller, command: RefundPayment, payment: Payment
    ) -> tuple[Sequence[RefundShare], Money, str | None]:
        """What comes out of which orders, how much that is, and of which charge; None is the one that paid.

        Money that came too late, or was more than was due by then, has paid for no order: when it could not be given
        back at once, an admin gives it back with all that is left.
        """
        order = command.order
        late_key = await attempts.read_late_key(uow.connection, payment.payment_id)
        left = Money(payment.left_minor, payment.currency)
        if late_key is not None and order is None:
            return (), left, late_key
        if order is None:
            try:
                shares = await self._orders.reserve_refund(uow, caller, payment.order_group_id, None, None)
            except NothingToRefund:
                if left.amount_minor <= 0:
                    raise
                shares = ()
            return shares, left, None
        shares = await self._orders.reserve_refund(uow, caller, payment.order_group_id, order.order_id, order.amount)
        if late_key is not None:
            raise NothingToRefund(payment.state.value)
        return shares, Money(sum(share.amount_minor for share in shares), payment.currency), None

    async def _ask(self, refund: Refund) -> bool | None:
        if refund.state is not RefundState.PENDING:
            return refund.state is RefundState.SUCCEEDED
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                return await self._providers.get(refund.payment_provider).refund(
                    refund.key, refund.charge_key, refund.amount
                )
        except (ProviderUnreachable, TimeoutError):
            return None
