"""What an order tells its shop about promo codes: what they take off, and no code that the shop could use itself."""

from __future__ import annotations

from marketplace.order.v1 import order_service_pb2

from tests.worlds.codes import Codes, amounts
from tests.worlds.ordering import Market


async def test_a_shop_cannot_read_a_voucher_of_the_marketplace_and_refuse_its_order(market: Market) -> None:
    buyer, shop, codes = await market.buyer(), await market.shop(), Codes(market)
    lamp = await market.variant(shop, price_minor=5_000)
    voucher, free = await codes.off("50", usage_limit=1), await codes.free_delivery()
    own = await codes.of_shop(shop, "5")
    placed = (await codes.placed(buyer, [(lamp, 1)], voucher, free, own)).orders[0]
    assert amounts(placed.promotions) == [(voucher, 2_500, 0), (own, 125, 0), (free, 0, 490)]
    request = order_service_pb2.GetReceiptRequest(order_id=placed.order_id)
    for caller, known in ((shop.caller, {own}), (buyer, {voucher, own, free}), (market.admin, {voucher, own, free})):
        order = await market.get(caller, placed.order_id)
        receipt = (await market.call(caller, market.orders.GetReceipt, request)).receipt
        assert set(order.promo_codes) == known
        for told in (order.promotions, receipt.promotions):
            assert {each.code for each in told if each.code} == known
            assert [(each.promo_code_id, each.funded_by) for each in told] == [
                (each.promo_code_id, each.funded_by) for each in placed.promotions
            ]
            assert [numbers for _, *numbers in amounts(told)] == [[2_500, 0], [125, 0], [0, 490]]
        for text in (receipt.text, receipt.html):
            assert {code for code in (voucher, free, own) if code in text} == known
    refused = await market.reject(shop, placed.order_id)
    assert (list(refused.promo_codes), await codes.used(voucher)) == ([own], 0)
