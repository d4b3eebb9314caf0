"""Who calls: the account, session and roles behind a call, as the edge established them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID


class Role(StrEnum):
    """What an account may act as; the values are those of marketplace.policy.v1.Role without the prefix."""

    BUYER = "BUYER"
    SELLER = "SELLER"
    COURIER = "COURIER"
    ADMIN = "ADMIN"
    SERVICE = "SERVICE"
    GUEST = "GUEST"
    VIEWER = "VIEWER"


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who calls.

    `user_id` and `session_id` are None for anonymous callers and guests. `roles` are the account's as this worker knows
    them (at most 2 s old), not the token's claim. `address` is the peer's, for limits and audit. `expires` is when the
    token ends, in seconds since the epoch; streams end then. `withheld` are roles that the account has and that do not
    count in this session, because it was opened without a second factor. `guest_cart_id` is the cart whose token a
    guest holds, None for everybody else; whether that cart is still there, the edge does not know.
    """

    user_id: UUID | None
    session_id: UUID | None
    roles: frozenset[Role]
    address: str = ""
    expires: float | None = None
    withheld: frozenset[Role] = frozenset()
    guest_cart_id: UUID | None = None

    @property
    def key(self) -> str:
        """A stable text for this caller in keys of rates, pages and request ids."""
        if self.user_id is not None:
            return str(self.user_id)
        return "anonymous" if self.guest_cart_id is None else f"guest:{self.guest_cart_id}"

    @property
    def known_user_id(self) -> UUID:
        """The id of who calls; for use cases that the access table never opens to anonymous callers and guests."""
        if self.user_id is None:
            raise RuntimeError("a caller without an account reached a use case that needs one")
        return self.user_id

    def has(self, *roles: Role) -> bool:
        """Whether the caller holds at least one of the roles."""
        return not self.roles.isdisjoint(roles)


GUEST_ROLES: Final = frozenset({Role.GUEST})
"""What the token of a guest's cart makes of who holds it."""

ANONYMOUS = Caller(None, None, frozenset())
SYSTEM = Caller(None, None, frozenset({Role.ADMIN, Role.SERVICE}))
"""The marketplace itself: jobs, timers and event handlers."""
