"""Uploading a products file, and reading back what the server made of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from google.protobuf import json_format
from marketplace.catalog.v1 import catalog_service_pb2, import_pb2, product_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace_client import MarketplaceClient, import_products

from marketd.demo.catalogs import ProductFacts, VariantFacts
from marketd.demo.money import to_minor
from marketd.demo.records import CheckFailed, Detail

_READS_AT_ONCE = 8
_MOST_SHOWN = 20


@dataclass
class Upload:
    """What the server said of a file. errors, warnings: in words, those of rows."""

    summary: import_pb2.ImportSummary = field(default_factory=import_pb2.ImportSummary)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def told(self) -> Detail:
        """All of it for a step's record; of long lists the beginning."""
        # What a person is to see comes first: screens show the beginning.
        summary = self.summary
        detail: Detail = {
            "products_created": summary.products_created,
            "rows": summary.rows,
            "rows_warned": summary.rows_warned,
            "why": _by_reason(summary),
        }
        detail |= json_format.MessageToDict(
            summary, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        detail["reasons"] = [_reason(reason) for reason in self.summary.reasons[:_MOST_SHOWN]]
        detail["unused_columns"] = [
            f"{column.name} ({column.filled_rows} rows)" for column in self.summary.unused_columns[:_MOST_SHOWN]
        ]
        detail["row_errors"] = list(self.errors[:_MOST_SHOWN])
        detail["row_warnings"] = list(self.warnings[:_MOST_SHOWN])
        return detail


def _by_reason(summary: import_pb2.ImportSummary) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for reason in summary.reasons:
        counted[_name(reason)] += reason.count
    return dict(counted)


def _name(reason: import_pb2.ImportReason) -> str:
    return import_pb2.ImportRowReason.Name(reason.reason).removeprefix("IMPORT_ROW_REASON_")


def _reason(reason: import_pb2.ImportReason) -> str:
    return f"{reason.count} {_name(reason)}{f' in {reason.column}' if reason.column else ''}, such as: {reason.example}"


def _found(told: import_pb2.ImportRowError | import_pb2.ImportRowWarning) -> str:
    return f"row {told.row}{f', {told.column}' if told.column else ''}: {told.message}"


async def upload(
    seller: MarketplaceClient,
    content: bytes,
    file_name: str,
    *,
    update_existing: bool = False,
    dry_run: bool = False,
) -> Upload:
    """Import a Shopify CSV for the signed-in seller and publish it; with `dry_run` only see what would come of it."""
    options = import_pb2.ImportOptions(
        file_name=file_name, publish=True, update_existing=update_existing, dry_run=dry_run
    )
    found, is_over = Upload(), False
    async for message in import_products(seller, content, options):
        if message.HasField("row_error"):
            found.errors.append(_found(message.row_error))
        elif message.HasField("row_warning"):
            found.warnings.append(_found(message.row_warning))
        elif message.HasField("summary"):
            found.summary, is_over = message.summary, True
    if not is_over:
        raise CheckFailed("the import ended without a summary")
    return found


async def read_back(seller: MarketplaceClient, seller_id: str) -> list[tuple[product_pb2.Product, ProductFacts]]:
    """Every product of the seller with its variants and their stock, as the server tells them."""
    request = catalog_service_pb2.ListProductsRequest(seller_ids=[seller_id], page_size=50)
    listed = [product async for product in seller.products(request)]
    gate = asyncio.Semaphore(_READS_AT_ONCE)
    names = _Names(seller)

    async def read(product_id: str) -> tuple[product_pb2.Product, ProductFacts]:
        async with gate:
            answer = await seller.catalog.GetProduct(catalog_service_pb2.GetProductRequest(product_id=product_id))
            return answer.product, await _facts(seller, names, answer.product)

    try:
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(read(product.product_id)) for product in listed]
    except ExceptionGroup as failed:
        # The others were cancelled; the first says why.
        raise failed.exceptions[0] from None
    return [each.result() for each in reads]


class _Names:
    """The names of brands and categories, each asked for once."""

    def __init__(self, client: MarketplaceClient) -> None:
        self._client = client
        self._brands: dict[str, str] = {"": ""}
        self._categories: dict[str, str] = {"": ""}

    async def brand(self, brand_id: str) -> str:
        if brand_id not in self._brands:
            answer = await self._client.catalog.GetBrand(catalog_service_pb2.GetBrandRequest(brand_id=brand_id))
            self._brands[brand_id] = answer.brand.name.casefold()
        return self._brands[brand_id]

    async def category(self, category_id: str) -> str:
        if category_id not in self._categories:
            request = catalog_service_pb2.GetCategoryRequest(category_id=category_id)
            answer = await self._client.catalog.GetCategory(request)
            self._categories[category_id] = answer.category.name.casefold()
        return self._categories[category_id]


async def _facts(seller: MarketplaceClient, names: _Names, product: product_pb2.Product) -> ProductFacts:
    variants = []
    for variant in product.variants:
        request = inventory_service_pb2.GetStockRequest(variant_id=variant.variant_id)
        stock = (await seller.inventory.GetStock(request)).stock
        variants.append(
            VariantFacts(
                options=tuple(sorted(variant.options.items())),
                sku=variant.sku,
                price_minor=to_minor(variant.price),
                compare_at_minor=to_minor(variant.compare_at_price) if variant.HasField("compare_at_price") else None,
                quantity=stock.on_hand,
            )
        )
    return ProductFacts(
        title=product.title,
        brand=await names.brand(product.brand_id),
        category=await names.category(product.category_id),
        tags=frozenset(product.tags),
        is_published=product.state == product_pb2.PRODUCT_STATE_PUBLISHED,
        option_names=tuple(product.option_names),
        image_count=len(product.images),
        variants=tuple(sorted(variants, key=lambda variant: variant.options)),
    )
