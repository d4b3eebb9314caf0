"""The table of the audit log."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base


class ActorKind(StrEnum):
    """Who acted (marketplace.type.v1.ActorKind)."""

    USER = "USER"
    SERVICE = "SERVICE"
    SYSTEM = "SYSTEM"
    ANONYMOUS = "ANONYMOUS"


class AuditEntryTable(Base):
    """Who did what to which thing, when, from where, with what outcome.

    Rows are written and never changed, but that values go with the person whom they are about.
    changes: [{"field", "before", "after"}].
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index(None, "actor_id", "create_time"),
        Index(None, "method", "create_time"),
        Index(None, "resource_type", "resource_id", "create_time"),
        Index(None, "create_time"),
    )

    audit_entry_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    actor_kind: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[UUID | None] = mapped_column(Uuid)
    session_id: Mapped[UUID | None] = mapped_column(Uuid)
    method: Mapped[str] = mapped_column(Text)
    resource_type: Mapped[str] = mapped_column(Text)
    resource_id: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    refusal_reason: Mapped[str] = mapped_column(Text)
    comment: Mapped[str] = mapped_column(Text)
    correlation_id: Mapped[str] = mapped_column(Text)
    remote_address: Mapped[str] = mapped_column(Text)
    changes: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")
