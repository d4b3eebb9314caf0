"""What auth asks of slices above it. It declares the words; the upper slice implements them and app.py wires them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from marketd.kernel.call.caller import Role
from marketd.kernel.db.uow import UnitOfWork


class MergeStrategy(StrEnum):
    """Which quantity wins when both carts hold the same variant (marketplace.type.v1.CartMergeStrategy)."""

    SUM = "SUM"
    KEEP_MAX = "KEEP_MAX"
    PREFER_GUEST = "PREFER_GUEST"
    PREFER_USER = "PREFER_USER"


class MergeOutcome(StrEnum):
    """What became of one line of the guest's cart (marketplace.type.v1.CartMergeOutcome)."""

    ADDED = "ADDED"
    COMBINED = "COMBINED"
    KEPT = "KEPT"
    LIMITED = "LIMITED"
    DROPPED = "DROPPED"


@dataclass(frozen=True, slots=True)
class MergeLine:
    """How one line of the guest's cart was merged; `user_quantity` is 0 where the account's cart had none."""

    variant_id: UUID
    guest_quantity: int
    user_quantity: int
    merged_quantity: int
    outcome: MergeOutcome


@dataclass(frozen=True, slots=True)
class MergeReport:
    """How a guest's cart went into the account's cart. promo_codes: those that moved along, the others are dropped."""

    cart_id: UUID
    strategy: MergeStrategy
    lines: tuple[MergeLine, ...]
    promo_codes: tuple[str, ...] = ()
    dropped_promo_codes: tuple[str, ...] = ()


class CartMerger(Protocol):
    """Takes a guest's cart along when somebody signs in; cart's `merge_guest_cart` is one."""

    async def __call__(
        self, uow: UnitOfWork, user_id: UUID, guest_cart_id: UUID, strategy: MergeStrategy
    ) -> MergeReport | None:
        """Move the guest's cart into the account's, in the login's own transaction.

        None when the guest's cart is gone: a stale token must not keep anybody from signing in.
        """
        ...


class AccessEnd(StrEnum):
    """How an account lost what it could do."""

    BLOCKED = "BLOCKED"
    ROLES_TAKEN = "ROLES_TAKEN"


class AccessEnded(Protocol):
    """Sees to what an account ran and can run no more: a shop, a courier's work."""

    async def __call__(self, uow: UnitOfWork, user_id: UUID, lost: Collection[Role], end: AccessEnd) -> None:
        """End or suspend it in the transaction that blocks the account or takes its roles; its row is locked.

        lost: the roles that it cannot act as any more; all of them when it is blocked.
        """
        ...


class AccountEnded(Protocol):
    """Forgets what it keeps of a person, in the transaction that deletes the account; orders and the like follow later,
    by the event `account.deleted`.
    """

    async def __call__(self, uow: UnitOfWork, user_id: UUID) -> None:
        """Forget; the account's row is locked, and no AccountHolder knows of anything."""
        ...


class AccountHolder(Protocol):
    """Knows of something that an account must let go of before it can be deleted: an order, a shop, a shift."""

    async def __call__(self, uow: UnitOfWork, user_id: UUID) -> str | None:
        """What holds the account, such as `seller 0190…`; None when nothing does."""
        ...
