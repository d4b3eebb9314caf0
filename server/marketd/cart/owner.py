"""Whose a cart is: an account's, or a guest's, who has its token alone. One set of statements serves both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from uuid import UUID

from marketd.kernel.call.caller import Caller


class OwnerKind(StrEnum):
    """Who owns a cart. The value is SQL: which carts, as `c`, are those of the owner whose id is $1."""

    ACCOUNT = "c.user_id = $1"
    GUEST = "c.cart_id = $1 AND c.user_id IS NULL"


@dataclass(frozen=True, slots=True)
class CartOwner:
    """Who owns a cart. owner_id: an account's user_id, or the cart_id of a guest's cart, which is its own owner."""

    kind: OwnerKind
    owner_id: UUID

    @classmethod
    def account(cls, user_id: UUID) -> Self:
        """The account as an owner."""
        return cls(OwnerKind.ACCOUNT, user_id)

    @classmethod
    def guest(cls, cart_id: UUID) -> Self:
        """The guest who has the token of this cart."""
        return cls(OwnerKind.GUEST, cart_id)

    @classmethod
    def of(cls, caller: Caller) -> Self:
        """The caller as an owner; an account, or who holds the token of a guest's cart."""
        if caller.guest_cart_id is not None:
            return cls(OwnerKind.GUEST, caller.guest_cart_id)
        return cls(OwnerKind.ACCOUNT, caller.known_user_id)

    @property
    def is_guest(self) -> bool:
        """Whether it is a guest, whose cart may be gone at any time and is never made anew."""
        return self.kind is OwnerKind.GUEST

    @property
    def user_id(self) -> UUID | None:
        """The account; None for a guest."""
        return None if self.is_guest else self.owner_id

    @property
    def guest_cart_id(self) -> UUID | None:
        """The guest's cart; None for an account."""
        return self.owner_id if self.is_guest else None


def for_each_kind(statement: Callable[[str], str]) -> dict[OwnerKind, str]:
    """A statement for each kind of owner, made of the condition that finds its cart; $1 is the owner's id."""
    return {kind: statement(kind.value) for kind in OwnerKind}
