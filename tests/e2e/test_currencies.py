"""The whole story in currencies with no, two and three decimal digits: offered, quoted, ordered, paid, given back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.message import Message
from google.type.decimal_pb2 import Decimal
from google.type.money_pb2 import Money as MoneyMessage
from marketd import app as composition
from marketd.kernel.call.caller import Role
from marketd.kernel.values.money import Money
from marketd.kernel.wire import from_money, to_money
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2

from tests.canary_looks import look_into
from tests.worlds.matrix import Market
from tests.worlds.parts import make_settings
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD, Person, address, new_key, payment
from tests.worlds.wire import Wire
from tests.worlds.workers import make_admin

PRICE_MINOR, FEE_MINOR = 12_505, 491
"""Every digit that a currency has is in use."""


class Abroad(Market):
    """A marketplace of another currency; the products of the recipes are priced in it."""

    @property
    def currency(self) -> str:
        """The currency's code."""
        return self.settings.currency

    async def call(self, request: Message, by: Person | None = None) -> Any:
        """Call; a product gets its price in this currency."""
        if isinstance(request, catalog_service_pb2.CreateProductRequest):
            self._reprice(request)
        return await super().call(request, by)

    def _reprice(self, message: Any) -> None:
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            for one in value if field.is_repeated else (value,):
                if isinstance(one, MoneyMessage):
                    one.CopyFrom(to_money(Money(PRICE_MINOR, self.currency)))
                elif isinstance(one, Message):
                    self._reprice(one)

    def minor(self, message: MoneyMessage) -> int:
        """The minor units of an amount, which is in this currency."""
        return from_money(message, self.currency, "amount").amount_minor


@pytest.fixture(params=["JPY", "EUR", "KWD"])
async def market(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> AsyncIterator[Abroad]:
    """A marketplace of each currency, with an administrator and a shop."""
    settings = make_settings(
        database_url, currency=request.param, delivery_fee_minor=FEE_MINOR, run_worker=False, mail_dir=tmp_path
    )
    app = await composition.build(settings)
    await app.start()
    await make_admin(settings)
    database = await asyncpg.connect(database_url)
    wire = Wire(f"127.0.0.1:{app.port}", [])
    made = Abroad(app, settings, wire, database, None)  # type: ignore[arg-type]  # there is one worker
    made.admin = await made.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD)
    made.shop = await made.open_shop()
    yield made
    await look_into(app)
    await wire.close()
    await app.stop(0)
    await database.close()


async def test_the_whole_story_is_told_in_each_currency(market: Abroad) -> None:
    offered = await market.product()
    imported = await _imported(market)
    buyer = await market.person(Role.BUYER)
    for variant_id, quantity in ((offered.variant_id, 2), (imported, 1)):
        await market.call(cart_service_pb2.AddCartItemRequest(variant_id=variant_id, quantity=quantity), buyer)
    quote = await market.call(cart_service_pb2.QuoteOrderRequest(address=address("Ada", 13.41)), buyer)
    total = 3 * PRICE_MINOR + FEE_MINOR
    assert market.minor(quote.total) == total

    place = order_service_pb2.PlaceOrderRequest(
        request_id=new_key(), quote_token=quote.quote_token, expected_total=quote.total
    )
    group = (await market.call(place, buyer)).order_group
    assert market.minor(group.total) == total
    paid = (await market.call(payment(group), buyer)).payment
    assert market.minor(paid.amount) == total

    for given_back in (1, total - 1):
        refund = payment_service_pb2.RefundPaymentRequest(
            request_id=new_key(),
            payment_id=group.payment.payment_id,
            order=payment_service_pb2.OrderRefund(
                order_id=group.orders[0].order_id, amount=to_money(Money(given_back, market.currency))
            ),
            reason="because",
        )
        await market.call(refund, market.admin)
    assert await market.value("SELECT refunded_amount_minor FROM payments") == total


async def test_codes_take_off_whole_minor_units_of_each_currency(market: Abroad) -> None:
    """12.5 % of 3 × 12,505 is 4,689.375: 4,689 minor units, of which 1,563 go with each piece that is cancelled."""
    offered, buyer = await market.product(), await market.person(Role.BUYER)
    percent, free = promo_code_pb2.PROMO_CODE_KIND_PERCENT, promo_code_pb2.PROMO_CODE_KIND_FREE_DELIVERY
    for code in (
        promo_code_pb2.PromoCode(code="ABROAD-PERCENT", kind=percent, stackable=True, percent=Decimal(value="12.5")),
        promo_code_pb2.PromoCode(code="ABROAD-FREE_DELIVERY", kind=free, stackable=True),
    ):
        await market.call(
            promotion_service_pb2.CreatePromoCodeRequest(request_id=new_key(), promo_code=code), market.admin
        )
    await market.call(cart_service_pb2.AddCartItemRequest(variant_id=offered.variant_id, quantity=3), buyer)
    await market.call(cart_service_pb2.ApplyPromoCodeRequest(code="abroad-percent"), buyer)
    cart = (await market.call(cart_service_pb2.ApplyPromoCodeRequest(code="abroad-free_delivery"), buyer)).cart
    assert (market.minor(cart.discount_amount), market.minor(cart.total)) == (4_689, 32_826)
    quote = await market.call(cart_service_pb2.QuoteOrderRequest(address=address("Ada", 13.41)), buyer)
    assert (market.minor(quote.delivery_discount_amount), market.minor(quote.total)) == (FEE_MINOR, 32_826)
    place = order_service_pb2.PlaceOrderRequest(
        request_id=new_key(), quote_token=quote.quote_token, expected_total=quote.total
    )
    group = (await market.call(place, buyer)).order_group
    await market.call(payment(group), buyer)
    (order,) = group.orders
    for pieces, amount, standing, state in ((1, 10_942, 3_126, "PAID"), (2, 21_884, 0, "CANCELLED")):
        line = order_service_pb2.CancelledLine(item_id=order.items[0].item_id, quantity=pieces)
        cancel = order_service_pb2.CancelOrderRequest(request_id=new_key(), order_id=order.order_id, lines=[line])
        order = (await market.call(cancel, buyer)).order
        assert market.minor(order.cancellations[-1].amount) == amount
        assert market.minor(order.promotions[0].discount_amount) == standing
        assert order_pb2.OrderState.Name(order.state) == f"ORDER_STATE_{state}"
    assert market.minor(order.cancelled_amount) == market.minor(order.total) == 32_826
    assert await market.value("SELECT sum(usage_count) FROM promo_codes") == 0


async def _imported(market: Abroad) -> str:
    """A variant that a file has brought, at the same price."""
    price = str(Money(PRICE_MINOR, market.currency)).partition(" ")[0].replace(",", "")
    lines = ("Handle,Title,Variant Price,Variant Inventory Qty", f"cup,Cup,{price},5", "")
    request = catalog_service_pb2.ImportProductsInlineRequest(csv="\n".join(lines).encode())
    request.options.publish = True
    await market.call(request, market.shop.owner)
    cup = catalog_service_pb2.GetProductRequest(slug="cup")
    return str((await market.call(cup, market.shop.owner)).product.variants[0].variant_id)
