"""Answers of the catalog that workers keep are dropped by every change that they show; by a draft's making by none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from marketd.catalog.servicer import CACHE_TAG
from marketd.kernel.db.transactor import Transactor
from marketplace.catalog.v1 import brand_pb2, category_pb2, product_pb2
from marketplace.catalog.v1 import catalog_service_pb2 as pb

from tests.integration.test_catalog_products import ADMIN, CONTEXT, Shop, euros, picture, variant


async def test_every_change_of_what_is_shown_drops_the_answers_that_are_kept(tx: Transactor) -> None:
    shop = await Shop(tx).open()
    made = await shop.make(
        variants=[variant(options={"Size": size}, sku=size) for size in ("S", "M", "L")],
        images=[picture(f"https://x.example/{number}.jpg") for number in (1, 2, 3)],
    )
    assert shop.changes == [], "nobody else sees a draft"
    one, two, three = (image.image_id for image in made.images)
    small, _, _ = made.variants
    catalog, product_id = shop.catalog, made.product_id
    shop.enter(ADMIN)
    category = (await catalog.CreateCategory(_category("Cups"), CONTEXT)).category
    brand = (await catalog.CreateBrand(_brand("Mug"), CONTEXT)).brand
    upserted = pb.VariantUpsert(variant=product_pb2.Variant(sku="M", price=euros(700)))
    new = product_pb2.Variant(product_id=product_id, options={"Size": "XL"}, price=euros(900))
    steps: list[tuple[Callable[[Any, Any], Awaitable[Any]], Any]] = [
        (catalog.CreateCategory, _category("Bowls")),
        (
            catalog.UpdateCategory,
            pb.UpdateCategoryRequest(category=category_pb2.Category(category_id=category.category_id, name="Beakers")),
        ),
        (catalog.DeleteCategory, pb.DeleteCategoryRequest(category_id=category.category_id)),
        (catalog.CreateBrand, _brand("Cup")),
        (catalog.UpdateBrand, pb.UpdateBrandRequest(brand=brand_pb2.Brand(brand_id=brand.brand_id, name="Jug"))),
        (catalog.DeleteBrand, pb.DeleteBrandRequest(brand_id=brand.brand_id)),
        (catalog.PublishProduct, pb.PublishProductRequest(product_id=product_id)),
        (
            catalog.UpdateProduct,
            pb.UpdateProductRequest(
                product=product_pb2.Product(product_id=product_id, title="Mug"), update_mask=FieldMask(paths=["title"])
            ),
        ),
        (catalog.CreateVariant, pb.CreateVariantRequest(variant=new)),
        (
            catalog.UpdateVariant,
            pb.UpdateVariantRequest(variant=product_pb2.Variant(variant_id=small.variant_id, price=euros(1))),
        ),
        (catalog.DeleteVariant, pb.DeleteVariantRequest(variant_id=small.variant_id)),
        (
            catalog.BatchUpsertVariants,
            pb.BatchUpsertVariantsRequest(seller_id=str(shop.seller_id), items=[upserted], request_id=str(uuid4())),
        ),
        (catalog.RemoveProductImage, pb.RemoveProductImageRequest(product_id=product_id, image_id=one)),
        (
            catalog.ReorderProductImages,
            pb.ReorderProductImagesRequest(product_id=product_id, image_ids=[three, two]),
        ),
        (
            catalog.AddProductImage,
            pb.AddProductImageRequest(product_id=product_id, image=picture("https://x.example/4.jpg")),
        ),
        (catalog.ArchiveProduct, pb.ArchiveProductRequest(product_id=product_id)),
        (catalog.DeleteProduct, pb.DeleteProductRequest(product_id=product_id)),
    ]
    for method, request in steps:
        shop.changes.clear()
        shop.enter(ADMIN)
        await method(request, CONTEXT)
        assert shop.changes == [CACHE_TAG.encode()], type(request).__name__


def _category(name: str) -> pb.CreateCategoryRequest:
    return pb.CreateCategoryRequest(category=category_pb2.Category(name=name))


def _brand(name: str) -> pb.CreateBrandRequest:
    return pb.CreateBrandRequest(brand=brand_pb2.Brand(name=name))
