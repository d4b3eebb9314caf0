"""ValidatePromoCode: what a code would take off the caller's cart as it is, and why not, changing nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from marketd.cart import repository as carts
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.ids import new_id
from marketplace.cart.v1 import cart_service_pb2
from marketplace.errors.v1 import error_reason_pb2 as reasons

from tests.worlds.goods import Shop
from tests.worlds.promos import FIXED, FREE_DELIVERY, Promos, euros, new_code, percent, window

NOT_FOUND = reasons.ERROR_REASON_PROMO_NOT_FOUND
EXPIRED = reasons.ERROR_REASON_PROMO_EXPIRED
EXHAUSTED = reasons.ERROR_REASON_PROMO_EXHAUSTED
NOT_APPLICABLE = reasons.ERROR_REASON_PROMO_NOT_APPLICABLE
DAY = timedelta(days=1)


class Cart:
    """A buyer's cart with two lamps at 10.00 of one shop and one at 5.55 of another."""

    def __init__(self, promos: Promos, buyer: Caller, shops: list[Shop], variants: list[UUID]) -> None:
        self.promos, self.buyer, self.shops, self.variants = promos, buyer, shops, variants

    @classmethod
    async def filled(cls, promos: Promos) -> Cart:
        """A new one."""
        market = promos.market
        buyer, shops = await market.buyer(), [await market.shop(), await market.shop()]
        variants = [await market.variant(shops[0]), await market.variant(shops[1], price_minor=555)]
        await market.add(buyer, variants[0], 2)
        await market.add(buyer, variants[1])
        return cls(promos, buyer, shops, variants)

    async def why_not(self, code: str) -> tuple[int, str]:
        """The reason why the code does not apply, and the words."""
        answer = await self.promos.validate(self.buyer, code)
        assert not answer.applicable
        assert answer.discount_amount == euros(0)
        assert not answer.line_discounts
        assert not answer.free_delivery
        return answer.problem.reason, answer.problem.message


@pytest.fixture
async def cart(promos: Promos) -> Cart:
    return await Cart.filled(promos)


async def test_a_code_says_what_it_takes_off_each_line(promos: Promos, cart: Cart) -> None:
    made = await promos.create(percent=percent("12.5"), description="An eighth off")
    before = await promos.market.cart(cart.buyer)
    answer = await promos.validate(cart.buyer, f"  {made.code.lower()} ")
    assert (answer.applicable, answer.code, answer.description) == (True, made.code, "An eighth off")
    assert answer.discount_amount == euros(319)  # of 25.55, half up
    assert not answer.HasField("problem")
    shares = {each.variant_id: each.discount_amount for each in answer.line_discounts}
    assert shares == {str(cart.variants[0]): euros(250), str(cart.variants[1]): euros(69)}
    assert await promos.market.cart(cart.buyer) == before
    assert await promos.uses(made.promo_code_id) == 0


async def test_fixed_amounts_and_free_deliveries(promos: Promos, cart: Cart) -> None:
    fixed = await promos.create(kind=FIXED, amount=euros(10_000))
    assert (await promos.validate(cart.buyer, fixed.code)).discount_amount == euros(2_555)
    free = await promos.create(kind=FREE_DELIVERY)
    answer = await promos.validate(cart.buyer, free.code)
    assert (answer.applicable, answer.free_delivery, answer.discount_amount) == (True, True, euros(0))


async def test_a_sellers_code_takes_off_its_own_goods(promos: Promos, cart: Cart) -> None:
    made = await promos.create(cart.shops[1].caller, percent=percent("50"))
    answer = await promos.validate(cart.buyer, made.code)
    assert [each.variant_id for each in answer.line_discounts] == [str(cart.variants[1])]
    assert answer.discount_amount == euros(278)


