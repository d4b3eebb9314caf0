"""The jobs of payments: asking the provider again about an attempt, and carrying a refund out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job

RECONCILE: Final = "payment.reconcile"
REFUND: Final = "payment.refund"
AT_ONCE: Final = timedelta(0)


def enqueue_reconcile(uow: UnitOfWork, attempt_id: UUID, delay: timedelta) -> None:
    """Have the reconciler look at an attempt after `delay`."""
    uow.enqueue(Job(kind=RECONCILE, payload={"attempt_id": str(attempt_id)}, run_time=_run_time(uow, delay)))


def enqueue_refund(uow: UnitOfWork, refund_id: UUID, delay: timedelta) -> None:
    """Have the provider asked for a refund after `delay`, unless somebody has asked by then."""
    uow.enqueue(Job(kind=REFUND, payload={"refund_id": str(refund_id)}, run_time=_run_time(uow, delay)))


def _run_time(uow: UnitOfWork, delay: timedelta) -> datetime | None:
    """None is at once, and wakes whoever runs jobs."""
    return uow.now + delay if delay else None
