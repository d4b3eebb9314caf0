"""What accounts hands around."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.kernel.call.caller import Role


@dataclass(frozen=True, slots=True)
class Account:
    """An account with its roles. Empty texts mean none."""

    user_id: UUID
    email: str
    username: str
    phone: str
    full_name: str
    language_code: str
    password_hash: str = field(repr=False)
    state: AccountState
    email_verified: bool
    phone_verified: bool
    create_time: datetime
    update_time: datetime
    version: int
    roles: frozenset[Role]
    totp_enabled: bool


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which accounts to list, and in what order; what is empty or None leaves nothing out.

    `create_time_before` is exclusive. `order` is "create_time" or "email".
    """

    states: tuple[AccountState, ...] = ()
    roles: tuple[Role, ...] = ()
    query: str = ""
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    order: str = "create_time"
    descending: bool = True