async def test_every_reason_and_what_to_do(promos: Promos, cart: Cart) -> None:
    market, now, other = promos.market, promos.market.clock.now(), await promos.market.shop()
    user_id = cart.buyer.known_user_id
    rows: list[tuple[dict[str, Any], int, str]] = [
        ({"window": window(None, now - DAY)}, EXPIRED, "was valid until"),
        ({"window": window(now + DAY)}, EXPIRED, "come back then"),
        ({"scope": {"seller_ids": [str(other.seller_id)]}}, NOT_APPLICABLE, "add what it is for"),
        ({"min_subtotal": euros(3_000)}, NOT_APPLICABLE, "add 4.45 EUR more"),
        (
            {"min_subtotal": euros(600), "scope": {"seller_ids": [str(cart.shops[1].seller_id)]}},
            NOT_APPLICABLE,
            "add 0.45 EUR more",
        ),
        ({"percent": percent("0.0001")}, NOT_APPLICABLE, "Nothing is left"),
    ]
    for fields, reason, words in rows:
        found, message = await cart.why_not((await promos.create(**fields)).code)
        assert found == reason
        assert words in message
    disabled = await promos.create()
    await promos.disable(market.admin, disabled.promo_code_id)
    assert (await cart.why_not(disabled.code))[0] == EXPIRED
    spent = await promos.create(usage_limit=1)
    await promos.redeem(new_id(), await promos.promotion(spent.promo_code_id))
    assert (await cart.why_not(spent.code))[0] == EXHAUSTED
    once = await promos.create(per_user_limit=1)
    await promos.redeem(user_id, await promos.promotion(once.promo_code_id))
    reason, message = await cart.why_not(once.code)
    assert (reason, "one account" in message) == (EXHAUSTED, True)
    first = await promos.create(first_order_only=True)
    assert (await promos.validate(cart.buyer, first.code)).applicable
    group = await market.place(cart.buyer)
    await market.add(cart.buyer, cart.variants[0], 2)
    reason, message = await cart.why_not(first.code)
    assert (reason, "ordered before" in message) == (NOT_APPLICABLE, True)
    await market.cancel(cart.buyer, group.orders[0].order_id)
    await market.cancel(cart.buyer, group.orders[1].order_id)
    assert (await promos.validate(cart.buyer, first.code)).applicable


async def test_of_a_code_that_there_is_not_nothing_is_told(promos: Promos, cart: Cart) -> None:
    code = new_code()
    answer = await promos.validate(cart.buyer, code)
    assert (answer.code, answer.problem.reason) == (code, NOT_FOUND)
    assert answer.problem.message == f"There is no promo code {code}; check how it is spelled."


async def test_a_category_holds_what_is_below_it(promos: Promos, cart: Cart) -> None:
    market = promos.market
    above, below, beside = [new_id() for _ in range(3)]
    for category_id, path in ((above, [above]), (below, [above, below]), (beside, [beside])):
        await market.execute(
            "INSERT INTO categories (category_id, parent_category_id, name, name_key, slug, description, position,"
            " path, version, create_time, update_time) VALUES ($1, $2, $3, $3, $3, '', 0, $4, 1, now(), now())",
            category_id,
            path[-2] if len(path) > 1 else None,
            category_id.hex,
            path,
        )
    await market.execute(
        "UPDATE products SET category_id = $1 WHERE product_id ="
        " (SELECT product_id FROM variants WHERE variant_id = $2)",
        below,
        cart.variants[1],
    )
    for wanted, applies in ((above, True), (below, True), (beside, False)):
        made = await promos.create(scope={"category_ids": [str(wanted)]})
        answer = await promos.validate(cart.buyer, made.code)
        assert answer.applicable == applies
        assert [each.variant_id for each in answer.line_discounts] == [str(cart.variants[1])] * applies


async def test_what_cannot_be_bought_counts_for_nothing(promos: Promos, cart: Cart) -> None:
    await promos.market.execute("UPDATE variants SET active = false WHERE variant_id = $1", cart.variants[0])
    made = await promos.create()
    assert (await promos.validate(cart.buyer, made.code)).discount_amount == euros(56)
    empty = await promos.market.buyer()
    assert (await promos.validate(empty, made.code)).problem.reason == NOT_APPLICABLE


async def test_what_is_on_the_cart_already_counts_first(promos: Promos, cart: Cart) -> None:
    market = promos.market
    applied, beside, alone = [
        await promos.create(kind=FIXED, amount=euros(555)),
        await promos.create(),
        await promos.create(stackable=False),
    ]
    request = cart_service_pb2.ApplyPromoCodeRequest(code=applied.code)
    await market.call(cart.buyer, market.carts.ApplyPromoCode, request)
    # In percent comes before fixed amounts, whichever was there first.
    assert (await promos.validate(cart.buyer, beside.code)).discount_amount == euros(256)
    assert (await promos.validate(cart.buyer, applied.code)).discount_amount == euros(555)
    reason, message = await cart.why_not(alone.code)
    assert reason == NOT_APPLICABLE
    assert message.endswith(f"cannot be used together with {applied.code}; remove {applied.code} to use it.")


async def test_guests_are_told_too(promos: Promos, cart: Cart) -> None:
    guest_cart_id = new_id()
    guest = Caller(None, None, frozenset({Role.GUEST}), guest_cart_id=guest_cart_id)
    market = promos.market
    await market.tx.run(
        "test.guest", lambda uow: carts.open_guest_cart(uow.connection, guest_cart_id, market.clock.now())
    )
    await market.add(guest, cart.variants[0], 1)
    made = await promos.create(per_user_limit=1, first_order_only=True)
    assert (await promos.validate(guest, made.code)).discount_amount == euros(100)
