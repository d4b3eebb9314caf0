"""The first half of the story: a shop opens and is filled, somebody buys there, and the seller has it ready."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from marketplace.auth.v1 import user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.media.v1 import media_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import image_pb2
from marketplace_client import download_media, export_products, upload_image, watch_order

from marketd.demo import catalogs, imports
from marketd.demo.admin import sign_in_admin
from marketd.demo.drawing.pictures import draw_product
from marketd.demo.money import to_minor, to_text
from marketd.demo.people import Cast, address_at
from marketd.demo.records import CheckFailed, DemoOptions, require
from marketd.demo.stage import Stage
from marketd.demo.traces.points import TracePoint
from marketd.demo.watches import Watch, Watchers, WatchOrder, order_states

_LINES = 2
_PREP_SECONDS = 300
_BROWSED_PAGE = 25


@dataclass
class Purchase:
    """What was bought: the order, and the watch over it that the buyer opened when it was placed."""

    order: order_pb2.Order
    payment_id: str
    watch: Watch[WatchOrder]


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
        await cast.seller.register(cast.email("seller"), cast.password, full_name="Sela Demo")
        shop = f"Demo Shop {cast.suffix}"
        seller = (
            await cast.seller.seller.CreateSeller(
                seller_service_pb2.CreateSellerRequest(
                    seller=seller_pb2.Seller(
                        handle=f"demo-shop-{cast.suffix}",
                        shop_name=shop,
                        pickup_address=address_at(pickup, shop, "Market Square 1"),
                        prep_duration=Duration(seconds=300),
                        time_zone="Europe/Berlin",
                    )
                )
            )
        ).seller
        require(seller.state == seller_pb2.SELLER_STATE_PENDING, "a new seller is not PENDING")
        approved = (
            await cast.admin.seller.ApproveSeller(
                seller_service_pb2.ApproveSellerRequest(seller_id=seller.seller_id, reason="demo")
            )
        ).seller
        require(approved.state == seller_pb2.SELLER_STATE_ACTIVE, "an approved seller is not ACTIVE")
        detail["seller_id"], detail["handle"] = seller.seller_id, seller.handle
        return seller.seller_id


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


async def browse(stage: Stage, cast: Cast, seller_id: str) -> list[product_pb2.Variant]:
    """A buyer registers and looks around; gives variants that can be bought."""
    async with stage.step("browse", "A buyer registers and browses the shop") as detail:
        await cast.buyer.register(cast.email("buyer"), cast.password, full_name="Bo Demo")
        request = catalog_service_pb2.ListProductsRequest(seller_ids=[seller_id], page_size=_BROWSED_PAGE)
        chosen: list[product_pb2.Variant] = []
        seen = 0
        async for listed in cast.buyer.products(request):
            seen += 1
            by_slug = catalog_service_pb2.GetProductRequest(slug=listed.slug)
            product = (await cast.buyer.catalog.GetProduct(by_slug)).product
            require(product.product_id == listed.product_id, f"the slug {listed.slug} leads to another product")
            for variant in product.variants:
                if variant.active and variant.stock_state != product_pb2.STOCK_STATE_OUT_OF_STOCK:
                    chosen.append(variant)
                    break
            if len(chosen) == _LINES:
                break
        detail["products_seen"], detail["chosen"] = seen, len(chosen)
        require(chosen, "nothing of the shop is in stock")
        return chosen


async def buy(
    stage: Stage, cast: Cast, watchers: Watchers, variants: list[product_pb2.Variant], dropoff: TracePoint
) -> Purchase:
    """Cart, quote, order and payment; the buyer watches the order from its first moment."""
    async with stage.step("cart", "The buyer fills the cart") as detail:
        for variant in variants:
            request = cart_service_pb2.AddCartItemRequest(variant_id=variant.variant_id, quantity=1)
            await cast.buyer.cart.AddCartItem(request)
        cart = (await cast.buyer.cart.GetCart(cart_service_pb2.GetCartRequest())).cart
        wanted = sum(to_minor(variant.price) for variant in variants)
        detail["items"], detail["subtotal"] = len(cart.items), to_text(cart.subtotal)
        require(to_minor(cart.subtotal) == wanted, f"the cart adds up to {to_text(cart.subtotal)}, not {wanted} cents")
    async with stage.step("quote", "The buyer asks what it costs and when it comes") as detail:
        home = address_at(dropoff, "Bo Demo", "Garden Street 12")
        quote = await cast.buyer.cart.QuoteOrder(cart_service_pb2.QuoteOrderRequest(address=home))
        detail["total"], detail["packages"] = to_text(quote.total), len(quote.packages)
        detail["problems"] = [problem.message for problem in quote.problems]
        require(quote.quote_token, f"the quote has blocking problems: {detail['problems']}")
        parts = to_minor(quote.subtotal) - to_minor(quote.discount_amount) + to_minor(quote.delivery_fee)
        require(parts == to_minor(quote.total), "the quote's parts do not add up to its total")
    async with stage.step("place", "The buyer places the order") as detail:
        place = order_service_pb2.PlaceOrderRequest(quote_token=quote.quote_token, expected_total=quote.total)
        group = (await cast.buyer.order.PlaceOrder(place)).order_group
        require(len(group.orders) == 1, f"{len(group.orders)} orders came of one seller's goods")
        order = group.orders[0]
        detail["order_number"], detail["total"] = order.order_number, to_text(group.total)
        detail["order_id"] = order.order_id
        require(order.state == order_pb2.ORDER_STATE_PENDING_PAYMENT, "a placed order does not wait for payment")
        watch = Watch("order watch", watch_order(cast.buyer, order.order_id, give_up_after=20), _order_shower(stage))
        stage.progress.order_number = order.order_number
        watchers.start(watch)
        await watch.until(lambda seen: bool(order_states(seen)), "a snapshot")
    async with stage.step("pay", "The buyer pays in the sandbox") as detail:
        payment = (
            await cast.buyer.payment.ConfirmPayment(
                payment_service_pb2.ConfirmPaymentRequest(
                    payment_id=group.payment.payment_id, payment_method=payment_pb2.PaymentMethod(sandbox="ok")
                )
            )
        ).payment
        detail["captured"] = to_text(payment.captured_amount)
        require(payment.state == payment_pb2.PAYMENT_STATE_CAPTURED, "the payment is not CAPTURED")
        paid = (await cast.buyer.order.GetOrder(order_service_pb2.GetOrderRequest(order_id=order.order_id))).order
        require(paid.state == order_pb2.ORDER_STATE_PAID, "the payment is captured, but the order is not PAID")
    return Purchase(order, payment.payment_id, watch)


async def prepare(stage: Stage, cast: Cast, purchase: Purchase) -> None:
    """The seller takes the order on and has it ready; the buyer sees both."""
    order_id = purchase.order.order_id
    async with stage.step("accept", "The seller accepts the order") as detail:
        request = order_service_pb2.ListOrdersRequest(states=[order_pb2.ORDER_STATE_PAID])
        mine = [order async for order in cast.seller.orders(request)]
        require([order.order_id for order in mine] == [order_id], "the seller's list does not show the paid order")
        accept = order_service_pb2.AcceptOrderRequest(
            order_id=order_id, prep_duration=Duration(seconds=_PREP_SECONDS), etag=mine[0].etag
        )
        accepted = (await cast.seller.order.AcceptOrder(accept)).order
        detail["state"] = order_pb2.OrderState.Name(accepted.state).removeprefix("ORDER_STATE_")
        await _shown(purchase, order_pb2.ORDER_STATE_ACCEPTED)
    async with stage.step("ready", "The seller has it ready") as detail:
        request_ready = order_service_pb2.MarkOrderReadyRequest(order_id=order_id, etag=accepted.etag)
        ready = (await cast.seller.order.MarkOrderReady(request_ready)).order
        detail["state"] = order_pb2.OrderState.Name(ready.state).removeprefix("ORDER_STATE_")
        await _shown(purchase, order_pb2.ORDER_STATE_READY)


async def check_order(stage: Stage, cast: Cast, purchase: Purchase) -> None:
    """The buyer was shown every state of the order, each once and in order."""
    async with stage.step("order", "The buyer saw every state of the order") as detail:
        await _shown(purchase, order_pb2.ORDER_STATE_DELIVERED)
        states = order_states(purchase.watch.seen)
        names = [order_pb2.OrderState.Name(state).removeprefix("ORDER_STATE_") for state in states]
        detail["states"] = names
        wanted = ["PENDING_PAYMENT", "PAID", "ACCEPTED", "READY", "OUT_FOR_DELIVERY", "DELIVERED"]
        if names != wanted:
            raise CheckFailed(f"the watch showed {names} instead of {wanted}")
        request = order_service_pb2.GetOrderRequest(order_id=purchase.order.order_id)
        order = (await cast.buyer.order.GetOrder(request)).order
        require(order.state == order_pb2.ORDER_STATE_DELIVERED, "the order is not DELIVERED")


async def _shown(purchase: Purchase, state: order_pb2.OrderState.ValueType) -> None:
    name = order_pb2.OrderState.Name(state)
    await purchase.watch.until(lambda seen: state in order_states(seen), name)


def _order_shower(stage: Stage) -> Callable[[WatchOrder], None]:
    def show(message: WatchOrder) -> None:
        states = order_states([message])
        if states:
            stage.progress.order_state = order_pb2.OrderState.Name(states[-1]).removeprefix("ORDER_STATE_")
            stage.moved()

    return show
