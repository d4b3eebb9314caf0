"""CatalogService: one method, one use case; the two imports also see to their upload and to repeats of a request id."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import catalog_service_pb2_grpc

from marketd.catalog import brands, categories, convert, service
from marketd.catalog.errors import UploadOutOfOrder
from marketd.catalog.imports import run
from marketd.catalog.imports.run import ImportProgress, ImportSummary
from marketd.catalog.imports.upload import Upload, check_inline
from marketd.catalog.model import ProductState
from marketd.catalog.repository import products as repository
from marketd.catalog.values import Brand, Category, ProductView
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.pages import Pager
from marketd.kernel.db import idempotency
from marketd.kernel.db.transactor import M, Transactor, Work
from marketd.kernel.db.uow import UnitOfWork

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

CACHE_TAG = "catalog"
MAX_IMPORT_BYTES = 256 * 1024 * 1024
_IMPORT = "/marketplace.catalog.v1.CatalogService/ImportProducts"


class CatalogServicer(catalog_service_pb2_grpc.CatalogServiceServicer):
    """Categories, brands, products and imports.

    `on_change` is called after each commit that may change what anybody sees of the catalog. `max_import_bytes` bounds
    streamed files, `imports_at_once` how many of them are worked on at the same time (the others wait).
    """

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        currency: str,
        on_change: Callable[[], None],
        max_import_bytes: int = MAX_IMPORT_BYTES,
        imports_at_once: int = 2,
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._currency = currency
        self._on_change = on_change
        self._max_import_bytes = max_import_bytes
        self._importing = asyncio.Semaphore(imports_at_once)

    def _changing(self, work: Work[T]) -> Work[T]:
        """The same work, and `on_change` after its commit."""

        async def changing(uow: UnitOfWork) -> T:
            uow.after_commit(self._on_change)
            return await work(uow)

        return changing

    # -- categories

    async def CreateCategory(self, request: pb.CreateCategoryRequest, context: Context) -> pb.CreateCategoryResponse:
        """Make a category."""
        caller, new = calls.current_caller(), convert.from_create_category(request)

        def render(view: Category) -> pb.CreateCategoryResponse:
            return pb.CreateCategoryResponse(category=convert.to_category(view))

        return await self._tx.answer(
            "catalog.create_category", self._changing(lambda uow: categories.create_category(uow, caller, new)), render
        )

    async def UpdateCategory(self, request: pb.UpdateCategoryRequest, context: Context) -> pb.UpdateCategoryResponse:
        """Change a category."""
        caller, change = calls.current_caller(), convert.from_update_category(request)
        view = await self._tx.run(
            "catalog.update_category", self._changing(lambda uow: categories.update_category(uow, caller, change))
        )
        return pb.UpdateCategoryResponse(category=convert.to_category(view))

    async def DeleteCategory(self, request: pb.DeleteCategoryRequest, context: Context) -> pb.DeleteCategoryResponse:
        """Delete a category."""
        caller, category_id = calls.current_caller(), UUID(request.category_id)
        await self._tx.run(
            "catalog.delete_category", self._changing(lambda uow: categories.delete_category(uow, caller, category_id))
        )
        return pb.DeleteCategoryResponse()

    async def GetCategory(self, request: pb.GetCategoryRequest, context: Context) -> pb.GetCategoryResponse:
        """Get a category."""
        category_id = convert.optional_id(request.category_id)
        view = await self._tx.read(lambda unit: categories.get_category(unit, category_id, request.slug))
        calls.current().cache_tag = CACHE_TAG
        return pb.GetCategoryResponse(category=convert.to_category(view))

    async def ListCategories(self, request: pb.ListCategoriesRequest, context: Context) -> pb.ListCategoriesResponse:
        """List categories."""
        all_levels = not request.HasField("parent_category_id")
        parent = convert.optional_id(request.parent_category_id)
        page = await self._pager.list(
            request,
            None,
            lambda unit, after, limit: categories.list_categories(
                unit, all_levels=all_levels, parent_category_id=parent, after=after, limit=limit
            ),
            lambda category: (category.position, category.name_key, category.category_id),
            convert.to_category,
        )
        calls.current().cache_tag = CACHE_TAG
        return pb.ListCategoriesResponse(categories=page.items, next_page_token=page.next_page_token)

    # -- brands

    async def CreateBrand(self, request: pb.CreateBrandRequest, context: Context) -> pb.CreateBrandResponse:
        """Make a brand."""
        caller, new = calls.current_caller(), convert.from_create_brand(request)

        def render(view: Brand) -> pb.CreateBrandResponse:
            return pb.CreateBrandResponse(brand=convert.to_brand(view))

        return await self._tx.answer(
            "catalog.create_brand", self._changing(lambda uow: brands.create_brand(uow, caller, new)), render
        )

    async def UpdateBrand(self, request: pb.UpdateBrandRequest, context: Context) -> pb.UpdateBrandResponse:
        """Change a brand."""
        caller, change = calls.current_caller(), convert.from_update_brand(request)
        view = await self._tx.run(
            "catalog.update_brand", self._changing(lambda uow: brands.update_brand(uow, caller, change))
        )
        return pb.UpdateBrandResponse(brand=convert.to_brand(view))

    async def DeleteBrand(self, request: pb.DeleteBrandRequest, context: Context) -> pb.DeleteBrandResponse:
        """Delete a brand."""
        caller, brand_id = calls.current_caller(), UUID(request.brand_id)
        await self._tx.run(
            "catalog.delete_brand", self._changing(lambda uow: brands.delete_brand(uow, caller, brand_id))
        )
        return pb.DeleteBrandResponse()

    async def GetBrand(self, request: pb.GetBrandRequest, context: Context) -> pb.GetBrandResponse:
        """Get a brand."""
        brand_id = convert.optional_id(request.brand_id)
        view = await self._tx.read(lambda unit: brands.get_brand(unit, brand_id, request.slug))
        calls.current().cache_tag = CACHE_TAG
        return pb.GetBrandResponse(brand=convert.to_brand(view))

    async def ListBrands(self, request: pb.ListBrandsRequest, context: Context) -> pb.ListBrandsResponse:
        """List brands."""
        page = await self._pager.list(request, None, brands.list_brands, lambda brand: brand.name_key, convert.to_brand)
        calls.current().cache_tag = CACHE_TAG
        return pb.ListBrandsResponse(brands=page.items, next_page_token=page.next_page_token)

    # -- products

    async def CreateProduct(self, request: pb.CreateProductRequest, context: Context) -> pb.CreateProductResponse:
        """Make a product. A draft shows nowhere, so nothing that is cached changes."""
        caller, new = calls.current_caller(), convert.from_create_product(request, self._currency)

        def render(view: ProductView) -> pb.CreateProductResponse:
            return pb.CreateProductResponse(product=convert.to_product(view))

        return await self._tx.answer(
            "catalog.create_product", lambda uow: service.create_product(uow, caller, new, self._currency), render
        )

    async def UpdateProduct(self, request: pb.UpdateProductRequest, context: Context) -> pb.UpdateProductResponse:
        """Change a product."""
        caller, change = calls.current_caller(), convert.from_update_product(request)
        view = await self._tx.run(
            "catalog.update_product", self._changing(lambda uow: service.update_product(uow, caller, change))
        )
        return pb.UpdateProductResponse(product=convert.to_product(view))

    async def PublishProduct(self, request: pb.PublishProductRequest, context: Context) -> pb.PublishProductResponse:
        """Publish a product."""
        caller, product_id = calls.current_caller(), UUID(request.product_id)
        view = await self._tx.run(
            "catalog.publish_product", self._changing(lambda uow: service.publish_product(uow, caller, product_id))
        )
        return pb.PublishProductResponse(product=convert.to_product(view))

    async def GetProduct(self, request: pb.GetProductRequest, context: Context) -> pb.GetProductResponse:
        """Get a product."""
        call = calls.current()
        wanted = convert.wanted_fields(request.read_mask)
        product_id = convert.optional_id(request.product_id)
        view = await self._tx.read(
            lambda unit: service.get_product(
                unit,
                call.caller,
                product_id,
                request.slug,
                variants=not wanted or "variants" in wanted,
                images=not wanted or "images" in wanted,
            )
        )
        if view.state is ProductState.PUBLISHED:
            call.cache_tag = CACHE_TAG
        return pb.GetProductResponse(product=convert.masked(convert.to_product(view), request.read_mask))

    async def ListProducts(self, request: pb.ListProductsRequest, context: Context) -> pb.ListProductsResponse:
        """List products."""
        call, query = calls.current(), convert.from_list_products(request)
        public = service.is_public(query)
        page = await self._pager.list(
            request,
            None if public else call.caller,
            lambda unit, after, limit: service.list_products(unit, call.caller, query, after, limit),
            lambda product: repository.cursor_of(product, query.order),
            convert.to_product,
        )
        if public:
            call.cache_tag = CACHE_TAG
        return pb.ListProductsResponse(products=page.items, next_page_token=page.next_page_token)

    # -- imports

    async def ImportProducts(
        self, request_iterator: AsyncIterator[pb.ImportProductsRequest], context: Context
    ) -> AsyncIterator[pb.ImportProductsResponse]:
        """Receive a file whole, then import it and tell how it goes."""
        call = calls.current()
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("payload") != "options":
            raise UploadOutOfOrder
        call.once = _once(call.caller.key, first)
        if (answer := await self._answered()) is not None:
            yield cast("pb.ImportProductsResponse", answer)
            return
        options = convert.from_options(first.options)
        seller = await self._tx.read(lambda unit: run.seller_to_import_for(unit, call.caller, options))
        with Upload(first.options.size, first.options.sha256, self._max_import_bytes) as upload:
            told = time.monotonic()
            async for message in request_iterator:
                if message.WhichOneof("payload") != "chunk":
                    raise UploadOutOfOrder
                upload.take(message.chunk)
                if time.monotonic() - told > run.TICK_SECONDS:
                    told = time.monotonic()
                    yield convert.to_event(ImportProgress(0, 0, 0, 0), upload.received)
            file = upload.whole()
            summary = None
            async with (
                self._importing,
                aclosing(
                    run.run_import(
                        self._tx,
                        seller.seller_id,
                        file,
                        options,
                        currency=self._currency,
                        on_change=self._on_change,
                    )
                ) as events,
            ):
                async for event in events:
                    if isinstance(event, ImportSummary):
                        summary = event
                    else:
                        yield convert.to_event(event, upload.received)
            if summary is None:
                raise RuntimeError("an import ended without a summary")
            yield await self._store(summary, lambda final: convert.to_event(final, upload.received))

    async def ImportProductsInline(
        self, request: pb.ImportProductsInlineRequest, context: Context
    ) -> pb.ImportProductsInlineResponse:
        """Import a small file."""
        caller = calls.current_caller()
        if (answer := await self._answered()) is not None:
            return cast("pb.ImportProductsInlineResponse", answer)
        check_inline(request.csv, request.options.size, request.options.sha256)
        report = await run.import_products(
            self._tx,
            caller,
            request.csv,
            convert.from_options(request.options),
            currency=self._currency,
            on_change=self._on_change,
        )
        return await self._store(report, convert.to_inline)

    async def _answered(self) -> bytes | None:
        """The stored answer to the call's request id, if there is one: an import is many transactions, so a repeat is
        recognised before the first of them, and the answer is stored after the last.
        """
        call = calls.current()
        once = call.once
        if once is None:
            return None
        claimed = await self._tx.read(lambda unit: idempotency.claim(unit.connection, once, unit.now))
        call.replayed = claimed.answer is not None
        return claimed.answer

    async def _store(self, result: T, render: Callable[[T], M]) -> M:
        """The answer, stored under the call's request id; the first one, when a repeat was quicker."""

        async def work(uow: UnitOfWork) -> T:
            return result

        return await self._tx.answer("catalog.import_answer", work, render)


def _once(caller_key: str, first: pb.ImportProductsRequest) -> OnceKey | None:
    """The key of a streamed import. The options name the file by its hash, so they stand for the whole request."""
    if not first.request_id:
        return None
    fingerprint = hashlib.sha256(first.options.SerializeToString(deterministic=True)).digest()
    return OnceKey(caller_key, _IMPORT, first.request_id.lower(), fingerprint)
