"""The tables of auth: accounts and their roles, sessions, signing keys, access changes and the audit log.

What belongs to passwords, codes and second factors is in credential_model.py.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.database import Base


class AccountState(StrEnum):
    """Whether an account may act (marketplace.auth.v1.UserState)."""

    ACTIVE = "ACTIVE"
    BLOCKED = "BLOCKED"
    DELETED = "DELETED"


class KeyState(StrEnum):
    """What a signing key is still good for: one SIGNING at a time; VERIFYING until its last token has ended."""

    SIGNING = "SIGNING"
    VERIFYING = "VERIFYING"
    RETIRED = "RETIRED"


class ChangeKind(StrEnum):
    """What happened to somebody's access; every worker learns of it within 2 s."""

    SESSION_REVOKED = "SESSION_REVOKED"
    ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"
    ACCOUNT_UNBLOCKED = "ACCOUNT_UNBLOCKED"
    ROLE_GRANTED = "ROLE_GRANTED"
    ROLE_REVOKED = "ROLE_REVOKED"


_BY_PREFIX = {"name": "text_pattern_ops"}


class Account(Base):
    """A person. E-mail addresses are kept in lower case; usernames as typed, but unique without regard to case."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_is_lower_case"),
        CheckConstraint("state IN ('ACTIVE', 'BLOCKED', 'DELETED')", name="state"),
        Index("uq_accounts_username", func.lower(text("username")), unique=True),
        # For ListUsers: what begins so, whatever the database's collation, and one state in the order of ids.
        Index("ix_accounts_email_prefix", "email", postgresql_ops={"email": "text_pattern_ops"}),
        Index("ix_accounts_phone_prefix", "phone", postgresql_ops={"phone": "text_pattern_ops"}),
        Index("ix_accounts_username_prefix", func.lower(text("username")).label("name"), postgresql_ops=_BY_PREFIX),
        Index("ix_accounts_full_name_prefix", func.lower(text("full_name")).label("name"), postgresql_ops=_BY_PREFIX),
        Index(None, "state", "account_id"),
    )

    account_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    username: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text, unique=True)
    full_name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    email_verified: Mapped[bool] = mapped_column(server_default=text("false"))
    phone_verified: Mapped[bool] = mapped_column(server_default=text("false"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))


class AccountRole(Base):
    """That an account may act as something."""

    __tablename__ = "account_roles"
    __table_args__ = (
        CheckConstraint("role IN ('BUYER', 'SELLER', 'COURIER', 'ADMIN', 'SERVICE')", name="role"),
        Index(None, "role", "account_id"),
    )

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.account_id"), primary_key=True)
    role: Mapped[str] = mapped_column(Text, primary_key=True)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Session(Base):
    """One sign-in and the family of refresh tokens that grew from it.

    Only SHA-256 of tokens is here. `previous_hash` is the token spent at `rotate_time`: repeated within the grace it
    gets its successor again, later it is taken for stolen. `expire_time` is absolute; refreshing does not move it.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index(None, "account_id"),
        Index(None, "expire_time"),
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash_is_sha256"),
    )

    session_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.account_id"))
    device_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    rotate_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_seen_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoke_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SigningKey(Base):
    """An Ed25519 key that signs access tokens; the private half is sealed with a key made of the settings' secret."""

    __tablename__ = "signing_keys"
    __table_args__ = (
        CheckConstraint("state IN ('SIGNING', 'VERIFYING', 'RETIRED')", name="state"),
        # At most one key signs: a constraint, so two servers that start together cannot disagree.
        Index("uq_signing_keys_signing", "state", unique=True, postgresql_where=text("state = 'SIGNING'")),
    )

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_private_key: Mapped[bytes] = mapped_column(LargeBinary)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    retire_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AccessChange(Base):
    """One change of somebody's access, for the workers' pollers; `create_time` is the database's clock."""

    __tablename__ = "access_changes"
    __table_args__ = (Index(None, "create_time"),)

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(Uuid)
    session_id: Mapped[UUID | None] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))


class AuditEntry(Base):
    """Who did what to which thing, when, from where, with what outcome. Rows are written and never changed."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index(None, "account_id", "create_time"),
        Index(None, "method", "create_time"),
        Index(None, "resource_type", "resource_id", "create_time"),
        Index(None, "create_time"),
    )

    audit_entry_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    actor_kind: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID | None] = mapped_column(Uuid)
    session_id: Mapped[UUID | None] = mapped_column(Uuid)
    method: Mapped[str] = mapped_column(Text)
    resource_type: Mapped[str] = mapped_column(Text)
    resource_id: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    refusal_reason: Mapped[str] = mapped_column(Text)
    comment: Mapped[str] = mapped_column(Text)
    correlation_id: Mapped[str] = mapped_column(Text)
    remote_address: Mapped[str] = mapped_column(Text)
