"""The recipes of promo codes."""

from __future__ import annotations

import secrets
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.type.decimal_pb2 import Decimal
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2

from tests.e2e.matrix.scenes import ADMIN, BUYER, GUEST, SELLER, Book, Scene
from tests.worlds.matrix import Market
from tests.worlds.things import Shop, money, new_key

PROMOTION = Book("marketplace.promotion.v1.PromotionService")
BOOKS = (PROMOTION,)


def a_promo_code(**fields: Any) -> promo_code_pb2.PromoCode:
    """A promo code as it is asked for: an eighth off, three times an account."""
    whole: dict[str, Any] = {
        "code": f"CODE-{secrets.token_hex(6)}",
        "kind": promo_code_pb2.PROMO_CODE_KIND_PERCENT,
        "percent": Decimal(value="12.5"),
        "max_discount": money(50),
        "per_user_limit": 3,
        "description": "An eighth off",
    }
    return promo_code_pb2.PromoCode(**{**whole, **fields})


def asked(**fields: Any) -> promotion_service_pb2.CreatePromoCodeRequest:
    """A request for one."""
    return promotion_service_pb2.CreatePromoCodeRequest(request_id=new_key(), promo_code=a_promo_code(**fields))


async def new_promo_code(market: Market, shop: Shop | None = None) -> promo_code_pb2.PromoCode:
    """A promo code of the shop."""
    made: promo_code_pb2.PromoCode = (await market.call(asked(), (shop or market.shop).owner)).promo_code
    return made


@PROMOTION.add("CreatePromoCode", SELLER, ADMIN)
async def create_promo_code(market: Market, who: str) -> Scene:
    return Scene(market.admin if who == "ADMIN" else market.shop.owner, (asked(),))


@PROMOTION.add("UpdatePromoCode", SELLER, ADMIN)
async def update_promo_code(market: Market, who: str) -> Scene:
    made = await new_promo_code(market)
    request = promotion_service_pb2.UpdatePromoCodeRequest(
        promo_code=promo_code_pb2.PromoCode(
            promo_code_id=made.promo_code_id, description="Something off", etag=made.etag
        ),
        update_mask=FieldMask(paths=["description"]),
        request_id=new_key(),
    )
    return Scene(market.admin if who == "ADMIN" else market.shop.owner, (request,))


@PROMOTION.add("DisablePromoCode", SELLER, ADMIN)
async def disable_promo_code(market: Market, who: str) -> Scene:
    made = await new_promo_code(market)
    request = promotion_service_pb2.DisablePromoCodeRequest(
        promo_code_id=made.promo_code_id, reason="It is over.", etag=made.etag, request_id=new_key()
    )
    return Scene(market.admin if who == "ADMIN" else market.shop.owner, (request,))


@PROMOTION.add("GetPromoCode", SELLER, ADMIN)
async def get_promo_code(market: Market, who: str) -> Scene:
    made = await new_promo_code(market)
    request = promotion_service_pb2.GetPromoCodeRequest(promo_code_id=made.promo_code_id)
    return Scene(market.admin if who == "ADMIN" else market.shop.owner, (request,))


@PROMOTION.add("ListPromoCodes", SELLER, ADMIN)
async def list_promo_codes(market: Market, who: str) -> Scene:
    return Scene(None, (promotion_service_pb2.ListPromoCodesRequest(page_size=2),))


@PROMOTION.add("ValidatePromoCode", GUEST, BUYER)
async def validate_promo_code(market: Market, who: str) -> Scene:
    made = await new_promo_code(market)
    buyer, _ = await market.filled()
    return Scene(buyer, (promotion_service_pb2.ValidatePromoCodeRequest(code=made.code),))
