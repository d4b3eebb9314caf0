"""The recipes of the catalog, the stock and the cart."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.type.decimal_pb2 import Decimal
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.catalog.v1 import (
    brand_pb2,
    catalog_service_pb2,
    category_pb2,
    import_pb2,
    product_pb2,
    search_pb2,
)
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.media.v1 import media_pb2
from marketplace.type.v1 import image_pb2

from tests.e2e.matrix.scenes import ADMIN, BUYER, GUEST, PUBLIC, SELLER, SERVICE, Book, Scene
from tests.worlds.matrix import Market
from tests.worlds.things import Person, address, new_key, new_product

CATALOG = Book("marketplace.catalog.v1.CatalogService")
STOCK = Book("marketplace.inventory.v1.InventoryService")
CART = Book("marketplace.cart.v1.CartService")
BOOKS = (CATALOG, STOCK, CART)

HEADER = "Handle,Title,Vendor,Type,Tags,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price"


def csv_file(*rows: str) -> bytes:
    """A file of Shopify's kind; by default one good product that no other file has."""
    name = secrets.token_hex(6)
    good = f"thing-{name},Thing {name},Maker {name},Kind {name},new,Size,M,,5,12.50"
    return "\n".join((HEADER, *(rows or (good,)), "")).encode()


def inline_import(content: bytes, **options: Any) -> catalog_service_pb2.ImportProductsInlineRequest:
    """The file in one message."""
    return catalog_service_pb2.ImportProductsInlineRequest(
        request_id=new_key(), csv=content, options=import_pb2.ImportOptions(**options)
    )


def streamed_import(
    content: bytes, chunk: int = 65_536, **options: Any
) -> tuple[catalog_service_pb2.ImportProductsRequest, ...]:
    """The file as a stream: what it is, then its parts."""
    stated: dict[str, Any] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **options}
    first = catalog_service_pb2.ImportProductsRequest(request_id=new_key(), options=import_pb2.ImportOptions(**stated))
    parts = [content[start : start + chunk] for start in range(0, len(content), chunk)]
    return (first, *(catalog_service_pb2.ImportProductsRequest(chunk=part) for part in parts))


def a_category(description: str | None = None) -> category_pb2.Category:
    """A category as it is asked for."""
    name = f"Category {secrets.token_hex(6)}"
    return category_pb2.Category(name=name, description=description, tax_rate=Decimal(value="19"))


def a_brand(description: str | None = None) -> brand_pb2.Brand:
    """A brand as it is asked for."""
    return brand_pb2.Brand(name=f"Brand {secrets.token_hex(6)}", description=description)


async def new_category(market: Market) -> category_pb2.Category:
    """A category."""
    request = catalog_service_pb2.CreateCategoryRequest(category=a_category())
    category: category_pb2.Category = (await market.call(request, market.admin)).category
    return category


async def new_brand(market: Market) -> brand_pb2.Brand:
    """A brand."""
    request = catalog_service_pb2.CreateBrandRequest(brand=a_brand())
    brand: brand_pb2.Brand = (await market.call(request, market.admin)).brand
    return brand


@CATALOG.add("CreateCategory", ADMIN)
async def create_category(market: Market, who: str) -> Scene:
    request = catalog_service_pb2.CreateCategoryRequest(category=a_category("Things"), request_id=new_key())
    return Scene(market.admin, (request,))


@CATALOG.add("UpdateCategory", ADMIN)
async def update_category(market: Market, who: str) -> Scene:
    category = await new_category(market)
    change = category_pb2.Category(category_id=category.category_id, description="Other things", etag=category.etag)
    request = catalog_service_pb2.UpdateCategoryRequest(
        category=change, update_mask=FieldMask(paths=["description"]), request_id=new_key()
    )
    return Scene(market.admin, (request,))


@CATALOG.add("DeleteCategory", ADMIN)
async def delete_category(market: Market, who: str) -> Scene:
    category = await new_category(market)
    request = catalog_service_pb2.DeleteCategoryRequest(
        category_id=category.category_id, etag=category.etag, request_id=new_key()
    )
    return Scene(market.admin, (request,))


@CATALOG.add("GetCategory", PUBLIC)
async def get_category(market: Market, who: str) -> Scene:
    category = await new_category(market)
    return Scene(None, (catalog_service_pb2.GetCategoryRequest(category_id=category.category_id),))


@CATALOG.add("ListCategories", PUBLIC)
async def list_categories(market: Market, who: str) -> Scene:
    return Scene(None, (catalog_service_pb2.ListCategoriesRequest(page_size=5),))


