"""Payment providers that do as the sandbox does, but for what a test wants otherwise."""

from __future__ import annotations

import asyncio

from marketd.kernel.values.money import Money
from marketd.payment.ports import Charge, ChargeOutcome
from marketd.payment.providers.sandbox import SandboxProvider


class SandboxedProvider:
    """As the sandbox."""

    def __init__(self, sandbox: SandboxProvider) -> None:
        self.sandbox = sandbox

    async def confirm(self, charge: Charge) -> ChargeOutcome:
        """As the sandbox."""
        return await self.sandbox.confirm(charge)

    async def find(self, key: str) -> ChargeOutcome | None:
        """As the sandbox."""
        return await self.sandbox.find(key)

    async def cancel(self, charge: Charge) -> ChargeOutcome:
        """As the sandbox."""
        return await self.sandbox.cancel(charge)

    async def refund(self, key: str, charge_key: str, amount: Money) -> bool:
        """As the sandbox."""
        return await self.sandbox.refund(key, charge_key, amount)


class HeldProvider(SandboxedProvider):
    """One that takes the money and waits until the test says go; it refuses refunds for good when told so."""

    def __init__(self, sandbox: SandboxProvider) -> None:
        super().__init__(sandbox)
        self.captured = asyncio.Event()
        self.go = asyncio.Event()
        self.refuses = False

    async def confirm(self, charge: Charge) -> ChargeOutcome:
        """Take the money, then wait."""
        outcome = await self.sandbox.confirm(charge)
        self.captured.set()
        await self.go.wait()
        return outcome

    async def refund(self, key: str, charge_key: str, amount: Money) -> bool:
        """As the sandbox, or never."""
        return not self.refuses and await self.sandbox.refund(key, charge_key, amount)
