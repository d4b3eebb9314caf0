"""Which providers there are: the sandbox, for now. The next one gets its line here, and nowhere else."""

from __future__ import annotations

from marketd.kernel.db.transactor import Transactor
from marketd.payment.ports import Providers
from marketd.payment.providers.sandbox import SandboxProvider


def providers_of(tx: Transactor) -> Providers:
    """The providers that this marketplace takes money through."""
    return Providers({"sandbox": SandboxProvider(tx)}, default="sandbox")