@CATALOG.add("CreateBrand", ADMIN)
async def create_brand(market: Market, who: str) -> Scene:
    request = catalog_service_pb2.CreateBrandRequest(brand=a_brand("Makers"), request_id=new_key())
    return Scene(market.admin, (request,))


@CATALOG.add("UpdateBrand", ADMIN)
async def update_brand(market: Market, who: str) -> Scene:
    brand = await new_brand(market)
    change = brand_pb2.Brand(brand_id=brand.brand_id, description="Other makers", etag=brand.etag)
    request = catalog_service_pb2.UpdateBrandRequest(
        brand=change, update_mask=FieldMask(paths=["description"]), request_id=new_key()
    )
    return Scene(market.admin, (request,))


@CATALOG.add("DeleteBrand", ADMIN)
async def delete_brand(market: Market, who: str) -> Scene:
    brand = await new_brand(market)
    request = catalog_service_pb2.DeleteBrandRequest(brand_id=brand.brand_id, etag=brand.etag, request_id=new_key())
    return Scene(market.admin, (request,))


@CATALOG.add("GetBrand", PUBLIC)
async def get_brand(market: Market, who: str) -> Scene:
    brand = await new_brand(market)
    return Scene(None, (catalog_service_pb2.GetBrandRequest(brand_id=brand.brand_id),))


@CATALOG.add("ListBrands", PUBLIC)
async def list_brands(market: Market, who: str) -> Scene:
    return Scene(None, (catalog_service_pb2.ListBrandsRequest(page_size=5),))


