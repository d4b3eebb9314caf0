"""Find the due jobs of one kind without a look at those of the others."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the new index beside the running server; then the old one has no use."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '60s'")
        # What an attempt that broke off has left behind is no index.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_jobs_kind_run_time")
        op.create_index("ix_jobs_kind_run_time", "jobs", ["kind", "run_time"], postgresql_concurrently=True)
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_jobs_run_time")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    """The old index again."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '60s'")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_jobs_run_time")
        op.create_index("ix_jobs_run_time", "jobs", ["run_time"], postgresql_concurrently=True)
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_jobs_kind_run_time")
        op.execute("RESET lock_timeout")
