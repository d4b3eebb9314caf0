"""CatalogService: one method, one use case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from marketplace.catalog.v1 import catalog_service_pb2 as pb

from marketd.catalog import brands, categories, convert, life, products, show
from marketd.catalog.errors import UploadOutOfOrder
from marketd.catalog.exports import convert as exports
from marketd.catalog.exports.run import export_products
from marketd.catalog.imports import convert as imports
from marketd.catalog.imports import run
from marketd.catalog.imports.once import once_key, store_answer
from marketd.catalog.imports.tally import Told
from marketd.catalog.imports.upload import Upload, check_inline
from marketd.catalog.imports.values import ImportSummary
from marketd.catalog.model import ProductState
from marketd.catalog.pictures.servicer import PictureMethods
from marketd.catalog.repository import brands as brand_rows
from marketd.catalog.repository import categories as category_rows
from marketd.catalog.repository import products as product_rows
from marketd.catalog.search import convert as searching
from marketd.catalog.search.repository.pages import SearchKey
from marketd.catalog.search.search import Listed, SearchPage, search_products, suggest_products
from marketd.catalog.values import Brand, Category, Product, Upserted, Variant
from marketd.catalog.variants import change
from marketd.catalog.variants.upsert import upsert_variants
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

CACHE_TAG = "catalog"
MAX_IMPORT_BYTES = 256 * 1024 * 1024


class CatalogServicer(PictureMethods):
    """Categories, brands, products and imports; pictures are in pictures/.

    `on_change` is called after each commit that may change what anybody sees of the catalog. `max_import_bytes` bounds
    streamed files, `imports_at_once` how many of them are worked on at the same time (the others wait).
    """

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        currency: str,
        media_url: str,
        on_change: Callable[[], None],
        max_import_bytes: int = MAX_IMPORT_BYTES,
        imports_at_once: int = 2,
    ) -> None:
        super().__init__(tx=tx, pager=pager, media_url=media_url, on_change=on_change)
        self._currency = currency
        self._max_import_bytes = max_import_bytes
        self._import_turns = asyncio.Semaphore(imports_at_once)

    # -- categories

    async def CreateCategory(self, request: pb.CreateCategoryRequest, context: Context) -> pb.CreateCategoryResponse:
        caller, new = calls.current_caller(), convert.from_create_category(request)

        def render(category: Category) -> pb.CreateCategoryResponse:
            return pb.CreateCategoryResponse(category=convert.to_category(category, self._media_url))

        return await self._tx.answer(
            "catalog.create_category", self._changing(lambda uow: categories.create_category(uow, caller, new)), render
        )

    async def UpdateCategory(self, request: pb.UpdateCategoryRequest, context: Context) -> pb.UpdateCategoryResponse:
        caller, wanted = calls.current_caller(), convert.from_update_category(request)

        def render(category: Category) -> pb.UpdateCategoryResponse:
            return pb.UpdateCategoryResponse(category=convert.to_category(category, self._media_url))

        return await self._tx.answer(
            "catalog.update_category",
            self._changing(lambda uow: categories.update_category(uow, caller, wanted)),
            render,
        )

    async def DeleteCategory(self, request: pb.DeleteCategoryRequest, context: Context) -> pb.DeleteCategoryResponse:
        caller, category_id = calls.current_caller(), UUID(request.category_id)
        return await self._tx.answer(
            "catalog.delete_category",
            self._changing(
                lambda uow: categories.delete_category(
                    uow, caller, category_id, request.etag, allow_missing=request.allow_missing
                )
            ),
            lambda _: pb.DeleteCategoryResponse(),
        )

    async def GetCategory(self, request: pb.GetCategoryRequest, context: Context) -> pb.GetCategoryResponse:
        category_id = convert.optional_id(request.category_id)
        category = await self._tx.read(lambda unit: categories.get_category(unit, category_id, request.slug))
        calls.current().cache_tag = CACHE_TAG
        return pb.GetCategoryResponse(category=convert.to_category(category, self._media_url))

    async def ListCategories(self, request: pb.ListCategoriesRequest, context: Context) -> pb.ListCategoriesResponse:
        query = convert.from_list_categories(request)
        order = convert.order_of(request.order_by, category_rows.ORDERS, "position")
        page = await self._pager.list(
            request,
            None,
            lambda unit, after, limit: categories.list_categories(unit, query, order, after, limit),
            lambda category: category_rows.cursor_of(category, order),
            lambda category: convert.to_category(category, self._media_url),
        )
        calls.current().cache_tag = CACHE_TAG
        return pb.ListCategoriesResponse(categories=page.items, next_page_token=page.next_page_token)

    # -- brands

    async def CreateBrand(self, request: pb.CreateBrandRequest, context: Context) -> pb.CreateBrandResponse:
        caller, new = calls.current_caller(), convert.from_create_brand(request)

        def render(brand: Brand) -> pb.CreateBrandResponse:
            return pb.CreateBrandResponse(brand=convert.to_brand(brand))

        return await self._tx.answer(
            "catalog.create_brand", self._changing(lambda uow: brands.create_brand(uow, caller, new)), render
        )

    async def UpdateBrand(self, request: pb.UpdateBrandRequest, context: Context) -> pb.UpdateBrandResponse:
        caller, wanted = calls.current_caller(), convert.from_update_brand(request)

        def render(brand: Brand) -> pb.UpdateBrandResponse:
            return pb.UpdateBrandResponse(brand=convert.to_brand(brand))

        return await self._tx.answer(
            "catalog.update_brand", self._changing(lambda uow: brands.update_brand(uow, caller, wanted)), render
        )

    async def DeleteBrand(self, request: pb.DeleteBrandRequest, context: Context) -> pb.DeleteBrandResponse:
        caller, brand_id = calls.current_caller(), UUID(request.brand_id)
        return await self._tx.answer(
            "catalog.delete_brand",
            self._changing(
                lambda uow: brands.delete_brand(
                    uow, caller, brand_id, request.etag, allow_missing=request.allow_missing
                )
            ),
            lambda _: pb.DeleteBrandResponse(),
        )

    async def GetBrand(self, request: pb.GetBrandRequest, context: Context) -> pb.GetBrandResponse:
        brand_id = convert.optional_id(request.brand_id)
        brand = await self._tx.read(lambda unit: brands.get_brand(unit, brand_id, request.slug))
        calls.current().cache_tag = CACHE_TAG
        return pb.GetBrandResponse(brand=convert.to_brand(brand))

    async def ListBrands(self, request: pb.ListBrandsRequest, context: Context) -> pb.ListBrandsResponse:
        order = convert.order_of(request.order_by, brand_rows.ORDERS, "name")
        page = await self._pager.list(
            request,
            None,
            lambda unit, after, limit: brands.list_brands(unit, request.name_prefix, order, after, limit),
            lambda brand: brand_rows.cursor_of(brand, order),
            convert.to_brand,
        )
        calls.current().cache_tag = CACHE_TAG
        return pb.ListBrandsResponse(brands=page.items, next_page_token=page.next_page_token)

    # -- products

    async def CreateProduct(self, request: pb.CreateProductRequest, context: Context) -> pb.CreateProductResponse:
        caller, new = calls.current_caller(), convert.from_create_product(request, self._currency)

        def render(product: Product) -> pb.CreateProductResponse:
            return pb.CreateProductResponse(product=convert.to_product(product, self._media_url))

        return await self._tx.answer(
            "catalog.create_product", lambda uow: products.create_product(uow, caller, new, self._currency), render
        )

    async def UpdateProduct(self, request: pb.UpdateProductRequest, context: Context) -> pb.UpdateProductResponse:
        caller, wanted = calls.current_caller(), convert.from_update_product(request)

        def render(product: Product) -> pb.UpdateProductResponse:
            return pb.UpdateProductResponse(product=convert.to_product(product, self._media_url))

        return await self._tx.answer(
            "catalog.update_product", self._changing(lambda uow: products.update_product(uow, caller, wanted)), render
        )

    async def PublishProduct(self, request: pb.PublishProductRequest, context: Context) -> pb.PublishProductResponse:
        caller, product_id = calls.current_caller(), UUID(request.product_id)

        def render(product: Product) -> pb.PublishProductResponse:
            return pb.PublishProductResponse(product=convert.to_product(product, self._media_url))

        return await self._tx.answer(
            "catalog.publish_product",
            self._changing(lambda uow: life.publish_product(uow, caller, product_id, request.etag)),
            render,
        )

    async def ArchiveProduct(self, request: pb.ArchiveProductRequest, context: Context) -> pb.ArchiveProductResponse:
        caller, product_id = calls.current_caller(), UUID(request.product_id)

        def render(product: Product) -> pb.ArchiveProductResponse:
            return pb.ArchiveProductResponse(product=convert.to_product(product, self._media_url))

        return await self._tx.answer(
            "catalog.archive_product",
            self._changing(lambda uow: life.archive_product(uow, caller, product_id, request.etag)),
            render,
        )

    async def DeleteProduct(self, request: pb.DeleteProductRequest, context: Context) -> pb.DeleteProductResponse:
        caller, product_id = calls.current_caller(), UUID(request.product_id)
        return await self._tx.answer(
            "catalog.delete_product",
            self._changing(
                lambda uow: life.delete_product(
                    uow, caller, product_id, request.etag, allow_missing=request.allow_missing
                )
            ),
            lambda _: pb.DeleteProductResponse(),
        )

    async def CreateVariant(self, request: pb.CreateVariantRequest, context: Context) -> pb.CreateVariantResponse:
        caller = calls.current_caller()
        product_id, new = convert.from_create_variant(request, self._currency)

        def render(made: Variant) -> pb.CreateVariantResponse:
            return pb.CreateVariantResponse(variant=convert.to_variant(made, self._currency, product_id))

        return await self._tx.answer(
            "catalog.create_variant",
            self._changing(lambda uow: change.create_variant(uow, caller, product_id, new)),
            render,
        )

    async def UpdateVariant(self, request: pb.UpdateVariantRequest, context: Context) -> pb.UpdateVariantResponse:
        caller, wanted = calls.current_caller(), convert.from_update_variant(request, self._currency)

        def render(changed: tuple[UUID, Variant]) -> pb.UpdateVariantResponse:
            product_id, variant = changed
            return pb.UpdateVariantResponse(variant=convert.to_variant(variant, self._currency, product_id))

        return await self._tx.answer(
            "catalog.update_variant", self._changing(lambda uow: change.update_variant(uow, caller, wanted)), render
        )

    async def DeleteVariant(self, request: pb.DeleteVariantRequest, context: Context) -> pb.DeleteVariantResponse:
        caller, variant_id = calls.current_caller(), UUID(request.variant_id)
        return await self._tx.answer(
            "catalog.delete_variant",
            self._changing(
                lambda uow: change.delete_variant(
                    uow, caller, variant_id, request.etag, allow_missing=request.allow_missing
                )
            ),
            lambda _: pb.DeleteVariantResponse(),
        )

    async def BatchUpsertVariants(
        self, request: pb.BatchUpsertVariantsRequest, context: Context
    ) -> pb.BatchUpsertVariantsResponse:
        caller, seller_id = calls.current_caller(), convert.optional_id(request.seller_id)
        items = convert.from_upserts(request, self._currency)

        def render(results: list[Upserted]) -> pb.BatchUpsertVariantsResponse:
            return pb.BatchUpsertVariantsResponse(
                results=[convert.to_upserted(result, self._currency) for result in results]
            )

        return await self._tx.answer(
            "catalog.upsert_variants",
            self._changing(lambda uow: upsert_variants(uow, caller, seller_id, items)),
            render,
        )

    async def GetProduct(self, request: pb.GetProductRequest, context: Context) -> pb.GetProductResponse:
        call = calls.current()
        wanted = convert.wanted_fields(request.read_mask)
        product_id = convert.optional_id(request.product_id)
        product = await self._tx.read(
            lambda unit: show.get_product(
                unit,
                call.caller,
                product_id,
                request.slug,
                variants=not wanted or "variants" in wanted,
                images=not wanted or "images" in wanted,
            )
        )
        if product.state is ProductState.PUBLISHED:
            call.cache_tag = CACHE_TAG
        return pb.GetProductResponse(
            product=convert.masked(convert.to_product(product, self._media_url), request.read_mask)
        )

    async def BatchGetProducts(
        self, request: pb.BatchGetProductsRequest, context: Context
    ) -> pb.BatchGetProductsResponse:
        call, product_ids = calls.current(), [UUID(product_id) for product_id in request.product_ids]
        found = await self._tx.read(lambda unit: show.batch_get_products(unit, call.caller, product_ids))
        # Where something is left out, or a draft is shown, somebody else would get another answer.
        if len(found) == len(set(product_ids)) and all(one.state is ProductState.PUBLISHED for one in found):
            call.cache_tag = CACHE_TAG
        return pb.BatchGetProductsResponse(products=[convert.to_product(product, self._media_url) for product in found])

    async def ListProducts(self, request: pb.ListProductsRequest, context: Context) -> pb.ListProductsResponse:
        call, query = calls.current(), convert.from_list_products(request)
        order = convert.order_of(request.order_by, product_rows.ORDERS, "create_time desc")
        public = show.is_public(query)
        page = await self._pager.list(
            request,
            None if public else call.caller,
            lambda unit, after, limit: show.list_products(unit, call.caller, query, order, after, limit),
            lambda product: product_rows.cursor_of(product, order),
            lambda product: convert.to_product(product, self._media_url),
        )
        if public:
            call.cache_tag = CACHE_TAG
        return pb.ListProductsResponse(products=page.items, next_page_token=page.next_page_token)

    async def SearchProducts(self, request: pb.SearchProductsRequest, context: Context) -> pb.SearchProductsResponse:
        query = searching.from_search(request, self._currency)
        kinds = None if request.page_token else searching.kinds_of(request)
        found: list[SearchPage] = []

        async def fetch(unit: ReadUnit, after: SearchKey | None, limit: int) -> Sequence[Listed]:
            found.append(await search_products(unit, query, after, limit, kinds))
            return found[-1].listed

        page = await self._pager.list(
            searching.without_facets(request),
            None,
            fetch,
            lambda listed: listed.key,
            lambda listed: convert.to_product(listed.product, self._media_url),
        )
        answer = pb.SearchProductsResponse(
            products=page.items, next_page_token=page.next_page_token, corrected_query=found[-1].corrected_query
        )
        if found[-1].counts is not None:
            searching.add_counts(answer, found[-1].counts, self._currency)
        calls.current().cache_tag = CACHE_TAG
        return answer

    async def SuggestProducts(self, request: pb.SuggestProductsRequest, context: Context) -> pb.SuggestProductsResponse:
        limit = request.limit or searching.DEFAULT_SUGGESTIONS
        found = await self._tx.read(lambda unit: suggest_products(unit, request.query, limit))
        calls.current().cache_tag = CACHE_TAG
        return pb.SuggestProductsResponse(
            suggestions=[searching.to_suggestion(*each, self._media_url) for each in found]
        )

    # -- imports

    async def ImportProducts(
        self, request_iterator: AsyncIterator[pb.ImportProductsRequest], context: Context
    ) -> AsyncIterator[pb.ImportProductsResponse]:
        call = calls.current()
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("payload") != "options":
            raise UploadOutOfOrder
        call.once = once_key(call.caller.key, first.request_id, first.options.SerializeToString(deterministic=True))
        if (answer := await self._tx.stored_answer()) is not None:
            for message in imports.told_again(answer):
                yield message
            return
        options = imports.from_options(first.options)
        seller = await self._tx.read(lambda unit: run.seller_to_import_for(unit, call.caller, options))
        told = Told()
        with Upload(first.options.size, first.options.sha256, self._max_import_bytes) as upload:
            async with aclosing(
                run.import_upload(
                    self._tx,
                    seller.seller_id,
                    upload,
                    imports.from_chunks(request_iterator),
                    options,
                    self._import_turns,
                    currency=self._currency,
                    on_change=self._on_change,
                )
            ) as events:
                async for event in events:
                    told.add(event)
                    if not isinstance(event, ImportSummary):
                        yield imports.to_event(event, upload.received)
            yield imports.last_message(await store_answer(self._tx, told.report(), imports.to_inline))

    async def ImportProductsInline(
        self, request: pb.ImportProductsInlineRequest, context: Context
    ) -> pb.ImportProductsInlineResponse:
        caller = calls.current_caller()
        if (answer := await self._tx.stored_answer()) is not None:
            return cast("pb.ImportProductsInlineResponse", answer)
        check_inline(request.csv, request.options.size, request.options.sha256)
        report = await run.import_products(
            self._tx,
            caller,
            request.csv,
            imports.from_options(request.options),
            currency=self._currency,
            on_change=self._on_change,
        )
        return await store_answer(self._tx, report, imports.to_inline)

    # -- exports

    async def ExportProducts(
        self, request: pb.ExportProductsRequest, context: Context
    ) -> AsyncIterator[pb.ExportProductsResponse]:
        caller = calls.current_caller()
        async with aclosing(export_products(self._tx, caller, exports.from_request(request))) as events:
            async for event in events:
                yield exports.to_event(event)
