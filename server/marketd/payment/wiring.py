"""How payment is put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from marketd.config import Settings
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.slice import Parts, Slice
from marketd.kernel.work.repeat import repeat
from marketd.payment import invariants
from marketd.payment.attempts.confirm import PaymentConfirmer
from marketd.payment.jobs import RECONCILE, REFUND
from marketd.payment.ports import OrderPayments, Providers
from marketd.payment.refunds.refund import PaymentRefunder
from marketd.payment.servicer import PaymentServicer

SERVICERS: Final = (PaymentServicer,)
INVARIANTS: Final = invariants.INVARIANTS
LOOK_SECONDS: Final = 60.0
"""How often attempts are looked for that were left alone: their job may have run out of tries."""


def build(
    parts: Parts, *, orders: Callable[[Settings], OrderPayments], providers: Callable[[Transactor], Providers]
) -> Slice:
    """Payment's part of a process. `orders` gives what the payments are for, `providers` who takes the money."""
    taking, paid = providers(parts.tx), orders(parts.settings)
    confirmer = PaymentConfirmer(tx=parts.tx, providers=taking, orders=paid)
    refunder = PaymentRefunder(tx=parts.tx, providers=taking, orders=paid)

    async def look() -> bool:
        await confirmer.sweep()
        return False

    return Slice(
        servicers=[
            PaymentServicer(
                tx=parts.tx,
                providers=taking,
                orders=paid,
                confirmer=confirmer,
                refunder=refunder,
                currency=parts.settings.currency,
            )
        ],
        # Both call the provider, so they run outside of transactions and may run again.
        outside_jobs={RECONCILE: confirmer.reconcile, REFUND: refunder.carry_out},
        background=[lambda: repeat("payment.sweep", look, pause_seconds=LOOK_SECONDS)],
    )
