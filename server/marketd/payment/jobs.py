"""The background work of payments: kinds of jobs with their handlers, and the timer that finds what has no job."""

from __future__ import annotations

import asyncio

import structlog

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.work.job_runner import JobRunner
from marketd.payment.confirm import Confirming
from marketd.payment.refund import Refunding
from marketd.payment.service import RECONCILE, REFUND

_log = structlog.get_logger(__name__)


def register(runner: JobRunner, confirming: Confirming, refunding: Refunding) -> None:
    """Both call the provider, so they run outside of transactions and may run again."""
    runner.register_outside(RECONCILE, confirming.reconcile)
    runner.register_outside(REFUND, refunding.carry_out)


async def run_sweep(confirming: Confirming, *, pause_seconds: float = 60.0) -> None:
    """Look for attempts that were left alone, until cancelled: their job may have run out of tries."""
    while True:
        try:
            await confirming.sweep()
        except Refusal as refusal:
            _log.warning("payment_sweep_waiting", reason=refusal.reason.value)
        await asyncio.sleep(pause_seconds)
