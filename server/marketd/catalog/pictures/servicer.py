"""The methods of CatalogService over pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import catalog_service_pb2_grpc

from marketd.catalog import convert as catalog
from marketd.catalog.pictures import change, convert, report, repository
from marketd.catalog.values import Product
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor, Work
from marketd.kernel.db.uow import UnitOfWork

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")


class PictureMethods(catalog_service_pb2_grpc.CatalogServiceServicer):
    """What CatalogServicer has of pictures; it is made with the same parts."""

    def __init__(self, *, tx: Transactor, pager: Pager, media_url: str, on_change: Callable[[], None]) -> None:
        self._tx = tx
        self._pager = pager
        self._media_url = media_url
        self._on_change = on_change

    def _changing(self, work: Work[T]) -> Work[T]:
        """The same work, and `on_change` after its commit."""

        async def changing(uow: UnitOfWork) -> T:
            uow.after_commit(self._on_change)
            return await work(uow)

        return changing

    async def AddProductImage(self, request: pb.AddProductImageRequest, context: Context) -> pb.AddProductImageResponse:
        caller, product_id = calls.current_caller(), UUID(request.product_id)
        new = convert.from_product_image(request.image)
        position = request.position if request.HasField("position") else None

        def render(added: tuple[Product, UUID]) -> pb.AddProductImageResponse:
            product, image_id = added
            image = next(image for image in product.images if image.image_id == image_id)
            return pb.AddProductImageResponse(
                product=catalog.to_product(product, self._media_url),
                image=convert.to_product_image(image, self._media_url),
            )

        return await self._tx.answer(
            "catalog.add_product_image",
            self._changing(lambda uow: change.add_image(uow, caller, product_id, new, position, request.etag)),
            render,
        )

    async def RemoveProductImage(
        self, request: pb.RemoveProductImageRequest, context: Context
    ) -> pb.RemoveProductImageResponse:
        caller, product_id, image_id = calls.current_caller(), UUID(request.product_id), UUID(request.image_id)

        def render(product: Product) -> pb.RemoveProductImageResponse:
            return pb.RemoveProductImageResponse(product=catalog.to_product(product, self._media_url))

        return await self._tx.answer(
            "catalog.remove_product_image",
            self._changing(
                lambda uow: change.remove_image(
                    uow, caller, product_id, image_id, request.etag, allow_missing=request.allow_missing
                )
            ),
            render,
        )

    async def ReorderProductImages(
        self, request: pb.ReorderProductImagesRequest, context: Context
    ) -> pb.ReorderProductImagesResponse:
        caller, product_id = calls.current_caller(), UUID(request.product_id)
        image_ids = [UUID(image_id) for image_id in request.image_ids]

        def render(product: Product) -> pb.ReorderProductImagesResponse:
            return pb.ReorderProductImagesResponse(product=catalog.to_product(product, self._media_url))

        return await self._tx.answer(
            "catalog.reorder_product_images",
            self._changing(lambda uow: change.reorder_images(uow, caller, product_id, image_ids, request.etag)),
            render,
        )

    async def ListRemoteImages(
        self, request: pb.ListRemoteImagesRequest, context: Context
    ) -> pb.ListRemoteImagesResponse:
        caller, query = calls.current_caller(), convert.from_list(request)
        order = catalog.order_of(request.order_by, repository.ORDERS, "create_time")
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: report.list_remote_images(
                unit, caller, query, after, limit, descending=order.descending
            ),
            lambda image: image.image_id,
            convert.to_remote_image,
        )
        return pb.ListRemoteImagesResponse(remote_images=page.items, next_page_token=page.next_page_token)
