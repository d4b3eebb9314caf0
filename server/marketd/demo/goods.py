"""What else is for sale in the story: a second shop, whose goods need no courier, and promo codes of both kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.type import decimal_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2

from marketd.demo.money import to_money
from marketd.demo.people import Cast, address_at
from marketd.demo.records import require
from marketd.demo.shop import opened
from marketd.demo.stage import Stage
from marketd.demo.traces.points import TracePoint

PERCENT = 10
_VOUCHER_MINOR = 3000
_SHOP_CODE_MINOR = 100
_VOUCHERS = 10


@dataclass(frozen=True)
class Voucher:
    """What the second shop sells."""

    seller_id: str
    product_id: str
    variant: product_pb2.Variant


@dataclass(frozen=True)
class Codes:
    """One of the marketplace, good for everything, and one of the first shop for its own goods."""

    everywhere: str
    shop: str


async def open_second_shop(stage: Stage, cast: Cast, place: TracePoint, currency: str) -> Voucher:
    """A neighbour opens a shop that sells vouchers."""
    async with stage.step("second_shop", "A second shop opens, whose vouchers need no courier") as detail:
        name = f"Demo Tastings {cast.suffix}"
        seller = await opened(cast, cast.neighbour, "neighbour", name, address_at(place, name, "Market Square 2"))
        product = product_pb2.Product(
            seller_id=seller.seller_id,
            title="Tasting for two, a voucher",
            description="An evening with eight small plates. We send the voucher by e-mail.",
            variants=[
                product_pb2.Variant(
                    price=to_money(_VOUCHER_MINOR, currency), requires_shipping=False, initial_quantity=_VOUCHERS
                )
            ],
        )
        made = (
            await cast.neighbour.catalog.CreateProduct(catalog_service_pb2.CreateProductRequest(product=product))
        ).product
        publish = catalog_service_pb2.PublishProductRequest(product_id=made.product_id)
        published = (await cast.neighbour.catalog.PublishProduct(publish)).product
        detail["seller_id"], detail["product_id"] = seller.seller_id, made.product_id
        require(published.state == product_pb2.PRODUCT_STATE_PUBLISHED, "the voucher is not on sale")
        return Voucher(seller.seller_id, made.product_id, made.variants[0])


async def make_codes(stage: Stage, cast: Cast, seller_id: str, currency: str) -> Codes:
    """The marketplace gives a share off everything, and the shop an amount off its own goods; each once a person."""
    async with stage.step("codes", "The marketplace and the shop each make a promo code") as detail:
        everywhere = promo_code_pb2.PromoCode(
            code=f"HELLO-{cast.suffix}",
            kind=promo_code_pb2.PROMO_CODE_KIND_PERCENT,
            percent=decimal_pb2.Decimal(value=str(PERCENT)),
            per_user_limit=1,
            stackable=True,
            description=f"{PERCENT} % off, from us.",
        )
        shop = promo_code_pb2.PromoCode(
            code=f"SHOP-{cast.suffix}",
            seller_id=seller_id,
            kind=promo_code_pb2.PROMO_CODE_KIND_FIXED,
            amount=to_money(_SHOP_CODE_MINOR, currency),
            per_user_limit=1,
            stackable=True,
            description="A little off, from the shop.",
        )
        made: list[promo_code_pb2.PromoCode] = []
        for maker, code in ((cast.admin, everywhere), (cast.seller, shop)):
            request = promotion_service_pb2.CreatePromoCodeRequest(promo_code=code)
            made.append((await maker.promotion.CreatePromoCode(request)).promo_code)
        detail["codes"] = [code.code for code in made]
        detail["funded_by"] = [funding(code.funded_by) for code in made]
        require(detail["funded_by"] == ["PLATFORM", "SELLER"], f"the codes are paid for by {detail['funded_by']}")
        active = all(code.state == promo_code_pb2.PROMO_CODE_STATE_ACTIVE for code in made)
        require(active, "a new code without a window is not ACTIVE")
        return Codes(made[0].code, made[1].code)


def funding(funded_by: promo_code_pb2.PromoCodeFunding.ValueType) -> str:
    """Who pays, as it is printed."""
    return promo_code_pb2.PromoCodeFunding.Name(funded_by).removeprefix("PROMO_CODE_FUNDING_")


def currency_of(products: Sequence[product_pb2.Product]) -> str:
    """The marketplace's currency, as its prices have it."""
    return products[0].price.currency_code
