"""The background work of orders."""

from __future__ import annotations

from marketd.kernel.work.job_runner import JobRunner
from marketd.order.cancel import expire_group
from marketd.order.place import EXPIRE


def register(runner: JobRunner) -> None:
    """Expiry runs in the transaction that also ends its job."""
    runner.register(EXPIRE, expire_group)
