"""What payments need from others: a provider that moves the money, and the orders that it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.money import Money
from marketd.payment.model import AttemptState


@dataclass(frozen=True, slots=True)
class Charge:
    """What the provider is asked to take. `key` is its idempotency key."""

    key: str
    amount: Money
    method: str
    return_url: str


@dataclass(frozen=True, slots=True)
class ChargeOutcome:
    """What a provider says of a charge; PENDING when it cannot say yet."""

    state: AttemptState
    redirect_url: str = ""
    decline_code: str = ""
    decline_message: str = ""


class ProviderUnreachable(Exception):
    """The provider did not answer; whether it did something is not known."""


class Provider(Protocol):
    """A payment provider. Calls are made outside of transactions and may be repeated: a key has one effect.

    Each raises ProviderUnreachable when there is no answer.
    """

    async def confirm(self, charge: Charge) -> ChargeOutcome:
        """Create the charge under its key and take the money; a known key gives what is known of it."""

    async def find(self, key: str) -> ChargeOutcome | None:
        """What is known of a key; None when it never came."""

    async def cancel(self, charge: Charge) -> ChargeOutcome:
        """Settle the key for good: CANCELLED, and later confirms of it too; or CAPTURED or DECLINED when it was."""

    async def refund(self, key: str, charge_key: str, amount: Money) -> bool:
        """Give money of a charge back; False when the provider refuses for good."""


class Providers:
    """The providers of this marketplace by name, and which one is meant when none is named."""

    def __init__(self, providers: Mapping[str, Provider], default: str) -> None:
        self._providers = dict(providers)
        self._default = default

    def resolve(self, asked: str) -> str:
        """The name to store. Raises ValidationFailed for one that is not there."""
        name = asked or self._default
        if name not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise ValidationFailed(FieldViolation("payment_provider", f"must be one of: {known}"))
        return name

    def get(self, name: str) -> Provider:
        """The provider of a stored name."""
        return self._providers[name]


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A locked order group: whose it is, whether it waits for money, and how much of it."""

    order_group_id: UUID
    buyer_id: UUID
    is_payable: bool
    due: Money


@dataclass(frozen=True, slots=True)
class RefundShare:
    """What of a refund comes out of one order."""

    order_id: UUID
    amount_minor: int


class OrderPayments(Protocol):
    """The orders behind payments; order implements it. Everything runs in the caller's unit of work."""

    async def lock_group(self, uow: UnitOfWork, order_group_id: UUID) -> GroupStanding | None:
        """Lock the group's row, before any payment's; None when there is no such group."""

    async def payment_made(self, uow: UnitOfWork, order_group_id: UUID, payment_id: UUID) -> None:
        """The locked group has a new latest payment."""

    async def payment_captured(self, uow: UnitOfWork, order_group_id: UUID, payment_id: UUID) -> None:
        """The money was taken: the locked, payable group's waiting orders become PAID."""

    async def reserve_refund(
        self, uow: UnitOfWork, caller: Caller, order_group_id: UUID, order_id: UUID | None, amount: Money | None
    ) -> Sequence[RefundShare]:
        """Set aside what is to be given back of one order, or of all when none is named; no amount: all that is left.

        Admins may refund anything, sellers an order of their own that they name. Raises NotFound, ValidationFailed when
        more is asked for than is left, and IllegalTransition when nothing is.
        """

    async def refund_settled(
        self, uow: UnitOfWork, order_group_id: UUID, shares: Sequence[RefundShare], *, succeeded: bool
    ) -> None:
        """The provider has given the shares back, or never will."""
