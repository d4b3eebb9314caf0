"""Promo codes on carts on real Postgres: what they take off is shown, what they cannot is said, and they leave with the
order that uses them.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from marketd.auth.ports import MergeStrategy
from marketd.cart.errors import PromoCodeNotApplied, TooManyPromoCodes
from marketd.cart.merge import merge_guest_cart
from marketd.cart.read import create_guest_cart
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import Refusal
from marketd.promotion.errors import PromoExhausted, PromoExpired, PromoNotApplicable, PromoNotFound
from marketplace.cart.v1 import cart_pb2, cart_service_pb2

from tests.worlds.codes import Codes
from tests.worlds.ordering import PRICING, Market, minor
from tests.worlds.promos import euros, window


@pytest.fixture
def codes(market: Market) -> Codes:
    """The promo codes of the marketplace."""
    return Codes(market)


def _shown(cart: cart_pb2.Cart) -> list[tuple[str, int, str]]:
    """Each code with what it takes off, and the kind of its problem."""
    return [
        (
            applied.code,
            minor(applied.discount_amount),
            cart_pb2.ProblemKind.Name(applied.problem.kind).removeprefix("PROBLEM_KIND_")
            if applied.HasField("problem")
            else "",
        )
        for applied in cart.promo_codes
    ]


async def test_a_code_takes_off_what_it_says_until_it_is_removed(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop(), price_minor=1_999)
    before = await market.add(buyer, lamp, 3)
    code = await codes.off("10", code="Spring-10" + uuid4().hex[:8])
    cart = await codes.apply(buyer, f"  {code.upper()} ")
    assert _shown(cart) == [(code, 600, "")]
    assert (minor(cart.subtotal), minor(cart.discount_amount), minor(cart.total)) == (5_997, 600, 5_397)
    assert cart.etag != before.etag
    assert cart == await market.cart(buyer)
    assert await codes.apply(buyer, code) == cart, "what is there already changes nothing"
    fewer = await codes.remove(buyer, code.lower())
    assert (_shown(fewer), minor(fewer.discount_amount), minor(fewer.total)) == ([], 0, 5_997)
    with pytest.raises(PromoCodeNotApplied, match="is not on the cart"):
        await codes.remove(buyer, code)
    assert await codes.remove(buyer, code, allow_missing=True) == fewer
    assert await codes.remove(buyer, "nothing-like-it", allow_missing=True) == fewer
    assert await codes.used(code) == 0, "a cart uses nothing"


async def test_what_no_purchase_mends_is_refused_and_leaves_the_cart_as_it_was(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    before = await market.add(buyer, lamp)
    now = market.clock.now()
    over = await codes.off(window=window(now - timedelta(days=2), now - timedelta(days=1)))
    early = await codes.off(window=window(now + timedelta(days=1)))
    once = await codes.off(usage_limit=1)
    await codes.placed(await market.buyer(), [(lamp, 1)], once)
    mine = await codes.off(per_user_limit=1)
    await codes.placed(buyer, [], mine)
    before = await market.add(buyer, lamp)
    refusals: list[tuple[str, type[Refusal]]] = [
        ("no-such-code", PromoNotFound),
        (over, PromoExpired),
        (early, PromoExpired),
        (once, PromoExhausted),
        (mine, PromoExhausted),
    ]
    for code, refusal in refusals:
        with pytest.raises(refusal):
            await codes.apply(buyer, code)
    assert await market.cart(buyer) == before


async def test_codes_that_do_not_stack_name_which_to_remove(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, lamp)
    alone, other = await codes.off(stackable=False), await codes.less(100)
    await codes.apply(buyer, alone)
    with pytest.raises(PromoNotApplicable, match=alone):
        await codes.apply(buyer, other)
    await codes.remove(buyer, alone)
    await codes.apply(buyer, other)
    with pytest.raises(PromoNotApplicable, match=other):
        await codes.apply(buyer, alone)
    assert [each.code for each in (await market.cart(buyer)).promo_codes] == [other]


async def test_a_cart_takes_five_codes(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, lamp, 10)
    given = [await codes.less(10) for _ in range(6)]
    for code in given[:5]:
        cart = await codes.apply(buyer, code)
    assert [each.code for each in cart.promo_codes] == given[:5]
    with pytest.raises(TooManyPromoCodes):
        await codes.apply(buyer, given[5])
    assert minor(cart.discount_amount) == 50


async def test_a_code_that_does_not_fit_yet_stays_and_counts_once_it_does(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    code = await codes.less(300, min_subtotal=euros(2_000))
    cart = await codes.apply(buyer, code)
    assert _shown(cart) == [(code, 0, "PROMO_NOT_APPLICABLE")]
    cart = await market.add(buyer, lamp)
    assert _shown(cart) == [(code, 0, "PROMO_NOT_APPLICABLE")]
    assert not cart.promo_codes[0].problem.blocking
    assert "10.00" in cart.promo_codes[0].problem.message, "how much is missing"
    quote = await market.quote(buyer)
    assert [(problem.promo_code, problem.blocking) for problem in quote.problems] == [(code, False)]
    assert (minor(quote.discount_amount), len(quote.promotions)) == (0, 0)
    await market.place_quote(buyer, quote)
    left = await market.cart(buyer)
    assert (_shown(left), len(left.items)) == ([(code, 0, "PROMO_NOT_APPLICABLE")], 0), "what was not used stays"
    assert await codes.used(code) == 0
    cart = await market.add(buyer, lamp, 2)
    assert (_shown(cart), minor(cart.total)) == ([(code, 300, "")], 1_700)
    await market.place_quote(buyer, await market.quote(buyer))
    assert _shown(await market.cart(buyer)) == [], "what was ordered takes its code along"
    assert await codes.used(code) == 1
    assert await market.violations() == []


async def test_clearing_a_cart_takes_its_codes_off(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    code = await codes.off()
    await codes.apply(buyer, code)
    cleared = (await market.call(buyer, market.carts.ClearCart, cart_service_pb2.ClearCartRequest())).cart
    assert _shown(cleared) == []
    await market.add(buyer, lamp)
    await codes.apply(buyer, code)
    again = (await market.call(buyer, market.carts.ClearCart, cart_service_pb2.ClearCartRequest())).cart
    assert (len(again.items), _shown(again)) == (0, [])
    third = (await market.call(buyer, market.carts.ClearCart, cart_service_pb2.ClearCartRequest())).cart
    assert third.etag == again.etag


async def test_a_repeat_with_the_same_request_id_gets_the_first_answer(market: Market, codes: Codes) -> None:
    buyer, lamp = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, lamp)
    code, request_id = await codes.off(), str(uuid4())
    first = await codes.apply(buyer, code, request_id)
    await codes.remove(buyer, code)
    assert await codes.apply(buyer, code, request_id) == first
    assert _shown(await market.cart(buyer)) == []


async def _guest(market: Market) -> Caller:
    made = await market.tx.run("test.guest", lambda uow: create_guest_cart(uow, PRICING))
    return Caller(None, None, frozenset({Role.GUEST}), guest_cart_id=made.cart.cart_id)


async def test_a_guests_codes_come_along_once_and_what_there_is_no_room_for_is_reported(
    market: Market, codes: Codes
) -> None:
    guest, buyer, lamp = await _guest(market), await market.buyer(), await market.variant(await market.shop())
    both, *own = [await codes.less(10) for _ in range(4)]
    more = [await codes.less(20) for _ in range(2)]
    for code in (both, *own):
        await codes.apply(buyer, code)
    for code in (*more, both):
        await codes.apply(guest, code)
    cart = await market.add(guest, lamp, 2)
    assert minor(cart.discount_amount) == 50
    assert guest.guest_cart_id is not None
    cart_id = guest.guest_cart_id
    report = await market.tx.run(
        "test.merge", lambda uow: merge_guest_cart(uow, buyer.known_user_id, cart_id, MergeStrategy.SUM)
    )
    assert report is not None
    assert (report.promo_codes, report.dropped_promo_codes) == ((more[0], both), (more[1],))
    merged = await market.cart(buyer)
    assert [each.code for each in merged.promo_codes] == [both, *own, more[0]]
    assert minor(merged.discount_amount) == 4 * 10 + 20


async def test_of_a_guest_nothing_is_known_that_speaks_against_a_code(market: Market, codes: Codes) -> None:
    buyer, guest = await market.buyer(), await _guest(market)
    lamp = await market.variant(await market.shop())
    code = await codes.off(first_order_only=True)
    await codes.placed(buyer, [(lamp, 1)])
    await market.add(buyer, lamp)
    assert _shown(await codes.apply(buyer, code)) == [(code, 0, "PROMO_NOT_APPLICABLE")]
    await market.add(guest, lamp)
    assert _shown(await codes.apply(guest, code)) == [(code, 100, "")]
