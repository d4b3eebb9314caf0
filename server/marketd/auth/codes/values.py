"""What codes hands around: what somebody presents, what is out for them, and under which names failures count."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from marketd.auth.codes.model import CodePurpose


@dataclass(frozen=True, slots=True)
class SentCode:
    """A verification code that is out for a channel, what it is for, and to which address or phone it went."""

    purpose: CodePurpose
    target: str
    code_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """An account's second factor; it counts once it is confirmed. `last_step` is the last time step that was used."""

    sealed_secret: bytes = field(repr=False)
    last_step: int
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class FactorProof:
    """What somebody presents as second factor; empty texts mean nothing."""

    totp_code: str = field(default="", repr=False)
    recovery_code: str = field(default="", repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was presented."""
        return not self.totp_code and not self.recovery_code


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody who has signed in presents to show that it is the owner: the password, or a second factor."""

    password: str = field(default="", repr=False)
    factor: FactorProof = field(default_factory=FactorProof)


@dataclass(frozen=True, slots=True)
class EmailChange:
    """A change of an account's e-mail address that can be taken back, and what it had before."""

    user_id: UUID
    former_email: str
    former_verified: bool
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What an authenticator needs to know."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CountedName:
    """A name under which failures are counted, as its keyed hash."""

    hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AttemptRules:
    """What failures at a name cost: the first `free` no pause, the next ones a second that doubles each time.

    From `limit` failures on the pause is `forget`. A count whose last attempt is older than that starts anew.
    """

    free: int
    limit: int
    forget: timedelta
