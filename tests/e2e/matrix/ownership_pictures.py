"""Whose the ids are in the requests that attach pictures and tell of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.media.v1 import media_pb2
from marketplace.media.v1.media_pb2 import MediaPurpose
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import image_pb2

from tests.e2e.matrix.ownership_cases import Case, Owned, Question, filtered, plain, stranger
from tests.worlds.matrix import Market
from tests.worlds.things import new_product, new_shop

B, S = "BUYER", "SELLER"


def _product_id(market: Market) -> str:
    return market.goods.product_id


def uploaded(purpose: MediaPurpose.ValueType, ask: Callable[[str], Any]) -> Case:
    """With a picture of the shop's owner."""

    async def case(market: Market, who: str) -> Question:
        return Question(stranger(market, who), await market.upload(market.shop.owner, purpose), ask)

    return case


def of_own_product(foreign: Callable[[product_pb2.Product], str], ask: Callable[[str, str], Any]) -> Case:
    """The rival asks for its own product, and names something of the shop's; `ask` is told the product first."""

    async def case(market: Market, who: str) -> Question:
        own, theirs = await market.draft(market.rival), await market.pictured()
        return Question(market.rival.owner, foreign(theirs), partial(ask, own.product_id))

    return case


def pictured_product(media_id: str) -> Message:
    request = new_product()
    request.product.images.add(image={"media_id": media_id})
    return request


def added_image(product_id: str, **image: Any) -> Message:
    picture = product_pb2.ProductImage(image=image_pb2.Image(url="https://x.example/1.jpg"))
    picture.MergeFrom(product_pb2.ProductImage(**image))
    return catalog_service_pb2.AddProductImageRequest(product_id=product_id, image=picture)


def shop_with_logo(media_id: str) -> Message:
    request = new_shop()
    request.seller.logo.media_id = media_id
    return request


async def own_logo(market: Market, who: str) -> Question:
    """The rival wants the shop's picture for its own shop."""
    media_id = await market.upload(market.shop.owner, media_pb2.MEDIA_PURPOSE_SHOP)

    def ask(one: str) -> Message:
        changed = seller_pb2.Seller(seller_id=market.rival.seller_id, logo=image_pb2.Image(media_id=one))
        return seller_service_pb2.UpdateSellerRequest(seller=changed)

    return Question(market.rival.owner, media_id, ask)


PICTURES: Final[Mapping[str, Owned]] = {
    "CreateProduct.product.images[].image.media_id": Owned(
        (S,), uploaded(media_pb2.MEDIA_PURPOSE_PRODUCT, pictured_product), is_attribute=True
    ),
    "CreateSeller.seller.logo.media_id": Owned(
        (B,), uploaded(media_pb2.MEDIA_PURPOSE_SHOP, shop_with_logo), is_attribute=True
    ),
    "UpdateSeller.seller.logo.media_id": Owned((S,), own_logo, is_attribute=True),
    "AddProductImage.product_id": Owned((S,), plain(_product_id, added_image)),
    "AddProductImage.image.image.media_id": Owned(
        (S,),
        of_own_product(
            lambda theirs: theirs.images[0].image.media_id,
            lambda own, one: added_image(own, image={"media_id": one}),
        ),
        is_attribute=True,
    ),
    "AddProductImage.image.variant_ids": Owned(
        (S,),
        of_own_product(
            lambda theirs: theirs.variants[0].variant_id, lambda own, one: added_image(own, variant_ids=[one])
        ),
        is_attribute=True,
    ),
    "RemoveProductImage.product_id": Owned(
        (S,),
        plain(
            _product_id,
            lambda one: catalog_service_pb2.RemoveProductImageRequest(product_id=one, image_id=str(UUID(int=1))),
        ),
    ),
    "RemoveProductImage.image_id": Owned(
        (S,),
        of_own_product(
            lambda theirs: theirs.images[0].image_id,
            lambda own, one: catalog_service_pb2.RemoveProductImageRequest(product_id=own, image_id=one),
        ),
    ),
    "ReorderProductImages.product_id": Owned(
        (S,),
        plain(
            _product_id,
            lambda one: catalog_service_pb2.ReorderProductImagesRequest(product_id=one, image_ids=[str(UUID(int=1))]),
        ),
    ),
    "ReorderProductImages.image_ids": Owned(
        (S,),
        of_own_product(
            lambda theirs: theirs.images[0].image_id,
            lambda own, one: catalog_service_pb2.ReorderProductImagesRequest(product_id=own, image_ids=[one]),
        ),
        is_attribute=True,
    ),
    "ListRemoteImages.seller_ids": Owned(
        (S,), filtered(catalog_service_pb2.ListRemoteImagesRequest, "seller_ids", lambda market: market.shop.seller_id)
    ),
    "ListRemoteImages.product_ids": Owned(
        (S,),
        of_own_product(
            lambda theirs: theirs.product_id,
            lambda _, one: catalog_service_pb2.ListRemoteImagesRequest(product_ids=[one]),
        ),
    ),
}
