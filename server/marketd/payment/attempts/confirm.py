"""Confirming a payment: the attempt is written down, the provider is asked outside of any transaction, and its answer
is settled together with the orders and the stored answer to the request.

A crash between the steps loses nothing: a repeat with the same request id goes on with the same attempt under the same
provider key, and the reconciler does so for callers who do not come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound, RequestIdReused, RequestInProgress
from marketd.kernel.db.transactor import Message, Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Json
from marketd.payment import jobs, service
from marketd.payment import repository as payments
from marketd.payment.attempts import repository
from marketd.payment.attempts.settle import SettledAttempt, settle_attempt
from marketd.payment.errors import MethodOfAnother, PaymentActionRequired, PaymentDeclined, PaymentOver
from marketd.payment.model import AttemptState, PaymentState
from marketd.payment.ports import ChargeOutcome, OrderPayments, Providers, ProviderUnreachable
from marketd.payment.values import Attempt, Payment, PaymentMethod

M = TypeVar("M", bound=Message)

PROVIDER_SECONDS: Final = 2.5
"""How long a call waits for the provider; then the payment is answered as PENDING and the reconciler goes on."""
RECONCILE_AFTER: Final = timedelta(seconds=15)
ACTION_POLL: Final = timedelta(seconds=30)
STALE_AFTER: Final = timedelta(seconds=10)
"""After this an attempt without an outcome is nobody's call in flight any more; calls end after 5 s."""
_EARLIER_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Confirm:
    """Pay with a method of the payment's provider. `fingerprint` is a digest of the whole request."""

    payment_id: UUID
    method: PaymentMethod
    return_url: str
    request_id: UUID
    fingerprint: bytes


def check_not_running(attempt: Attempt, now: datetime) -> None:
    """Raises RequestInProgress while another call may be asking the provider about this attempt."""
    if attempt.state is AttemptState.PENDING and attempt.update_time > now - STALE_AFTER:
        raise RequestInProgress


