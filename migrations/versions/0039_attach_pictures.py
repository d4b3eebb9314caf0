"""Attach pictures: to products, those fetched from elsewhere included, to shops and to categories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Pictures that are shown from elsewhere now are to be fetched."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column("sellers", sa.Column("logo_media_id", sa.Uuid(), nullable=True))
    op.add_column("sellers", sa.Column("logo_alt_text", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("categories", sa.Column("image_media_id", sa.Uuid(), nullable=True))
    op.add_column("categories", sa.Column("image_alt_text", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("order_items", sa.Column("image_media_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_order_items_image_media_id",
        "order_items",
        ["image_media_id"],
        postgresql_where=sa.text("image_media_id IS NOT NULL"),
    )
    op.create_check_constraint(op.f("ck_product_images_picture"), "product_images", "media_id IS NOT NULL OR url <> ''")
    op.create_table(
        "remote_images",
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('WAITING', 'FETCHED', 'FAILED')", name=op.f("ck_remote_images_state")),
        sa.CheckConstraint(
            "(state = 'WAITING') = (next_try_time IS NOT NULL)", name=op.f("ck_remote_images_next_try_time")
        ),
        sa.CheckConstraint("state <> 'FAILED' OR failure IS NOT NULL", name=op.f("ck_remote_images_failure")),
        sa.ForeignKeyConstraint(
            ["image_id"], ["product_images.image_id"], name=op.f("fk_remote_images_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_remote_images")),
    )
    op.execute(
        "INSERT INTO remote_images (image_id, seller_id, host, state, tries, next_try_time)"
        " SELECT i.image_id, p.seller_id, lower(split_part(split_part(i.url, '/', 3), '?', 1)), 'WAITING', 0, now()"
        " FROM product_images i JOIN products p ON p.product_id = i.product_id"
        " WHERE i.media_id IS NULL AND p.delete_time IS NULL"
    )
    op.create_index(
        "ix_remote_images_lane",
        "remote_images",
        ["seller_id", "host", "next_try_time"],
        postgresql_where=sa.text("state = 'WAITING'"),
    )
    op.create_index("ix_remote_images_seller_id", "remote_images", ["seller_id", "state", "image_id"])
    op.create_index("ix_remote_images_state", "remote_images", ["state", "image_id"])


def downgrade() -> None:
    """What was fetched is shown from where it was again; uploads that products show are shown no more."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_table("remote_images")
    op.drop_constraint(op.f("ck_product_images_picture"), "product_images")
    op.execute("DELETE FROM media_holds WHERE holder_kind IN ('PRODUCT', 'SELLER', 'CATEGORY')")
    op.execute("DELETE FROM product_images WHERE url = ''")
    op.execute("UPDATE product_images SET media_id = NULL")
    op.execute(
        "UPDATE media SET unheld_time = now() WHERE unheld_time IS NULL"
        " AND NOT EXISTS (SELECT FROM media_holds h WHERE h.media_id = media.media_id)"
    )
    op.drop_index("ix_order_items_image_media_id", "order_items")
    op.drop_column("order_items", "image_media_id")
    op.drop_column("categories", "image_alt_text")
    op.drop_column("categories", "image_media_id")
    op.drop_column("sellers", "logo_alt_text")
    op.drop_column("sellers", "logo_media_id")
