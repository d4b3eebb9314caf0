"""Quotes and orders of shops that are closed: what they promise, when they are refused, and what the order keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.order.errors import ShopClosed
from marketd.seller.update import update_seller
from marketd.seller.values import OpeningException, SellerChange
from marketplace.cart.v1 import cart_pb2
from marketplace.order.v1 import order_pb2

from tests.worlds.goods import Shop
from tests.worlds.ordering import Market
from tests.worlds.parts import make_settings

HOUR = timedelta(hours=1)


def instant(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def clock_of(moment: datetime) -> Mapping[str, int]:
    return {"hours": moment.hour, "minutes": moment.minute}


async def opens_only(market: Market, shop: Shop, ahead: timedelta) -> datetime:
    """The shop is open for an hour a week, and next `ahead` of now or a little before; when that is."""
    opens = (market.clock.now() + ahead).replace(second=0, microsecond=0)
    hours = {"day": opens.isoweekday(), "open_time": clock_of(opens), "close_time": clock_of(opens + HOUR)}
    await _set_hours(market, shop, [hours], [])
    return opens


async def _set_hours(market: Market, shop: Shop, hours: list[Any], exceptions: list[Any]) -> None:
    await market.execute(
        "UPDATE sellers SET time_zone = 'UTC', opening_hours = $2::text::jsonb, opening_exceptions = $3::text::jsonb"
        " WHERE seller_id = $1",
        shop.seller_id,
        json.dumps(hours),
        json.dumps(exceptions),
    )


async def test_a_closed_shop_prepares_from_its_opening_on_and_the_order_keeps_when(market: Market) -> None:
    buyer, shop, open_shop = await market.buyer(), await market.shop(), await market.shop()
    lamp, chair = await market.variant(shop), await market.variant(open_shop)
    opens = await opens_only(market, shop, timedelta(hours=20))
    await market.add(buyer, lamp)
    await market.add(buyer, chair)
    quote = await market.quote(buyer)
    assert not quote.problems
    packages = {package.seller_id: package for package in quote.packages}
    closed, other = packages[str(shop.seller_id)], packages[str(open_shop.seller_id)]
    assert instant(closed.open_time) == opens
    assert instant(closed.eta.earliest_time) >= opens, "nothing arrives before the shop opens"
    assert not other.HasField("open_time")
    assert instant(other.eta.latest_time) < opens
    group = await market.place_quote(buyer, quote)
    orders = {order.seller_id: order for order in group.orders}
    kept = orders[str(shop.seller_id)]
    assert instant(kept.shop_open_time) == opens
    assert kept.eta == closed.eta
    assert not orders[str(open_shop.seller_id)].HasField("shop_open_time")
    assert (await market.get(buyer, kept.order_id)).shop_open_time == kept.shop_open_time


async def test_what_a_shop_changes_after_the_quote_counts_from_the_next_one_on(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop), 2)
    quote = await market.quote(buyer)
    (package,) = quote.packages
    day = (market.clock.now() - timedelta(days=1)).date()
    change = SellerChange(
        seller_id=shop.seller_id,
        etag="",
        shop_name="Renamed",
        description=None,
        pickup_address=lambda former: replace(former, city="Potsdam"),
        contact=None,
        prep_duration=timedelta(hours=5),
        time_zone="UTC",
        opening_hours=None,
        opening_exceptions=tuple(OpeningException(day + timedelta(days=ahead)) for ahead in range(5)),
        logo=None,
    )
    await market.tx.run("test.update", lambda uow: update_seller(uow, shop.caller, change))
    (order,) = (await market.place_quote(buyer, quote)).orders
    assert (order.shop_name, order.eta) == (package.shop_name, package.eta)
    assert not order.HasField("shop_open_time")
    pickup = await market.value("SELECT pickup ->> 'city' FROM orders")
    assert pickup == "Berlin"
    await market.add(buyer, await market.variant(shop))
    later = await market.quote(buyer)
    assert [problem.kind for problem in later.problems] == [cart_pb2.PROBLEM_KIND_SELLER_CLOSED]
    assert later.packages[0].shop_name == "Renamed"


async def test_a_shop_that_opens_too_late_takes_no_order_and_says_when_it_opens(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop))
    opens = await opens_only(market, shop, timedelta(hours=30))
    quote = await market.quote(buyer)
    (problem,) = quote.problems
    assert (problem.kind, problem.blocking) == (cart_pb2.PROBLEM_KIND_SELLER_CLOSED, True)
    assert problem.seller_id == str(shop.seller_id)
    assert f"{opens:%A, %Y-%m-%d at %H:%M} (UTC)" in problem.message
    assert instant(quote.packages[0].open_time) == opens
    assert not quote.HasField("quote_token")
    market.clock.ahead += timedelta(hours=7)
    assert (await market.quote(buyer)).HasField("quote_token"), "a day before it opens it takes orders"


async def test_a_shop_that_never_opens_promises_nothing(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop))
    today = market.clock.now().date()
    closed = [{"date": (today + timedelta(days=day)).isoformat(), "spans": [], "note": ""} for day in range(-1, 368)]
    await _set_hours(market, shop, [], closed)
    quote = await market.quote(buyer)
    assert [problem.kind for problem in quote.problems] == [cart_pb2.PROBLEM_KIND_SELLER_CLOSED]
    assert "does not say when it opens" in quote.problems[0].message
    (package,) = quote.packages
    assert not package.HasField("open_time")
    assert not package.HasField("eta")
    assert not quote.HasField("eta")


@pytest.mark.parametrize("seconds", [0, 3600])
async def test_the_setting_says_how_long_before_it_opens(market: Market, seconds: int) -> None:
    settings = make_settings(order_ahead=timedelta(seconds=seconds))
    strict = Market(market.tx, market.clock, settings=settings)
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop))
    await opens_only(market, shop, timedelta(seconds=seconds) + timedelta(minutes=2))
    assert [problem.kind for problem in (await strict.quote(buyer)).problems] == [cart_pb2.PROBLEM_KIND_SELLER_CLOSED]
    market.clock.ahead += timedelta(seconds=seconds) + timedelta(minutes=3)
    assert (await strict.quote(buyer)).HasField("quote_token"), "it is open now"


async def test_an_order_keeps_to_its_quote_when_the_shop_changes_its_hours(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop))
    opens = await opens_only(market, shop, timedelta(hours=5))
    quote = await market.quote(buyer)
    await opens_only(market, shop, timedelta(hours=50))
    (order,) = (await market.place_quote(buyer, quote)).orders
    assert instant(order.shop_open_time) == opens


async def test_the_seller_has_its_hour_from_the_opening_on(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    lamp = await market.variant(shop)
    opens = await opens_only(market, shop, timedelta(hours=20))
    group = await market.paid(buyer, (lamp, 1))
    paid = await market.get(buyer, group.orders[0].order_id)
    assert instant(paid.accept_expire_time) == opens + HOUR
    await market.run_jobs(ahead=timedelta(hours=20))
    assert (await market.get(buyer, paid.order_id)).state == order_pb2.ORDER_STATE_PAID
    accepted = await market.accept(shop, paid.order_id)
    assert instant(accepted.expected_ready_time) == opens + timedelta(minutes=10)
    await market.cancel(buyer, paid.order_id)

    late = await market.paid(buyer, (lamp, 1))
    await market.run_jobs(ahead=timedelta(hours=21, minutes=1))
    assert (await market.get(buyer, late.orders[0].order_id)).state == order_pb2.ORDER_STATE_CANCELLED
    assert await market.violations() == []


async def test_a_shop_that_sells_no_more_has_one_problem_and_not_two(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop))
    await opens_only(market, shop, timedelta(hours=50))
    await market.execute("UPDATE sellers SET state = 'SUSPENDED' WHERE seller_id = $1", shop.seller_id)
    of_the_shop = [problem for problem in (await market.quote(buyer)).problems if not problem.HasField("item_id")]
    assert [problem.kind for problem in of_the_shop] == [cart_pb2.PROBLEM_KIND_SELLER_CLOSED]
    assert "takes no orders now" in of_the_shop[0].message


async def test_a_quote_whose_shop_sells_no_more_is_still_refused(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    await market.add(buyer, await market.variant(shop))
    await opens_only(market, shop, timedelta(hours=5))
    quote = await market.quote(buyer)
    await market.execute("UPDATE sellers SET state = 'SUSPENDED' WHERE seller_id = $1", shop.seller_id)
    with pytest.raises(ShopClosed):
        await market.place_quote(buyer, quote)
