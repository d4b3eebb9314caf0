"""Create what search reads: documents of products, the words in them, and what waits to be brought in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_TABLES = (
    "search_documents",
    "search_attributes",
    "search_words",
    "search_word_changes",
    "search_pending",
    "search_spreads",
    "search_sales",
    "search_state",
)

_BANDS = (
    "('{1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24}'::smallint[])"
    "[1:CASE WHEN in_stock THEN least(24, 17"
    " - width_bucket(sample_key & 2147483647, '{32768,65536,131072,262144,524288,1048576,2097152,4194304,8388608,"
    "16777216,33554432,67108864,134217728,268435456,536870912,1073741824}'::integer[])"
    " + popularity / 5) ELSE 0 END]"
)


def upgrade() -> None:
    """Documents of what is published already are made in the background after the first start."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    # Both are trusted: who may create in the database may create them.
    op.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    _documents()
    op.create_table(
        "search_attributes",
        sa.Column("attribute_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("attribute_key", name=op.f("pk_search_attributes")),
    )
    op.create_table(
        "search_words",
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("written", sa.Boolean(), nullable=False),
        sa.CheckConstraint("documents > 0", name=op.f("ck_search_words_documents")),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_search_words")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_search_words_trigrams",
        "search_words",
        ["word"],
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
        postgresql_where=sa.text("written AND word ~ '^[^0-9]+$'"),
    )
    op.create_table(
        "search_word_changes",
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("added", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("removed", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("written", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_search_word_changes")),
    )
    op.create_table(
        "search_pending",
        sa.Column("pending_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("standing_only", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("pending_id", name=op.f("pk_search_pending")),
    )
    op.create_table(
        "search_spreads",
        sa.Column("spread_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=True),
        sa.Column("category_id", sa.Uuid(), nullable=True),
        sa.Column("after_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("after_product_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("num_nonnulls(brand_id, category_id) = 1", name=op.f("ck_search_spreads_one_thing")),
        sa.PrimaryKeyConstraint("spread_id", name=op.f("pk_search_spreads")),
    )
    op.create_table(
        "search_sales",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("product_id", "day", name=op.f("pk_search_sales")),
    )
    op.create_index("ix_search_sales_day", "search_sales", ["day"])
    op.create_table(
        "search_state",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("rebuild_after", sa.Uuid(), nullable=True),
        sa.CheckConstraint("one", name=op.f("ck_search_state_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_search_state")),
    )
    op.execute(
        "INSERT INTO search_state (language, rebuild_after) SELECT 'english',"
        " CASE WHEN EXISTS (SELECT FROM products) THEN '00000000-0000-0000-0000-000000000000'::uuid END"
    )


def _documents() -> None:
    op.create_table(
        "search_documents",
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=True),
        sa.Column("publish_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("sample_key", sa.Integer(), nullable=False),
        sa.Column("sold_30d", sa.Integer(), nullable=False),
        sa.Column("rating_count", sa.Integer(), nullable=False),
        sa.Column("rating_average_milli", sa.Integer(), nullable=False),
        sa.Column("popularity", sa.SmallInteger(), nullable=False),
        sa.Column("in_stock", sa.Boolean(), nullable=False),
        sa.Column("category_path", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("attribute_keys", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("codes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("title_key", sa.Text(collation="C"), nullable=False),
        sa.Column("bands", postgresql.ARRAY(sa.SmallInteger()), sa.Computed(_BANDS, persisted=True), nullable=False),
        sa.Column("head_words", postgresql.TSVECTOR(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.CheckConstraint("popularity BETWEEN 0 AND 100", name=op.f("ck_search_documents_popularity")),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_search_documents")),
    )
    # What waits in the index's list is read by every search: a short one.
    op.create_index(
        "ix_search_documents_words",
        "search_documents",
        ["words", "bands"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "512"},
    )
    # One document in 16, 64, 256 and 1024: the first keys of a sample, which is spread over four bytes.
    for parts, below in ((16, -1879048192), (64, -2080374784), (256, -2130706432), (1024, -2143289344)):
        op.create_index(
            f"ix_search_documents_sample_{parts}",
            "search_documents",
            ["words"],
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "512"},
            postgresql_where=sa.text(f"sample_key < {below}"),
        )
    for column in ("codes", "attribute_keys", "category_path"):
        op.create_index(f"ix_search_documents_{column}", "search_documents", [column], postgresql_using="gin")
    for name, columns in {
        "popular": ["in_stock", "popularity", "product_id"],
        "price": ["price_minor", "product_id"],
        "rating": ["rating_average_milli", "product_id"],
        "newest": ["publish_time", "product_id"],
        "brand": ["brand_id", "in_stock", "popularity", "product_id"],
        "seller": ["seller_id", "in_stock", "popularity", "product_id"],
        "title": ["title_key"],
        "sample": ["sample_key"],
    }.items():
        op.create_index(f"ix_search_documents_{name}", "search_documents", columns)


def downgrade() -> None:
    """Drop the tables; the extensions may serve others by now."""
    for table in reversed(_TABLES):
        op.drop_table(table)
