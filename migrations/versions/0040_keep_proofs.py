"""Find the deliveries whose proofs have been kept long enough; ids that were never a picture's go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Until now couriers could name any id, and nobody could upload."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("UPDATE deliveries SET proof_media_ids = '{}', version = version + 1 WHERE proof_media_ids <> '{}'")
    op.create_index(
        "ix_deliveries_proofs", "deliveries", ["close_time"], postgresql_where=sa.text("proof_media_ids <> '{}'")
    )


def downgrade() -> None:
    """The sweep goes with it."""
    op.drop_index("ix_deliveries_proofs", "deliveries")
