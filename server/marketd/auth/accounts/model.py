"""The tables of accounts and their roles."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base
from marketd.kernel.values.transitions import Transitions


class AccountState(StrEnum):
    """Whether an account may act (marketplace.auth.v1.UserState)."""

    ACTIVE = "ACTIVE"
    BLOCKED = "BLOCKED"
    DELETED = "DELETED"


TRANSITIONS = Transitions(
    "user",
    {
        AccountState.ACTIVE: (AccountState.BLOCKED, AccountState.DELETED),
        AccountState.BLOCKED: (AccountState.ACTIVE, AccountState.DELETED),
        AccountState.DELETED: (),
    },
)
_BY_PREFIX = {"name": "text_pattern_ops"}


class AccountTable(Base):
    """A person. E-mail addresses are kept in lower case; usernames as typed, but unique without regard to case."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_is_lower_case"),
        CheckConstraint("state IN ('ACTIVE', 'BLOCKED', 'DELETED')", name="state"),
        Index("uq_accounts_username", func.lower(text("username")), unique=True),
        # A phone belongs to who verified it; others may have given it, by mistake or to keep its owner out.
        Index("uq_accounts_phone", "phone", unique=True, postgresql_where=text("phone_verified")),
        # For ListUsers: what begins so, whatever the database's collation, and one state in the order of ids.
        Index("ix_accounts_email_prefix", "email", postgresql_ops={"email": "text_pattern_ops"}),
        Index("ix_accounts_phone_prefix", "phone", postgresql_ops={"phone": "text_pattern_ops"}),
        Index("ix_accounts_username_prefix", func.lower(text("username")).label("name"), postgresql_ops=_BY_PREFIX),
        Index("ix_accounts_full_name_prefix", func.lower(text("full_name")).label("name"), postgresql_ops=_BY_PREFIX),
        Index(None, "state", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    username: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)
    full_name: Mapped[str] = mapped_column(Text)
    language_code: Mapped[str | None] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    email_verified: Mapped[bool] = mapped_column(server_default=text("false"))
    phone_verified: Mapped[bool] = mapped_column(server_default=text("false"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))


class FormerUsernameTable(Base):
    """The username that an account had, in lower case: until `expire_time` nobody else may take it.

    One for each account: whoever renames it again and again keeps no more from others.
    """

    __tablename__ = "former_usernames"
    __table_args__ = (Index(None, "username"), Index(None, "expire_time"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"), primary_key=True)
    username: Mapped[str] = mapped_column(Text)
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class AccountRoleTable(Base):
    """That an account may act as something."""

    __tablename__ = "account_roles"
    __table_args__ = (
        CheckConstraint("role IN ('BUYER', 'SELLER', 'COURIER', 'ADMIN', 'SERVICE')", name="role"),
        Index(None, "role", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.user_id"), primary_key=True)
    role: Mapped[str] = mapped_column(Text, primary_key=True)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
