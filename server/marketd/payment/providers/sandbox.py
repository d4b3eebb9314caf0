"""The sandbox provider: a payment provider's other side, kept in tables of its own.

It behaves like a real one: it remembers idempotency keys, its books are written in its own transactions, never in one
with ours, and a crash of ours between its effect and its answer leaves the effect there to be found. Methods: `ok`
takes the money, `decline` refuses, `action` asks for the buyer's action; every other name is declined as unknown.
"""

from __future__ import annotations

from typing import Final

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.money import Money
from marketd.payment.model import AttemptState
from marketd.payment.ports import Charge, ChargeOutcome, ProviderUnreachable
from marketd.payment.providers import repository

NAME: Final = "sandbox"
ACTION_PAGE: Final = "https://sandbox.marketplace.dev/actions/"
_METHODS: Final = {
    "ok": AttemptState.CAPTURED,
    "decline": AttemptState.DECLINED,
    "action": AttemptState.ACTION_REQUIRED,
}
_DECLINES: Final = {"decline": ("card_declined", "The card was declined; try another one.")}
_UNKNOWN: Final = ("unknown_method", "The sandbox knows the methods ok, decline and action.")


class SandboxProvider:
    """Implements payment.ports.Provider."""

    def __init__(self, tx: Transactor) -> None:
        self._tx = tx

    async def confirm(self, charge: Charge) -> ChargeOutcome:
        """Take the money as the method says; a known key gives its first outcome."""
        return await self._settle(charge, _METHODS.get(charge.method, AttemptState.DECLINED))

    async def cancel(self, charge: Charge) -> ChargeOutcome:
        """Settle the key: what waits for an action, or never came, is cancelled for good."""

        async def work(uow: UnitOfWork) -> ChargeOutcome:
            await repository.insert_charge(uow.connection, charge.key, charge.amount, AttemptState.CANCELLED, uow.now)
            await repository.cancel_waiting(uow.connection, charge.key)
            return await _read(uow.connection, charge.key, charge.method) or ChargeOutcome(AttemptState.CANCELLED)

        try:
            return await self._tx.run("sandbox.cancel", work)
        except Refusal as refusal:
            raise ProviderUnreachable from refusal

    async def find(self, key: str) -> ChargeOutcome | None:
        """What the book says of the key."""
        try:
            return await self._tx.read(lambda unit: _read(unit.connection, key, ""))
        except Refusal as refusal:
            raise ProviderUnreachable from refusal

    async def refund(self, key: str, charge_key: str, amount: Money) -> bool:
        """Give money of a captured charge back; a known key gives its first answer."""

        async def work(uow: UnitOfWork) -> bool:
            left = await repository.lock_left(uow.connection, charge_key)
            known = await repository.find_refund(uow.connection, key)
            if known is not None:
                return known
            if left is None:
                return False
            done = left >= amount.amount_minor
            await repository.insert_refund(uow.connection, key, charge_key, amount, uow.now, done=done)
            return done

        try:
            return await self._tx.run("sandbox.refund", work)
        except Refusal as refusal:
            raise ProviderUnreachable from refusal

    async def complete_action(self, key: str) -> None:
        """What the buyer does on the action page: the money is taken."""
        await self._tx.run("sandbox.action", lambda uow: repository.capture_waiting(uow.connection, key))

    async def _settle(self, charge: Charge, state: AttemptState) -> ChargeOutcome:
        async def work(uow: UnitOfWork) -> ChargeOutcome:
            await repository.insert_charge(uow.connection, charge.key, charge.amount, state, uow.now)
            return await _read(uow.connection, charge.key, charge.method) or ChargeOutcome(AttemptState.PENDING)

        try:
            return await self._tx.run("sandbox.confirm", work)
        except Refusal as refusal:
            raise ProviderUnreachable from refusal


async def _read(connection: Connection, key: str, method: str) -> ChargeOutcome | None:
    match await repository.read_state(connection, key):
        case None:
            return None
        case AttemptState.DECLINED:
            code, message = _DECLINES.get(method or "decline", _UNKNOWN)
            return ChargeOutcome(AttemptState.DECLINED, decline_code=code, decline_message=message)
        case AttemptState.ACTION_REQUIRED:
            return ChargeOutcome(AttemptState.ACTION_REQUIRED, redirect_url=ACTION_PAGE + key)
        case known:
            return ChargeOutcome(known)
