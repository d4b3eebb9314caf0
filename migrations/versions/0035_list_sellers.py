"""Let sellers be listed: what their names are compared by, and an index for each order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The server makes keys more thoroughly; each seller gets that one when its name next changes."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.add_column("sellers", sa.Column("shop_name_key", sa.Text(collation="C"), nullable=True))
    op.execute(
        "UPDATE sellers SET shop_name_key ="
        " trim(regexp_replace(normalize(lower(normalize(shop_name, NFC)), NFC), '\\s+', ' ', 'g'))"
    )
    op.alter_column("sellers", "shop_name_key", nullable=False)
    op.create_index("ix_sellers_shop_name_key", "sellers", ["state", "shop_name_key", "seller_id"])
    op.create_index("ix_sellers_create_time", "sellers", ["state", "create_time", "seller_id"])


def downgrade() -> None:
    """Nobody lists them."""
    op.drop_index("ix_sellers_create_time", "sellers")
    op.drop_index("ix_sellers_shop_name_key", "sellers")
    op.drop_column("sellers", "shop_name_key")