@CATALOG.add("CreateProduct", SELLER, ADMIN)
async def create_product(market: Market, who: str) -> Scene:
    request = new_product()
    if who == "ADMIN":
        request.product.seller_id = market.shop.seller_id
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("UpdateProduct", SELLER, ADMIN)
async def update_product(market: Market, who: str) -> Scene:
    product = await market.draft()
    change = product_pb2.Product(product_id=product.product_id, title="Another title", tags=["red"], etag=product.etag)
    request = catalog_service_pb2.UpdateProductRequest(
        product=change, update_mask=FieldMask(paths=["title", "tags"]), request_id=new_key()
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("PublishProduct", SELLER, ADMIN)
async def publish_product(market: Market, who: str) -> Scene:
    product = await market.draft()
    request = catalog_service_pb2.PublishProductRequest(
        product_id=product.product_id, etag=product.etag, request_id=new_key()
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("ArchiveProduct", SELLER, ADMIN)
async def archive_product(market: Market, who: str) -> Scene:
    product = await market.draft()
    request = catalog_service_pb2.ArchiveProductRequest(
        product_id=product.product_id, etag=product.etag, request_id=new_key()
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("DeleteProduct", SELLER, ADMIN)
async def delete_product(market: Market, who: str) -> Scene:
    product = await market.draft()
    request = catalog_service_pb2.DeleteProductRequest(
        product_id=product.product_id, etag=product.etag, request_id=new_key()
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("CreateVariant", SELLER, ADMIN)
async def create_variant(market: Market, who: str) -> Scene:
    bare = new_product()
    bare.product.ClearField("variants")
    product = (await market.call(bare, market.shop.owner)).product
    variant = product_pb2.Variant(product_id=product.product_id, sku=secrets.token_hex(6), options={"Size": "S"})
    request = catalog_service_pb2.CreateVariantRequest(variant=variant, request_id=new_key())
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("UpdateVariant", SELLER, ADMIN)
async def update_variant(market: Market, who: str) -> Scene:
    known = (await market.draft()).variants[0]
    variant = product_pb2.Variant(variant_id=known.variant_id, barcode="4006381333931", etag=known.etag)
    request = catalog_service_pb2.UpdateVariantRequest(
        variant=variant, update_mask=FieldMask(paths=["barcode"]), request_id=new_key()
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("DeleteVariant", SELLER, ADMIN)
async def delete_variant(market: Market, who: str) -> Scene:
    known = (await market.draft()).variants[0]
    request = catalog_service_pb2.DeleteVariantRequest(
        variant_id=known.variant_id, etag=known.etag, request_id=new_key()
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("AddProductImage", SELLER, ADMIN)
async def add_product_image(market: Market, who: str) -> Scene:
    product = await market.draft()
    media_id = await market.upload(market.shop.owner, media_pb2.MEDIA_PURPOSE_PRODUCT)
    shown = image_pb2.Image(media_id=media_id, alt_text="What it looks like")
    image = product_pb2.ProductImage(image=shown)
    request = catalog_service_pb2.AddProductImageRequest(
        product_id=product.product_id, image=image, position=1, etag=product.etag, request_id=new_key()
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("RemoveProductImage", SELLER, ADMIN)
async def remove_product_image(market: Market, who: str) -> Scene:
    product = await market.pictured()
    request = catalog_service_pb2.RemoveProductImageRequest(
        product_id=product.product_id,
        image_id=product.images[0].image_id,
        etag=product.etag,
        request_id=new_key(),
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("ReorderProductImages", SELLER, ADMIN)
async def reorder_product_images(market: Market, who: str) -> Scene:
    product = await market.pictured()
    request = catalog_service_pb2.ReorderProductImagesRequest(
        product_id=product.product_id,
        image_ids=[image.image_id for image in reversed(product.images)],
        etag=product.etag,
        request_id=new_key(),
    )
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("ListRemoteImages", SELLER, ADMIN)
async def list_remote_images(market: Market, who: str) -> Scene:
    await market.pictured()
    return Scene(_keeper(market, who), (catalog_service_pb2.ListRemoteImagesRequest(page_size=1),))


@CATALOG.add("BatchUpsertVariants", SELLER, ADMIN)
async def upsert_variants(market: Market, who: str) -> Scene:
    known = (await market.draft()).variants[0]
    item = catalog_service_pb2.VariantUpsert(
        variant=product_pb2.Variant(sku=known.sku, weight_grams=250), source_version=7
    )
    request = catalog_service_pb2.BatchUpsertVariantsRequest(items=[item], request_id=new_key())
    if who == "ADMIN":
        request.seller_id = market.shop.seller_id
    return Scene(_keeper(market, who), (request,))


@CATALOG.add("BatchGetProducts", PUBLIC)
async def batch_get_products(market: Market, who: str) -> Scene:
    return Scene(None, (catalog_service_pb2.BatchGetProductsRequest(product_ids=[market.goods.product_id]),))


@CATALOG.add("GetProduct", PUBLIC)
async def get_product(market: Market, who: str) -> Scene:
    return Scene(None, (catalog_service_pb2.GetProductRequest(product_id=market.goods.product_id),))


@CATALOG.add("ListProducts", PUBLIC)
async def list_products(market: Market, who: str) -> Scene:
    return Scene(None, (catalog_service_pb2.ListProductsRequest(page_size=5),))


@CATALOG.add("SearchProducts", PUBLIC)
async def search_products(market: Market, who: str) -> Scene:
    request = catalog_service_pb2.SearchProductsRequest(page_size=5, facets=[search_pb2.FACET_KIND_SELLER])
    request.attributes.add(name="Material", values=["Oak"])
    return Scene(None, (request,))


@CATALOG.add("SuggestProducts", PUBLIC)
async def suggest_products(market: Market, who: str) -> Scene:
    return Scene(None, (catalog_service_pb2.SuggestProductsRequest(query="oak sh"),))


@CATALOG.add("ImportProducts", SELLER, ADMIN)
async def import_products(market: Market, who: str) -> Scene:
    options = {"seller_id": market.shop.seller_id} if who == "ADMIN" else {}
    return Scene(_keeper(market, who), streamed_import(csv_file(), chunk=64, **options))


@CATALOG.add("ImportProductsInline", SELLER, ADMIN)
async def import_inline(market: Market, who: str) -> Scene:
    options = {"seller_id": market.shop.seller_id} if who == "ADMIN" else {}
    return Scene(_keeper(market, who), (inline_import(csv_file(), **options),))


@CATALOG.add("ExportProducts", SELLER, ADMIN)
async def export_products(market: Market, who: str) -> Scene:
    seller_id = market.shop.seller_id if who == "ADMIN" else ""
    return Scene(_keeper(market, who), (catalog_service_pb2.ExportProductsRequest(seller_id=seller_id),))


@STOCK.add("SetStock", SELLER, ADMIN, SERVICE)
async def set_stock(market: Market, who: str) -> Scene:
    goods = await market.product()
    request = inventory_service_pb2.SetStockRequest(
        request_id=new_key(), variant_id=goods.variant_id, quantity=7, reason="counted", source_version=1
    )
    return Scene(_keeper(market, who), (request,))


@STOCK.add("GetStock", SELLER, ADMIN, SERVICE)
async def get_stock(market: Market, who: str) -> Scene:
    request = inventory_service_pb2.GetStockRequest(variant_id=market.goods.variant_id)
    return Scene(_keeper(market, who), (request,))


@STOCK.add("BatchGetStock", SELLER, ADMIN, SERVICE)
async def batch_get_stock(market: Market, who: str) -> Scene:
    request = inventory_service_pb2.BatchGetStockRequest(variant_ids=[market.goods.variant_id])
    return Scene(_keeper(market, who), (request,))


@STOCK.add("AdjustStock", SELLER, ADMIN, SERVICE)
async def adjust_stock(market: Market, who: str) -> Scene:
    goods = await market.product()
    request = inventory_service_pb2.AdjustStockRequest(
        request_id=new_key(), variant_id=goods.variant_id, delta=-2, reason="broken"
    )
    return Scene(_keeper(market, who), (request,))


@STOCK.add("ListStockMovements", SELLER, ADMIN)
async def list_stock_movements(market: Market, who: str) -> Scene:
    return Scene(_keeper(market, who), (inventory_service_pb2.ListStockMovementsRequest(page_size=5),))


@STOCK.add("WatchStock", SELLER, ADMIN, SERVICE, take=1)
async def watch_stock(market: Market, who: str) -> Scene:
    request = inventory_service_pb2.WatchStockRequest(variant_ids=[market.goods.variant_id])
    return Scene(_keeper(market, who), (request,))


@CART.add("GetCart", GUEST, BUYER)
async def get_cart(market: Market, who: str) -> Scene:
    # A new buyer's cart is opened by the first look at it.
    return Scene(await shopper(market, who), (cart_service_pb2.GetCartRequest(),))


@CART.add("AddCartItem", GUEST, BUYER)
async def add_item(market: Market, who: str) -> Scene:
    request = cart_service_pb2.AddCartItemRequest(request_id=new_key(), variant_id=market.goods.variant_id, quantity=1)
    return Scene(await shopper(market, who), (request,))


@CART.add("UpdateCartItem", GUEST, BUYER)
async def update_item(market: Market, who: str) -> Scene:
    buyer, cart = await market.filled(await shopper(market, who))
    request = cart_service_pb2.UpdateCartItemRequest(
        request_id=new_key(),
        item=cart_pb2.CartItem(item_id=cart.items[0].item_id, quantity=3),
        cart_etag=cart.etag,
    )
    return Scene(buyer, (request,))


@CART.add("RemoveCartItem", GUEST, BUYER)
async def remove_item(market: Market, who: str) -> Scene:
    buyer, cart = await market.filled(await shopper(market, who))
    return Scene(buyer, (cart_service_pb2.RemoveCartItemRequest(item_id=cart.items[0].item_id),))


@CART.add("ClearCart", GUEST, BUYER)
async def clear_cart(market: Market, who: str) -> Scene:
    buyer, _ = await market.filled(await shopper(market, who))
    return Scene(buyer, (cart_service_pb2.ClearCartRequest(),))


@CART.add("QuoteOrder", GUEST, BUYER)
async def quote_order(market: Market, who: str) -> Scene:
    buyer, _ = await market.filled(await shopper(market, who))
    return Scene(buyer, (cart_service_pb2.QuoteOrderRequest(address=address("Ada", 13.41)),))


@CART.add("CreateGuestCart", PUBLIC)
async def create_guest_cart(market: Market, who: str) -> Scene:
    return Scene(None, (cart_service_pb2.CreateGuestCartRequest(),))


@CART.add("MergeCarts", BUYER)
async def merge_carts(market: Market, who: str) -> Scene:
    guest, _ = await market.filled(await market.guest())
    request = cart_service_pb2.MergeCartsRequest(request_id=new_key(), guest_token=guest.token)
    return Scene(await market.person(BUYER), (request,))


@CART.add("WatchCart", GUEST, BUYER, take=1)
async def watch_cart(market: Market, who: str) -> Scene:
    return Scene(await shopper(market, who), (cart_service_pb2.WatchCartRequest(),))


async def shopper(market: Market, who: str) -> Person:
    """Somebody new with a cart: a guest, or else a buyer."""
    return await market.guest() if who == GUEST else await market.person(BUYER)


def _keeper(market: Market, who: str) -> Person:
    """Who may act for the shop as this kind of caller."""
    return {"ADMIN": market.admin, "SERVICE": market.service}.get(who, market.shop.owner)
