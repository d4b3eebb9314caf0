"""The tables of codes: failed attempts, verification codes, password resets and second factors.

No secret is here in plain text. What is only compared is hashed: codes of six digits with a key, or a table of a
million hashes would tell them. What must be read again is sealed.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base


class VerificationChannel(StrEnum):
    """What a verification code proves (marketplace.auth.v1.VerificationChannel)."""

    EMAIL = "EMAIL"
    PHONE = "PHONE"


class CodePurpose(StrEnum):
    """What a code does when it comes back: verify what the account has, or put what it went to in that one's place."""

    CURRENT = "CURRENT"
    CHANGE = "CHANGE"


class AttemptsTable(Base):
    """How often somebody failed at one name since the last success; `name_hash` is a keyed hash, known name or not."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index(None, "last_time"),)

    name_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    next_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class VerificationTable(Base):
    """The one code that is out for a channel of an account and a purpose; `send_count` counts since `window_time`.

    A row for CHANGE is all that a change of the e-mail address or phone is until its code comes back.
    """

    __tablename__ = "verifications"
    __table_args__ = (
        CheckConstraint("channel IN ('EMAIL', 'PHONE')", name="channel"),
        CheckConstraint("purpose IN ('CURRENT', 'CHANGE')", name="purpose"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"), primary_key=True)
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    purpose: Mapped[str] = mapped_column(Text, primary_key=True)
    target: Mapped[str] = mapped_column(Text)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary)
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    send_count: Mapped[int] = mapped_column(Integer)
    window_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class PasswordResetTable(Base):
    """A reset token that is out, as its SHA-256; `address_hash` is a keyed hash of the address it was asked for.

    For an address that no account has a token is written as well, which nobody gets: what is asked for costs the same.
    """

    __tablename__ = "password_resets"
    __table_args__ = (Index(None, "user_id"), Index(None, "address_hash"), Index(None, "expire_time"))

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.user_id"))
    address_hash: Mapped[bytes] = mapped_column(LargeBinary)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class EmailChangeTable(Base):
    """How a change of the e-mail address is taken back until `expire_time`: by the token whose SHA-256 is here.

    While the row is good, `former_email` is kept for the account: nobody else may take it.
    """

    __tablename__ = "email_changes"
    __table_args__ = (Index(None, "user_id"), Index(None, "former_email"), Index(None, "expire_time"))

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"))
    former_email: Mapped[str] = mapped_column(Text)
    former_verified: Mapped[bool] = mapped_column()
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class TotpFactorTable(Base):
    """An account's authenticator; it counts once it is confirmed. `last_step` is the last time step that was used."""

    __tablename__ = "totp_factors"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"), primary_key=True)
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    last_step: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    confirm_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class RecoveryCodeTable(Base):
    """A recovery code that was not used yet, as a keyed hash; using it deletes the row."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
