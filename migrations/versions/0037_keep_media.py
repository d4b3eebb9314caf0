"""Keep media: pictures, their files, what holds them, and how much room each account's take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_PURPOSES = "purpose IN ('PRODUCT', 'SHOP', 'CATEGORY', 'REVIEW', 'PROOF', 'SIGNATURE')"


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.create_table(
        "media",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("owner_user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("renditions", postgresql.JSONB(), nullable=False),
        sa.Column("kept_size", sa.BigInteger(), nullable=False),
        sa.Column("unheld_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(_PURPOSES, name=op.f("ck_media_purpose")),
        sa.PrimaryKeyConstraint("media_id", name=op.f("pk_media")),
        sa.UniqueConstraint("owner_user_id", "purpose", "sha256", name=op.f("uq_media_owner_user_id_purpose_sha256")),
    )
    op.create_index("ix_media_owner_user_id", "media", ["owner_user_id", "create_time", "media_id"])
    op.create_index(
        "ix_media_unheld_time", "media", ["unheld_time"], postgresql_where=sa.text("unheld_time IS NOT NULL")
    )
    op.create_table(
        "media_files",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("keep_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remove_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_media_files")),
    )
    op.create_index(
        "ix_media_files_keep_until", "media_files", ["keep_until"], postgresql_where=sa.text("keep_until IS NOT NULL")
    )
    op.create_table(
        "media_file_uses",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["name"], ["media_files.name"], name=op.f("fk_media_file_uses_name")),
        sa.ForeignKeyConstraint(
            ["media_id"], ["media.media_id"], name=op.f("fk_media_file_uses_media_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", "media_id", name=op.f("pk_media_file_uses")),
    )
    op.create_index("ix_media_file_uses_media_id", "media_file_uses", ["media_id"])
    op.create_table(
        "media_holds",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("holder_kind", sa.Text(), nullable=False),
        sa.Column("holder_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["media_id"], ["media.media_id"], name=op.f("fk_media_holds_media_id")),
        sa.PrimaryKeyConstraint("media_id", "holder_kind", "holder_id", name=op.f("pk_media_holds")),
    )
    op.create_index("ix_media_holds_holder_id", "media_holds", ["holder_id", "holder_kind"])
    op.create_table(
        "media_owners",
        sa.Column("owner_user_id", sa.Uuid(), nullable=False),
        sa.Column("used_size", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used_size >= 0", name=op.f("ck_media_owners_used_size")),
        sa.PrimaryKeyConstraint("owner_user_id", name=op.f("pk_media_owners")),
    )


def downgrade() -> None:
    """Drop them; the files stay where they are."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    for table in ("media_owners", "media_holds", "media_file_uses", "media_files", "media"):
        op.drop_table(table)
