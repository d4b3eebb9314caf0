"""The tables of media. No SQL statements and no protobuf here.

A file's row is there before the file and goes after it, so no file is without one unless the database was put back to
an older state. `keep_until` says until when an upload that is about to name a file keeps it. Then it is looked at: one
that media name has none from then on, and any other is removed. `remove_time` says that it is being removed; whoever
uploads the same bytes waits until it is gone.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, UniqueConstraint, Uuid
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base


class Purpose(StrEnum):
    """What a picture is for (marketplace.media.v1.MediaPurpose)."""

    PRODUCT = "PRODUCT"
    SHOP = "SHOP"
    CATEGORY = "CATEGORY"
    REVIEW = "REVIEW"
    PROOF = "PROOF"
    SIGNATURE = "SIGNATURE"

    @property
    def is_public(self) -> bool:
        """Whether everybody may read it."""
        return self not in PRIVATE


PRIVATE: Final = frozenset({Purpose.PROOF, Purpose.SIGNATURE})
_PURPOSES: Final = ", ".join(repr(purpose.value) for purpose in Purpose)


class MediaTable(Base):
    """The rows of media. Only `unheld_time` ever changes: since when nothing holds it; NULL while something does."""

    __tablename__ = "media"
    __table_args__ = (
        CheckConstraint(f"purpose IN ({_PURPOSES})", name="purpose"),
        UniqueConstraint("owner_user_id", "purpose", "sha256"),
        Index("ix_media_owner_user_id", "owner_user_id", "create_time", "media_id"),
        Index("ix_media_unheld_time", "unheld_time", postgresql_where=sql("unheld_time IS NOT NULL")),
    )

    media_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner_user_id: Mapped[UUID] = mapped_column(Uuid)
    purpose: Mapped[str] = mapped_column(Text)
    file_name: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    # [{"name", "file", "width", "height", "size"}], smallest first: lists of products read it with their own rows.
    renditions: Mapped[list[object]] = mapped_column(JSONB)
    kept_size: Mapped[int] = mapped_column(BigInteger)
    unheld_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class MediaFileTable(Base):
    """A file in the store, or one that is about to be there or to go."""

    __tablename__ = "media_files"
    __table_args__ = (Index("ix_media_files_keep_until", "keep_until", postgresql_where=sql("keep_until IS NOT NULL")),)

    name: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    keep_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    remove_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class MediaFileUseTable(Base):
    """Which media a file is of: several owners may have uploaded the same bytes."""

    __tablename__ = "media_file_uses"
    __table_args__ = (Index(None, "media_id"),)

    name: Mapped[str] = mapped_column(ForeignKey("media_files.name"), primary_key=True)
    media_id: Mapped[UUID] = mapped_column(ForeignKey("media.media_id", ondelete="CASCADE"), primary_key=True)


class MediaHoldTable(Base):
    """What shows a media and keeps it: a product, a shop, a delivery."""

    __tablename__ = "media_holds"
    __table_args__ = (Index("ix_media_holds_holder_id", "holder_id", "holder_kind"),)

    media_id: Mapped[UUID] = mapped_column(ForeignKey("media.media_id"), primary_key=True)
    holder_kind: Mapped[str] = mapped_column(Text, primary_key=True)
    holder_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class MediaOwnerTable(Base):
    """How many bytes the media of an account take. Its row is also what uploads of one account queue at."""

    __tablename__ = "media_owners"
    __table_args__ = (CheckConstraint("used_size >= 0", name="used_size"),)

    owner_user_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    used_size: Mapped[int] = mapped_column(BigInteger)
