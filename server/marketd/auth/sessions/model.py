"""The tables of sessions: sign-ins, the keys that sign their tokens, and changes of somebody's access."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base


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


class SessionTable(Base):
    """One sign-in and the family of refresh tokens that grew from it.

    Only SHA-256 of tokens is here, and only that of the token that is current: whoever presents an earlier one presents
    its ancestor, since each token's successor is made of it. `spend_times` says when the latest of them were spent, the
    last one first: within the grace of its own time a spent token gets its successor again, later it is taken for
    stolen. `expire_time` is absolute; refreshing does not move it.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index(None, "user_id"),
        Index(None, "expire_time"),
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash_is_sha256"),
    )

    session_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"))
    device_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    second_factor: Mapped[bool] = mapped_column(server_default=text("false"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    spend_times: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)), server_default=text("'{}'"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    refresh_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoke_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SigningKeyTable(Base):
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


class AccessChangeTable(Base):
    """One change of somebody's access, for the workers' pollers; `create_time` is the database's clock."""

    __tablename__ = "access_changes"
    __table_args__ = (Index(None, "create_time"),)

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Uuid)
    session_id: Mapped[UUID | None] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))
