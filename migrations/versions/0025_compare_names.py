"""Compare SKUs and option values as people read them: after NFC and case folding."""

from __future__ import annotations

import hashlib
import json
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None

_OLD, _NEW = "uq_variants_seller_id_sku", "uq_variants_seller_id_sku_key"


def upgrade() -> None:
    """Keys come from Python, because Postgres folds otherwise. Two that are equal now stop it: rename one of them."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    column = sa.Column("sku_key", sa.Text(collation="C"), server_default="", nullable=False)
    op.add_column("variants", column)
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT variant_id, sku, options FROM variants")).all()
    keys = [
        {"id": variant_id, "sku_key": _key(sku), "options_key": _options_key(options)}
        for variant_id, sku, options in rows
    ]
    if keys:
        update = "UPDATE variants SET sku_key = :sku_key, options_key = :options_key WHERE variant_id = :id"
        connection.execute(sa.text(update), keys)
    op.alter_column("variants", "sku_key", server_default=None)
    op.drop_index(_OLD, table_name="variants")
    op.create_index(_NEW, "variants", ["seller_id", "sku_key"], unique=True, postgresql_where=sa.text("sku_key <> ''"))


def downgrade() -> None:
    """SKUs are compared letter by letter again; options keep the keys that they have."""
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.drop_index(_NEW, table_name="variants")
    op.create_index(_OLD, "variants", ["seller_id", "sku"], unique=True, postgresql_where=sa.text("sku <> ''"))
    op.drop_column("variants", "sku_key")


def _key(text: str) -> str:
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def _options_key(options: list[list[str]]) -> str:
    same = sorted((_key(name), _key(value)) for name, value in options)
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:32]
