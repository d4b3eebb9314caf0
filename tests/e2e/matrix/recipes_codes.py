"""The recipes of promo codes on a cart."""

from __future__ import annotations

from marketplace.cart.v1 import cart_service_pb2

from tests.e2e.matrix.recipes_goods import shopper
from tests.e2e.matrix.recipes_promotion import new_promo_code
from tests.e2e.matrix.scenes import BUYER, GUEST, Book, Scene
from tests.worlds.matrix import Market
from tests.worlds.things import new_key

CODES = Book("marketplace.cart.v1.CartService")
BOOKS = (CODES,)


@CODES.add("ApplyPromoCode", GUEST, BUYER)
async def apply_promo_code(market: Market, who: str) -> Scene:
    caller, code = await shopper(market, who), (await new_promo_code(market)).code
    return Scene(caller, (cart_service_pb2.ApplyPromoCodeRequest(code=code, request_id=new_key()),))


@CODES.add("RemovePromoCode", GUEST, BUYER)
async def remove_promo_code(market: Market, who: str) -> Scene:
    caller, code = await shopper(market, who), (await new_promo_code(market)).code
    await market.call(cart_service_pb2.ApplyPromoCodeRequest(code=code), caller)
    return Scene(caller, (cart_service_pb2.RemovePromoCodeRequest(code=code, request_id=new_key()),))
