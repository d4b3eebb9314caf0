"""The statement that reads a shop for its file, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.catalog.exports.values import ExportedImage, ExportedProduct, ExportedVariant
from marketd.catalog.model import ProductState
from marketd.catalog.repository.nested import each, ids_of, options_of
from marketd.inventory import service as inventory
from marketd.inventory.values import StockLevel
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns

# Every look at variants says that they are not deleted: the indexes hold no others.
# ruff: noqa: S608 - every interpolated part is one of the constants here
_VARIANT = Columns(
    ExportedVariant,
    table="v",
    expressions={"options": "v.options::text", "stock": inventory.level_sql("v.variant_id")},
    readers={"options": options_of, "stock": StockLevel.read},
)
_IMAGE = Columns(
    ExportedImage, table="i", expressions={"variant_ids": "i.variant_ids::text"}, readers={"variant_ids": ids_of}
)


_PRODUCT = Columns(
    ExportedProduct,
    table="p",
    expressions={
        "vendor": "COALESCE((SELECT b.name FROM brands b WHERE b.brand_id = p.brand_id), '')",
        "category": "COALESCE((SELECT c.name FROM categories c WHERE c.category_id = p.category_id), '')",
        "variants": f"ARRAY(SELECT {_VARIANT.row_sql} FROM variants v WHERE v.product_id = p.product_id"
        " AND v.delete_time IS NULL AND v.active ORDER BY v.position)",
        "variants_left_out": "(SELECT count(*) FROM variants v WHERE v.product_id = p.product_id"
        " AND v.delete_time IS NULL AND NOT v.active)",
        "images": f"ARRAY(SELECT {_IMAGE.row_sql} FROM product_images i WHERE i.product_id = p.product_id"
        " AND i.url <> '' ORDER BY i.position)",
    },
    readers={"variants": each(_VARIANT), "images": each(_IMAGE)},
)


async def read_batch(
    connection: Connection,
    seller_id: UUID,
    states: Sequence[ProductState],
    after: ExportedProduct | None,
    *,
    products: int,
    variants: int,
) -> list[ExportedProduct]:
    """The seller's next products in these states (none: all) behind `after`, oldest first, each whole and all of one
    moment; none are left when there are none.

    At most `products` of them, and no more once those before have `variants` variants: what is read is held in memory,
    and decoded in one go.
    """
    arguments = Arguments(seller_id, products, variants)
    conditions = "p.seller_id = $1 AND p.delete_time IS NULL"
    if states:
        conditions += f" AND p.state = ANY({arguments.add([state.value for state in states])}::text[])"
    if after is not None:
        key = f"{arguments.add(after.create_time)}, {arguments.add(after.product_id)}"
        conditions += f" AND (p.create_time, p.product_id) > ({key})"
    rows = await connection.fetch(
        "WITH page AS (SELECT p.product_id, p.create_time,"
        " (SELECT count(*) FROM variants v WHERE v.product_id = p.product_id AND v.delete_time IS NULL) AS variants"
        f" FROM products p WHERE {conditions} ORDER BY p.create_time, p.product_id LIMIT $2),"
        " turn AS (SELECT product_id, sum(variants) OVER (ORDER BY create_time, product_id) - variants AS before"
        " FROM page)"
        f" SELECT {_PRODUCT.sql} FROM turn t JOIN products p ON p.product_id = t.product_id WHERE t.before < $3"
        " ORDER BY p.create_time, p.product_id",
        *arguments,
    )
    return _PRODUCT.values(rows)
