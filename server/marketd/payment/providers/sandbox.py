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
from marketd.payment.ports import Charge, Outcome, ProviderUnreachable

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

    async def confirm(self, charge: Charge) -> Outcome:
        """Take the money as the method says; a known key gives its first outcome."""
        return await self._settle(charge, _METHODS.get(charge.method, AttemptState.DECLINED))

    async def cancel(self, charge: Charge) -> Outcome:
        """Settle the key: what waits for an action, or never came, is cancelled for good."""

        async def work(uow: UnitOfWork) -> Outcome:
            await _insert(uow, charge, AttemptState.CANCELLED)
            await uow.connection.execute(
                "UPDATE sandbox_charges SET state = $2 WHERE key = $1 AND state = $3",
                charge.key,
                AttemptState.CANCELLED.value,
                AttemptState.ACTION_REQUIRED.value,
            )
            return await _read(uow.connection, charge.key, charge.method) or Outcome(AttemptState.CANCELLED)

        try:
            return await self._tx.run("sandbox.cancel", work)
        except Refusal as refusal:
            raise ProviderUnreachable from refusal

    async def find(self, key: str) -> Outcome | None:
        """What the book says of the key."""
        try:
            return await self._tx.read(lambda unit: _read(unit.connection, key, ""))
        except Refusal as refusal:
            raise ProviderUnreachable from refusal

    async def refund(self, key: str, charge_key: str, amount: Money) -> bool:
        """Give money of a captured charge back; a known key gives its first answer."""

        async def work(uow: UnitOfWork) -> bool:
            left = await uow.connection.fetchval(
                "SELECT captured_minor - refunded_minor FROM sandbox_charges WHERE key = $1 FOR UPDATE", charge_key
            )
            known = await uow.connection.fetchval("SELECT is_done FROM sandbox_refunds WHERE key = $1", key)
            if known is not None:
                return bool(known)
            if left is None:
                return False
            is_done = bool(left >= amount.amount_minor)
            await uow.connection.execute(
                "INSERT INTO sandbox_refunds (key, charge_key, amount_minor, is_done, create_time)"
                " VALUES ($1, $2, $3, $4, $5)",
                key,
                charge_key,
                amount.amount_minor,
                is_done,
                uow.now,
            )
            if is_done:
                await uow.connection.execute(
                    "UPDATE sandbox_charges SET refunded_minor = refunded_minor + $2 WHERE key = $1",
                    charge_key,
                    amount.amount_minor,
                )
            return is_done

        try:
            return await self._tx.run("sandbox.refund", work)
        except Refusal as refusal:
            raise ProviderUnreachable from refusal

    async def complete_action(self, key: str) -> None:
        """What the buyer does on the action page: the money is taken."""
        await self._tx.run(
            "sandbox.action",
            lambda uow: uow.connection.execute(
                "UPDATE sandbox_charges SET state = $2, captured_minor = amount_minor WHERE key = $1 AND state = $3",
                key,
                AttemptState.CAPTURED.value,
                AttemptState.ACTION_REQUIRED.value,
            ),
        )

    async def _settle(self, charge: Charge, state: AttemptState) -> Outcome:
        async def work(uow: UnitOfWork) -> Outcome:
            await _insert(uow, charge, state)
            return await _read(uow.connection, charge.key, charge.method) or Outcome(AttemptState.PENDING)

        try:
            return await self._tx.run("sandbox.confirm", work)
        except Refusal as refusal:
            raise ProviderUnreachable from refusal


async def _insert(uow: UnitOfWork, charge: Charge, state: AttemptState) -> None:
    captured = charge.amount.amount_minor if state is AttemptState.CAPTURED else 0
    await uow.connection.execute(
        "INSERT INTO sandbox_charges (key, amount_minor, currency, state, captured_minor, create_time)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING",
        charge.key,
        charge.amount.amount_minor,
        charge.amount.currency,
        state.value,
        captured,
        uow.now,
    )


async def _read(connection: Connection, key: str, method: str) -> Outcome | None:
    state = await connection.fetchval("SELECT state FROM sandbox_charges WHERE key = $1", key)
    if state is None:
        return None
    match AttemptState(state):
        case AttemptState.DECLINED:
            code, message = _DECLINES.get(method or "decline", _UNKNOWN)
            return Outcome(AttemptState.DECLINED, decline_code=code, decline_message=message)
        case AttemptState.ACTION_REQUIRED:
            return Outcome(AttemptState.ACTION_REQUIRED, redirect_url=ACTION_PAGE + key)
        case known:
            return Outcome(known)
