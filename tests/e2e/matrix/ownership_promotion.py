"""Whose the ids are in the requests about promo codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from google.protobuf.message import Message
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2

from tests.e2e.matrix.ownership_cases import Case, Owned, Question, filtered, plain, stranger
from tests.e2e.matrix.recipes_promotion import asked, new_promo_code
from tests.worlds.matrix import Market

S = "SELLER"
_NOT_READ = "the server's own field; test_server_owned shows that it is not read"
_PUBLIC = "it names something that everybody may see"


def _seller_id(market: Market) -> str:
    return market.shop.seller_id


def _product_id(market: Market) -> str:
    return market.goods.product_id


def shops_code(ask: Callable[[str], Any]) -> Case:
    """With a promo code of the shop."""

    async def case(market: Market, who: str) -> Question:
        return Question(stranger(market, who), (await new_promo_code(market)).promo_code_id, ask)

    return case


def of_own_code(foreign: Callable[[Market], str], ask: Callable[[str, str], Any]) -> Case:
    """The rival asks for its own promo code, and names something of the shop's; `ask` is told the code first."""

    async def case(market: Market, who: str) -> Question:
        own = await new_promo_code(market, market.rival)
        return Question(market.rival.owner, foreign(market), partial(ask, own.promo_code_id))

    return case


def updated(one: str) -> Message:
    return promotion_service_pb2.UpdatePromoCodeRequest(
        promo_code=promo_code_pb2.PromoCode(promo_code_id=one, description="Mine now", etag="stale")
    )


def scoped(own: str, one: str, field: str) -> Message:
    return promotion_service_pb2.UpdatePromoCodeRequest(
        promo_code=promo_code_pb2.PromoCode(promo_code_id=own, scope=promo_code_pb2.PromoCodeScope(**{field: [one]}))
    )


PROMOTIONS: Final[Mapping[str, Owned | str]] = {
    "CreatePromoCode.promo_code.promo_code_id": _NOT_READ,
    "CreatePromoCode.promo_code.seller_id": Owned(
        (S,), plain(_seller_id, lambda one: asked(seller_id=one)), is_attribute=True
    ),
    "CreatePromoCode.promo_code.scope.seller_ids": Owned(
        (S,), plain(_seller_id, lambda one: asked(scope={"seller_ids": [one]})), is_attribute=True
    ),
    "CreatePromoCode.promo_code.scope.category_ids": _PUBLIC,
    "CreatePromoCode.promo_code.scope.product_ids": Owned(
        (S,), plain(_product_id, lambda one: asked(scope={"product_ids": [one]})), is_attribute=True
    ),
    "UpdatePromoCode.promo_code.promo_code_id": Owned((S,), shops_code(updated)),
    "UpdatePromoCode.promo_code.seller_id": _NOT_READ,
    "UpdatePromoCode.promo_code.scope.seller_ids": Owned(
        (S,), of_own_code(_seller_id, partial(scoped, field="seller_ids")), is_attribute=True
    ),
    "UpdatePromoCode.promo_code.scope.category_ids": _PUBLIC,
    "UpdatePromoCode.promo_code.scope.product_ids": Owned(
        (S,), of_own_code(_product_id, partial(scoped, field="product_ids")), is_attribute=True
    ),
    "DisablePromoCode.promo_code_id": Owned(
        (S,), shops_code(lambda one: promotion_service_pb2.DisablePromoCodeRequest(promo_code_id=one))
    ),
    "GetPromoCode.promo_code_id": Owned(
        (S,), shops_code(lambda one: promotion_service_pb2.GetPromoCodeRequest(promo_code_id=one))
    ),
    "ListPromoCodes.page_token": "a token, which has tests of its own",
    "ListPromoCodes.seller_ids": Owned(
        (S,), filtered(promotion_service_pb2.ListPromoCodesRequest, "seller_ids", _seller_id)
    ),
}
"""By method and field, as in ownership.FIELDS."""
