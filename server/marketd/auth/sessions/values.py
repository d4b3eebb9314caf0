"""What sessions hands around: sign-ins, their tokens, the keys that sign them, and changes of somebody's access."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.auth.sessions.model import ChangeKind, KeyState
from marketd.auth.sessions.refresh_tokens import RefreshToken
from marketd.kernel.call.caller import Role

MAX_OPEN: Final = 1_000
_OF_FACTORS: Final = frozenset({Role.ADMIN})
MAX_ADDRESSES: Final = 100
"""So many addresses of an account's device are compared with that of a sign-in."""
MAX_GENERATIONS: Final = 64
"""So many spent tokens of a session are known by their times; the limit of LOGIN lets far fewer be spent in a grace."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its owner sees it."""

    session_id: UUID
    device_name: str
    address: str
    second_factor: bool
    create_time: datetime
    refresh_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class TokenFamily:
    """The refresh tokens of a session, and whose: for judging a presented one and for answering with its successor.

    spend_times: of the tokens before the current one, the latest first; at most MAX_GENERATIONS.
    """

    session_id: UUID
    user_id: UUID
    account_state: AccountState
    token_hash: bytes = field(repr=False)
    spend_times: tuple[datetime, ...]
    refresh_time: datetime
    expire_time: datetime
    revoke_time: datetime | None
    roles: frozenset[Role]
    second_factor: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether an access token still holds, and as what. A service's session has no second factor."""

    account_state: AccountState
    revoke_time: datetime | None
    roles: frozenset[Role]
    second_factor: bool = False


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long sessions last, absolutely and unused, and how long a spent refresh token still gets its successor.

    An account has at most `max_open` sessions: ending them all must fit into one transaction. With `admin_totp` the
    role ADMIN counts only in sessions that were opened with a second factor.
    """

    lifetime: timedelta
    idle: timedelta
    grace: timedelta
    max_open: int = MAX_OPEN
    admin_totp: bool = False


def withheld_roles(roles: frozenset[Role], *, second_factor: bool, admin_totp: bool) -> frozenset[Role]:
    """The roles of the account that do not count in a session that was opened so."""
    return roles & _OF_FACTORS if admin_totp and not second_factor else frozenset()


@dataclass(frozen=True, slots=True)
class SessionGrant:
    """That somebody may act in a session: what tokens are made of once the transaction is committed."""

    user_id: UUID
    session_id: UUID
    roles: frozenset[Role]
    refresh: RefreshToken
    expire_time: datetime
    granted_time: datetime


@dataclass(frozen=True, slots=True)
class AccessChange:
    """One change of somebody's access; `position` is only a name for it, not an order."""

    position: int
    user_id: UUID
    session_id: UUID | None
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key; the private half is sealed by the settings' secret."""

    kid: str
    state: KeyState
    public_key: bytes
    sealed_private_key: bytes = field(repr=False)
    create_time: datetime
    retire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as others may know it (RFC 8037); `x` is base64url without padding."""

    kid: str
    x: str
