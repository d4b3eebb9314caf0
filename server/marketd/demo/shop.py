"""The beginning of the story: the admin signs in, and a shop opens and is filled."""

from __future__ import annotations

import asyncio
import hashlib
import io

from google.protobuf.duration_pb2 import Duration
from marketplace.auth.v1 import user_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.media.v1 import media_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import address_pb2, image_pb2
from marketplace_client import MarketplaceClient, download_media, export_products, upload_image

from marketd.demo import catalogs, imports
from marketd.demo.admin import sign_in_admin
from marketd.demo.drawing.pictures import draw_product
from marketd.demo.people import Cast, address_at
from marketd.demo.records import DemoOptions, require
from marketd.demo.stage import Stage
from marketd.demo.traces.points import TracePoint
from marketd.kernel.values.texts import slug_of


async def sign_in(stage: Stage, cast: Cast, options: DemoOptions) -> None:
    """The admin signs in and holds the role."""
    async with stage.step("sign_in", "The admin signs in") as detail:
        await sign_in_admin(cast.admin, options, stage.screen.say)
        user = (await cast.admin.user.GetUser(user_service_pb2.GetUserRequest(user_id="me"))).user
        detail["target"] = options.target
        detail["roles"] = [policy_pb2.Role.Name(role).removeprefix("ROLE_") for role in user.roles]
        require(policy_pb2.ROLE_ADMIN in user.roles, f"{user.email} is no admin; see marketd create-admin")


async def open_shop(stage: Stage, cast: Cast, pickup: TracePoint) -> str:
    """A seller registers, applies and is approved; gives the seller's id."""
    async with stage.step("seller", "A seller registers and is approved") as detail:
        shop = f"Demo Shop {cast.suffix}"
        seller = await opened(cast, cast.seller, "seller", shop, address_at(pickup, shop, "Market Square 1"))
        detail["seller_id"], detail["handle"] = seller.seller_id, seller.handle
        return seller.seller_id


async def opened(
    cast: Cast, owner: MarketplaceClient, role: str, shop: str, pickup: address_pb2.Address
) -> seller_pb2.Seller:
    """A shop of somebody who registers for it, once the admin has approved it. Raises CheckFailed."""
    await owner.register(cast.email(role), cast.password, full_name="Sela Demo")
    seller = (
        await owner.seller.CreateSeller(
            seller_service_pb2.CreateSellerRequest(
                seller=seller_pb2.Seller(
                    handle=slug_of(shop, 60),
                    shop_name=shop,
                    pickup_address=pickup,
                    prep_duration=Duration(seconds=300),
                    time_zone="Europe/Berlin",
                )
            )
        )
    ).seller
    require(seller.state == seller_pb2.SELLER_STATE_PENDING, "a new seller is not PENDING")
    approve = seller_service_pb2.ApproveSellerRequest(seller_id=seller.seller_id, reason="demo")
    approved = (await cast.admin.seller.ApproveSeller(approve)).seller
    require(approved.state == seller_pb2.SELLER_STATE_ACTIVE, "an approved seller is not ACTIVE")
    return approved


async def fill_shop(stage: Stage, cast: Cast, options: DemoOptions, seller_id: str) -> list[product_pb2.Product]:
    """The products file is checked, imported, found again on the server and exported; gives the products."""
    name = options.products.name
    async with stage.step("dry_run", f"The seller has {name} checked before anything changes") as detail:
        content = catalogs.read_file(options.products)
        checked = await imports.upload(cast.seller, content, name, dry_run=True)
        detail.update(checked.told())
        own = catalog_service_pb2.ListProductsRequest(seller_ids=[seller_id], page_size=1)
        made = len((await cast.seller.catalog.ListProducts(own)).products)
        require(not made, "a dry run made products")
    async with stage.step("import", f"The seller imports {name}") as detail:
        brought = await imports.upload(cast.seller, content, name)
        detail.update(brought.told())
        require(not brought.errors, f"{len(brought.errors)} rows were not imported, the first: {brought.errors[:1]}")
        was = (checked.summary.products_created, checked.errors, checked.warnings)
        is_as_told = was == (brought.summary.products_created, brought.errors, brought.warnings)
        require(is_as_told, "the dry run told something else than the import did")
    async with stage.step("catalog", "Every product, option, price and stock is there") as detail:
        expected = catalogs.read_products(content)
        found = await imports.read_back(cast.seller, seller_id)
        detail["products"] = len(found)
        detail["variants"] = sum(len(product.variants) for product, _ in found)
        lacking = catalogs.differences(expected, [facts for _, facts in found])
        detail["differences"] = lacking[:20]
        require(not lacking, f"{len(lacking)} differences from the file, the first: {lacking[:1]}")
    async with stage.step("export", "The seller takes the shop along as a file, which changes nothing here") as detail:
        exported = io.BytesIO()
        held = await export_products(cast.seller, exported)
        detail["products"], detail["variants"] = held.products, held.variants
        detail["rows"], detail["size"], detail["sha256"] = held.rows, held.size, held.sha256
        lacking = catalogs.differences(catalogs.read_products(exported.getvalue()), [facts for _, facts in found])
        require(not lacking, f"{len(lacking)} differences from the shop, the first: {lacking[:1]}")
        again = (await imports.upload(cast.seller, exported.getvalue(), "export.csv", update_existing=True)).summary
        detail["unchanged"] = again.products_unchanged
        changed = again.products_created + again.products_updated + again.products_rejected
        require(not changed, f"importing the export touched {changed} products")
        return [product for product, _ in found]


async def hang_picture(stage: Stage, cast: Cast, products: list[product_pb2.Product]) -> None:
    """The seller uploads a picture of a product and hangs it up; whoever looks gets its bytes."""
    async with stage.step("picture", "The seller uploads a picture of a product, and it shows") as detail:
        product = products[0]
        drawn = await asyncio.to_thread(draw_product, product.title, *product.tags)
        media = await upload_image(cast.seller, drawn, media_pb2.MEDIA_PURPOSE_PRODUCT, file_name=f"{product.slug}.png")
        detail["media_id"], detail["uploaded"] = media.media_id, media.size
        image = product_pb2.ProductImage(image=image_pb2.Image(media_id=media.media_id, alt_text=product.title))
        request = catalog_service_pb2.AddProductImageRequest(product_id=product.product_id, image=image, position=1)
        added = (await cast.seller.catalog.AddProductImage(request)).image
        by_id = catalog_service_pb2.GetProductRequest(product_id=product.product_id)
        shown = (await cast.seller.catalog.GetProduct(by_id)).product.images[0]
        require(shown == added, "the product does not show the picture first")
        require(bool(shown.image.renditions), "the picture has no sizes")
        for rendition in shown.image.renditions:
            detail[rendition.name] = f"{rendition.width} x {rendition.height}, {rendition.size} bytes"
            content = await download_media(cast.buyer, media.media_id, rendition.name)
            named = rendition.url.rpartition("/")[2].partition(".")[0]
            is_whole = (len(content), hashlib.sha256(content).hexdigest()) == (rendition.size, named)
            require(is_whole, f"the size {rendition.name} arrives with other bytes than it has")