class _Late(Exception):
    """The orders were gone when the money was taken; the transaction that found it is undone and done differently."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """The attempt to go on with; not `is_ours` when an earlier one must be settled first."""

    attempt: Attempt
    is_ours: bool


class PaymentConfirmer:
    """Takes the money, from the rpc and from the reconciler."""

    def __init__(self, *, tx: Transactor, providers: Providers, orders: OrderPayments) -> None:
        self._tx = tx
        self._providers = providers
        self._orders = orders

    async def confirm(self, caller: Caller, command: Confirm, render: Callable[[Payment], M]) -> M:
        """Take the money and answer with the payment, CAPTURED, or PENDING when the provider takes its time.

        A payment that this method has paid already is answered as it is, and so is one of 0, for which no provider is
        asked. Raises NotFound, MethodOfAnother,
        PaymentDeclined, PaymentActionRequired, PaymentOver, RequestIdReused, and RequestInProgress while another
        request's attempt runs.
        """
        attempt = await self._begin(caller, command)
        if attempt is None:
            payment_id = command.payment_id
            return await self._tx.answer("payment.confirm", lambda uow: self._whole(uow, payment_id), render)
        outcome = await self._ask(attempt)
        if outcome.state in (AttemptState.CAPTURED, AttemptState.PENDING):
            try:
                return await self._tx.answer("payment.confirm", lambda uow: self._finish(uow, attempt, outcome), render)
            except _Late:
                settled = await self._settle(attempt, outcome)
                raise PaymentOver(settled.payment.state) from None
        settled = await self._settle(attempt, outcome)
        match settled.attempt.state:
            case AttemptState.DECLINED:
                raise PaymentDeclined(attempt.payment_id, outcome.decline_code, outcome.decline_message)
            case AttemptState.ACTION_REQUIRED:
                raise PaymentActionRequired(attempt.payment_id, outcome.redirect_url)
            case _ if settled.payment.state.is_open:
                # Another request has settled this attempt to go on with its own.
                raise RequestInProgress
            case _:
                raise PaymentOver(settled.payment.state)

    async def reconcile(self, payload: Mapping[str, Json]) -> None:
        """Settle an attempt that nobody has settled; a job outside of transactions, safe to repeat.

        Reads before it asks again. While the payment is open it goes on with what the buyer asked for; otherwise it
        cancels at the provider, and money that was taken goes back.
        """
        attempt_id = UUID(str(payload["attempt_id"]))
        attempt = await self._tx.read(lambda unit: repository.read_attempt(unit.connection, attempt_id))
        if attempt is None or attempt.state.is_final:
            return
        payment = await self._tx.read(lambda unit: payments.read_payment(unit.connection, attempt.payment_id))
        provider = self._providers.get(attempt.payment_provider)
        if payment is None or not payment.state.is_open:
            outcome = await provider.cancel(attempt.charge)
        else:
            outcome = await provider.find(attempt.key) or await provider.confirm(attempt.charge)
        if outcome.state is AttemptState.PENDING:
            raise ProviderUnreachable
        settled = await self._settle(attempt, outcome)
        if settled.attempt.state is AttemptState.ACTION_REQUIRED:

            async def look_again(uow: UnitOfWork) -> None:
                jobs.enqueue_reconcile(uow, attempt_id, ACTION_POLL)

            await self._tx.run("payment.look_again", look_again)

    async def sweep(self) -> int:
        """Settle attempts that were left without a job of their own; how many. For a timer."""

        async def stuck(uow: UnitOfWork) -> int:
            found = await repository.read_stuck(uow.connection, uow.now, 4 * RECONCILE_AFTER, 100)
            for attempt_id in found:
                jobs.enqueue_reconcile(uow, attempt_id, jobs.AT_ONCE)
            return len(found)

        return await self._tx.run("payment.sweep", stuck)

    async def _begin(self, caller: Caller, command: Confirm) -> Attempt | None:
        """The attempt to go on with; None when nothing is to be paid."""
        for _ in range(_EARLIER_TRIES):
            begun = await self._tx.run("payment.begin", lambda uow: self._write_attempt(uow, caller, command))
            if begun is None or begun.is_ours:
                return None if begun is None else begun.attempt
            # Two charges must never be alive at once: an earlier one is settled for good before a new one begins.
            earlier = begun.attempt
            outcome = await self._bounded_cancel(earlier)
            if outcome.state is AttemptState.PENDING:
                # The provider does not answer about it; to ask again would take longer than a call may.
                break
            await self._settle(earlier, outcome)
        raise RequestInProgress

    async def _write_attempt(self, uow: UnitOfWork, caller: Caller, command: Confirm) -> _Begun | None:
        payment = await payments.read_payment(uow.connection, command.payment_id)
        if payment is None or payment.buyer_id != caller.known_user_id:
            raise NotFound("payment", command.payment_id)
        standing = await self._orders.lock_group(uow, payment.order_group_id)
        payment = await payments.lock_payment(uow.connection, command.payment_id)
        if standing is None or payment is None:
            raise NotFound("payment", command.payment_id)
        known = await repository.find_attempt(uow.connection, caller.known_user_id, command.request_id)
        if known is not None:
            if known.fingerprint != command.fingerprint:
                raise RequestIdReused
            return _Begun(known, is_ours=True)
        if command.method.payment_provider != payment.payment_provider:
            raise MethodOfAnother(payment.payment_provider)
        if payment.state is PaymentState.CAPTURED:
            paid = await repository.find_captured(uow.connection, payment.payment_id, command.method.word)
            if paid is not None:
                return _Begun(paid, is_ours=True)
            if not payment.captured_amount_minor:
                return None
        if not payment.state.is_open:
            raise PaymentOver(payment.state)
        if not standing.is_payable or uow.now >= payment.expire_time:
            raise PaymentOver(PaymentState.CANCELLED)
        if not standing.due.amount_minor:
            # All that was to be paid was cancelled just now; the job that says so to the orders has not run yet.
            await service.capture_nothing(uow, payment.order_group_id)
            await self._orders.payment_captured(uow, payment.order_group_id, payment.payment_id)
            return None
        for earlier in await repository.read_unsettled(uow.connection, payment.order_group_id):
            check_not_running(earlier, uow.now)
            return _Begun(earlier, is_ours=False)
        attempt = await repository.insert_attempt(
            uow.connection,
            payment,
            request_id=command.request_id,
            fingerprint=command.fingerprint,
            method=command.method.word,
            return_url=command.return_url,
            now=uow.now,
        )
        if attempt is None:
            raise RequestIdReused
        jobs.enqueue_reconcile(uow, attempt.attempt_id, RECONCILE_AFTER)
        return _Begun(attempt, is_ours=True)

    async def _ask(self, attempt: Attempt) -> ChargeOutcome:
        if attempt.state.is_final:
            return attempt.outcome
        provider = self._providers.get(attempt.payment_provider)
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                if attempt.state is AttemptState.ACTION_REQUIRED:
                    return await provider.find(attempt.key) or attempt.outcome
                return await provider.confirm(attempt.charge)
        except (ProviderUnreachable, TimeoutError):
            return ChargeOutcome(AttemptState.PENDING)

    async def _bounded_cancel(self, attempt: Attempt) -> ChargeOutcome:
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                return await self._providers.get(attempt.payment_provider).cancel(attempt.charge)
        except (ProviderUnreachable, TimeoutError):
            return ChargeOutcome(AttemptState.PENDING)

    async def _finish(self, uow: UnitOfWork, attempt: Attempt, outcome: ChargeOutcome) -> Payment:
        settled = await settle_attempt(uow, self._orders, attempt, outcome)
        if settled.attempt.late:
            raise _Late
        return await self._whole(uow, attempt.payment_id)

    async def _whole(self, uow: UnitOfWork, payment_id: UUID) -> Payment:
        payment = await payments.read_whole(uow.connection, payment_id)
        if payment is None:
            raise RuntimeError("a payment was deleted while its row was locked")
        return payment

    async def _settle(self, attempt: Attempt, outcome: ChargeOutcome) -> SettledAttempt:
        return await self._tx.run("payment.settle", lambda uow: settle_attempt(uow, self._orders, attempt, outcome))
