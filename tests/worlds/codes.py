"""Promo codes where they are used: on carts, in quotes and in orders of the ordering tests' marketplace."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.order.v1 import order_pb2

from tests.worlds.goods import Shop
from tests.worlds.ordering import minor, parsed
from tests.worlds.promos import FIXED, FREE_DELIVERY, PERCENT, Promos, euros, percent


class Codes(Promos):
    """The calls around promo codes on a market."""

    async def off(self, percentage: str = "10", **fields: Any) -> str:
        """A code that takes so many percent off, for everything unless said otherwise."""
        return (await self.create(kind=PERCENT, percent=percent(percentage), **fields)).code

    async def less(self, cents: int, **fields: Any) -> str:
        """A code that takes a fixed amount off."""
        return (await self.create(kind=FIXED, amount=euros(cents), **fields)).code

    async def free_delivery(self, **fields: Any) -> str:
        """A code that makes the delivery free."""
        return (await self.create(kind=FREE_DELIVERY, **fields)).code

    async def of_shop(self, shop: Shop, percentage: str = "10", **fields: Any) -> str:
        """A code of a shop's own, which that shop pays."""
        return (await self.create(shop.caller, kind=PERCENT, percent=percent(percentage), **fields)).code

    async def apply(self, buyer: Caller, code: str, request_id: str = "") -> cart_pb2.Cart:
        """ApplyPromoCode."""
        request = cart_service_pb2.ApplyPromoCodeRequest(code=code, request_id=request_id)
        answer: Any = await self.market.call(buyer, self.market.carts.ApplyPromoCode, request)
        return parsed(answer, cart_service_pb2.ApplyPromoCodeResponse).cart

    async def remove(self, buyer: Caller, code: str, *, allow_missing: bool = False) -> cart_pb2.Cart:
        """RemovePromoCode."""
        request = cart_service_pb2.RemovePromoCodeRequest(code=code, allow_missing=allow_missing)
        return (await self.market.call(buyer, self.market.carts.RemovePromoCode, request)).cart

    async def placed(
        self, buyer: Caller, lines: list[tuple[UUID, int]], *codes: str, is_paid: bool = True
    ) -> order_pb2.OrderGroup:
        """An order of these lines with these codes, paid unless said otherwise, as it was placed."""
        for variant_id, quantity in lines:
            await self.market.add(buyer, variant_id, quantity)
        for code in codes:
            await self.apply(buyer, code)
        group = await self.market.place_quote(buyer, await self.market.quote(buyer))
        if is_paid and minor(group.total):
            await self.market.confirm(buyer, group.payment.payment_id)
        return group

    async def used(self, code: str) -> int:
        """How often the code is used now; `usage_count`, the account's uses and the redemptions must say the same."""
        row = await self.market.value(
            "SELECT ARRAY[p.usage_count,"
            " (SELECT coalesce(sum(u.count), 0) FROM promo_uses u WHERE u.promo_code_id = p.promo_code_id),"
            " (SELECT count(*) FROM promo_redemptions r WHERE r.promo_code_id = p.promo_code_id"
            "   AND r.give_back_time IS NULL)] FROM promo_codes p WHERE p.code = $1",
            code,
        )
        count, *others = (int(each) for each in row)
        assert others == [count, count]
        return count


def amounts(promotions: Any) -> list[tuple[str, int, int]]:
    """What promotions take off: code, of the lines, of the delivery."""
    return [(each.code, minor(each.discount_amount), minor(each.delivery_discount_amount)) for each in promotions]
