"""The background work of orders."""

from __future__ import annotations

from marketd.kernel.jobs import JobRunner
from marketd.order.cancelling import expire_group
from marketd.order.placing import EXPIRE


def register(runner: JobRunner) -> None:
    """Expiry runs in the transaction that also ends its job."""
    runner.register(EXPIRE, expire_group)
