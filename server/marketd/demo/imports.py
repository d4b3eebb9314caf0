"""Uploading a products file, and reading back what the server made of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from marketplace.catalog.v1 import catalog_service_pb2, import_pb2, product_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace_client import MarketplaceClient

from marketd.demo.catalogs import ProductFacts, VariantFacts
from marketd.demo.money import to_minor
from marketd.demo.records import CheckFailed

_CHUNK_BYTES = 64 * 1024
_READS_AT_ONCE = 8


async def upload(
    seller: MarketplaceClient, content: bytes, file_name: str, *, update_existing: bool = False
) -> tuple[import_pb2.ImportSummary, list[import_pb2.ImportRowError]]:
    """Import a Shopify CSV for the signed-in seller and publish it; the summary and the rows that were not imported."""

    async def pieces() -> AsyncIterator[catalog_service_pb2.ImportProductsRequest]:
        options = import_pb2.ImportOptions(
            file_name=file_name,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            publish=True,
            update_existing=update_existing,
        )
        yield catalog_service_pb2.ImportProductsRequest(options=options)
        for start in range(0, len(content), _CHUNK_BYTES):
            yield catalog_service_pb2.ImportProductsRequest(chunk=content[start : start + _CHUNK_BYTES])

    errors: list[import_pb2.ImportRowError] = []
    summary: import_pb2.ImportSummary | None = None
    async for message in seller.catalog.ImportProducts(pieces()):
        if message.HasField("row_error"):
            errors.append(message.row_error)
        elif message.HasField("summary"):
            summary = message.summary
    if summary is None:
        raise CheckFailed("the import ended without a summary")
    return summary, errors


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
