"""A basket that somebody fills before signing in, and what becomes of it then."""

from __future__ import annotations

from contextlib import AsyncExitStack

from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.type.v1 import cart_merge_pb2
from marketplace_client import MarketplaceClient, MarketplaceError

from marketd.demo.goods import Codes, Voucher
from marketd.demo.money import to_minor, to_text
from marketd.demo.people import Cast, open_client
from marketd.demo.records import CheckFailed, DemoOptions, require
from marketd.demo.stage import Stage

_LINES = 2
_BROWSED_PAGE = 25


async def browse(stage: Stage, cast: Cast, seller_id: str) -> list[product_pb2.Variant]:
    """Somebody without an account finds what is in stock; gives one variant of each of the first products."""
    async with stage.step("browse", "Somebody without an account browses the shop") as detail:
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


async def fill_basket(
    stage: Stage, cast: Cast, options: DemoOptions, variants: list[product_pb2.Variant], voucher: Voucher, codes: Codes
) -> None:
    """A guest's basket with goods of both shops and both codes becomes the account's, which has a voucher already."""
    async with stage.step("account", "A buyer has an account, and a voucher in the cart on another device") as detail:
        await cast.buyer.register(cast.email("buyer"), cast.password, full_name="Bo Demo")
        detail["items"] = len((await _put(cast.buyer, voucher.variant)).items)
    async with AsyncExitStack() as stack:
        async with stage.step("guest", "Without signing in, the buyer fills a basket and applies both codes") as detail:
            made = await cast.buyer.cart.CreateGuestCart(cart_service_pb2.CreateGuestCartRequest())
            guest = await stack.enter_async_context(open_client(options, made.guest_token))
            for variant in (*variants, voucher.variant):
                await _put(guest, variant)
            for code in (codes.shop, codes.everywhere):
                await guest.cart.ApplyPromoCode(cart_service_pb2.ApplyPromoCodeRequest(code=code))
            cart = await _cart(guest)
            detail["items"], detail["subtotal"] = len(cart.items), to_text(cart.subtotal)
            detail["discounts"] = {each.code: to_text(each.discount_amount) for each in cart.promo_codes}
            applied = {each.code for each in cart.promo_codes if not each.HasField("problem")}
            require(cart.guest, "the basket is not a guest's")
            require(applied == {codes.shop, codes.everywhere}, f"of both codes these apply: {sorted(applied)}")
            detail["orders_of_a_guest"] = await _refused(guest)
        async with stage.step("merge", "The buyer signs in, and both baskets become one") as detail:
            login = await cast.buyer.login(
                cast.email("buyer"), cast.password, device_name="demo", guest_cart_token=made.guest_token
            )
            report = login.cart_merge
            outcomes: dict[str, int] = {}
            for line in report.lines:
                name = cart_merge_pb2.CartMergeOutcome.Name(line.outcome).removeprefix("CART_MERGE_OUTCOME_")
                outcomes[name] = outcomes.get(name, 0) + 1
            detail["lines"], detail["promo_codes"] = outcomes, list(report.promo_codes)
            require(outcomes == {"ADDED": len(variants), "COMBINED": 1}, f"the lines were merged as {outcomes}")
            require(not report.dropped_promo_codes, f"codes were lost: {list(report.dropped_promo_codes)}")
            cart = await _cart(cast.buyer)
            wanted = sum(to_minor(variant.price) for variant in variants) + 2 * to_minor(voucher.variant.price)
            detail["subtotal"] = to_text(cart.subtotal)
            require(
                to_minor(cart.subtotal) == wanted, f"the cart comes to {to_text(cart.subtotal)}, not {wanted} cents"
            )
            require(len(cart.promo_codes) == len(applied), "the basket's codes did not come along")
            try:
                await _cart(guest)
            except MarketplaceError as refusal:
                require(refusal.reason == "TOKEN_EXPIRED", f"the basket that is gone is refused with {refusal}")
            else:
                raise CheckFailed("the guest's basket is still there")


async def _put(client: MarketplaceClient, variant: product_pb2.Variant) -> cart_pb2.Cart:
    request = cart_service_pb2.AddCartItemRequest(variant_id=variant.variant_id, quantity=1)
    return (await client.cart.AddCartItem(request)).cart


async def _cart(client: MarketplaceClient) -> cart_pb2.Cart:
    return (await client.cart.GetCart(cart_service_pb2.GetCartRequest())).cart


async def _refused(guest: MarketplaceClient) -> str:
    """The reason for which a guest, who has a cart and nothing else, sees no orders. Raises CheckFailed."""
    try:
        await guest.order.ListOrders(order_service_pb2.ListOrdersRequest())
    except MarketplaceError as refusal:
        require(refusal.reason == "ROLE_REQUIRED", f"a guest who asks for orders is refused with {refusal}")
        return refusal.reason
    raise CheckFailed("a guest is shown orders")
