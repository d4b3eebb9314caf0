"""Hanging the drawn pictures up: each shop of the demo data gets a logo, and each of its products a picture.

What has one already stays as it is, so that a later start draws nothing.
"""

from __future__ import annotations

import asyncio

from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.media.v1 import media_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import image_pb2
from marketplace_client import MarketplaceClient, upload_image

from marketd.demo.drawing.pictures import draw_logo, draw_product
from marketd.demo.seed import SeededLogins, signed_in

_AT_ONCE = 3


async def hang_pictures(client: MarketplaceClient, seller_id: str) -> int:
    """Give the signed-in owner's shop a logo, and its products pictures; how many there were to hang.

    Raises MarketplaceError when the server refuses one.
    """
    hung = await _hang_logo(client, seller_id)
    names: dict[str, str] = {"": ""}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def hang(product: product_pb2.Product) -> None:
        async with gate:
            if product.category_id not in names:
                wanted = catalog_service_pb2.GetCategoryRequest(category_id=product.category_id)
                names[product.category_id] = (await client.catalog.GetCategory(wanted)).category.name
            await _hang_product(client, product, names[product.category_id])

    listed = catalog_service_pb2.ListProductsRequest(seller_ids=[seller_id], page_size=100)
    bare = [product async for product in client.products(listed) if not product.images]
    try:
        async with asyncio.TaskGroup() as group:
            for product in bare:
                group.create_task(hang(product))
    except ExceptionGroup as failed:
        # The others were cancelled; the first says why.
        raise failed.exceptions[0] from None
    return hung + len(bare)


async def decorate(target: str, logins: SeededLogins) -> int:
    """Hang the pictures of all seeded shops, one shop after the other; how many there were to hang."""
    hung = 0
    for shop in logins.shops:
        async with signed_in(target, shop.login.email, logins.password) as client:
            hung += await hang_pictures(client, shop.seller_id)
    return hung


async def _hang_logo(client: MarketplaceClient, seller_id: str) -> int:
    seller = (await client.seller.GetSeller(seller_service_pb2.GetSellerRequest(seller_id=seller_id))).seller
    if seller.HasField("logo"):
        return 0
    drawn = await asyncio.to_thread(draw_logo, seller.shop_name)
    media = await upload_image(client, drawn, media_pb2.MEDIA_PURPOSE_SHOP, file_name="logo.png")
    logo = image_pb2.Image(media_id=media.media_id, alt_text=f"The logo of {seller.shop_name}")
    changed = seller_pb2.Seller(seller_id=seller_id, logo=logo, etag=seller.etag)
    await client.seller.UpdateSeller(seller_service_pb2.UpdateSellerRequest(seller=changed))
    return 1


async def _hang_product(client: MarketplaceClient, product: product_pb2.Product, category: str) -> None:
    drawn = await asyncio.to_thread(draw_product, product.title, product.slug, category, *product.tags)
    media = await upload_image(client, drawn, media_pb2.MEDIA_PURPOSE_PRODUCT, file_name=f"{product.slug}.png")
    image = image_pb2.Image(media_id=media.media_id, alt_text=product.title)
    request = catalog_service_pb2.AddProductImageRequest(
        product_id=product.product_id, image=product_pb2.ProductImage(image=image)
    )
    await client.catalog.AddProductImage(request)
