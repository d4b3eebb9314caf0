"""Index apart what is in high bands and further samples, where what very many have is looked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_WORDS = "ix_search_documents_words"
_SAMPLE = "ix_search_documents_sample"
_SAMPLED = "ix_search_documents_sampled"
_PARTS = {
    "ix_search_documents_front_3": (["words"], "bands @> '{3}'::smallint[]"),
    "ix_search_documents_front_5": (["words", "bands"], "bands @> '{5}'::smallint[]"),
    "ix_search_documents_front_8": (["words", "bands"], "bands @> '{8}'::smallint[]"),
    "ix_search_documents_sample_32": (["words"], "sample_key < -2013265920"),
    "ix_search_documents_sample_128": (["words"], "sample_key < -2113929216"),
    "ix_search_documents_sample_512": (["words"], "sample_key < -2139095040"),
}


def upgrade() -> None:
    """Build them beside the running server. What all documents have is then found by its words alone."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '60s'")
        for name, (columns, part) in _PARTS.items():
            _create(name, columns, part)
        _replace_words(["words"])
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_SAMPLED}")
        op.create_index(
            _SAMPLED,
            "search_documents",
            [sa.text("(sample_key::bigint)")],
            postgresql_where=sa.text("sample_key < -1879048192"),
            postgresql_concurrently=True,
        )
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_SAMPLE}")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    """As it was."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '60s'")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_SAMPLE}")
        op.create_index(_SAMPLE, "search_documents", ["sample_key"], postgresql_concurrently=True)
        _replace_words(["words", "bands"])
        for name in (*_PARTS, _SAMPLED):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute("RESET lock_timeout")


def _create(name: str, columns: list[str], part: str | None = None) -> None:
    # What an attempt that broke off has left behind is no index.
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.create_index(
        name,
        "search_documents",
        columns,
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "512"},
        postgresql_where=None if part is None else sa.text(part),
        postgresql_concurrently=True,
    )


def _replace_words(columns: list[str]) -> None:
    """Searches are served by the former index until the new one is whole."""
    _create(f"{_WORDS}_next", columns)
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_WORDS}")
    op.execute(f"ALTER INDEX {_WORDS}_next RENAME TO {_WORDS}")
