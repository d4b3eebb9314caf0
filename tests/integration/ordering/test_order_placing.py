"""PlaceOrder on real Postgres: one transaction, once, never oversold, at the quoted prices or not at all."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import MutableMapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.cart.errors import QuoteExpired
from marketd.inventory.errors import InsufficientStock
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import RequestIdReused, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events import outbox
from marketd.order.errors import PriceChanged, ShopClosed
from marketplace.cart.v1.cart_service_pb2 import QuoteOrderResponse
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2
from structlog.testing import capture_logs

from tests.worlds.ordering import Market, minor, money, stored


def _deadlocks(logs: Sequence[MutableMapping[str, Any]]) -> list[object]:
    """The transactions that Postgres had undone (the transactor runs them again, and says so)."""
    return [entry for entry in logs if entry["event"] == "transaction_retry"]


async def test_an_order_a_seller_with_everything_frozen_in_it(market: Market) -> None:
    buyer, one, two = await market.buyer(), await market.shop(), await market.shop()
    lamp, lamp_too = await market.variants(one, 2, price_minor=1_250)
    chair = await market.variant(two, price_minor=9_900)
    group = await market.place(buyer, (lamp, 2), (lamp_too, 1), (chair, 1))
    assert minor(group.total) == 3 * 1_250 + 9_900 + 2 * 490
    assert group.payment.state == payment_pb2.PAYMENT_STATE_PENDING
    assert minor(group.payment.amount) == minor(group.total)
    assert len(group.orders) == 2
    for order in group.orders:
        assert order.state == order_pb2.ORDER_STATE_PENDING_PAYMENT
        assert list(order.allowed_actions) == [order_pb2.ORDER_ACTION_PAY, order_pb2.ORDER_ACTION_CANCEL]
        assert order.address.recipient == "Ada"
        assert order == await market.get(buyer, order.order_id)
    of_one = next(order for order in group.orders if order.seller_id == str(one.seller_id))
    assert {(item.variant_id, item.quantity, minor(item.line_total)) for item in of_one.items} == {
        (str(lamp), 2, 2_500),
        (str(lamp_too), 1, 1_250),
    }
    assert of_one.items[0].options["Size"] in ("0", "1")
    assert [await market.reserved(variant) for variant in (lamp, lamp_too, chair)] == [2, 1, 1]
    assert not (await market.cart(buyer)).items
    events = await market.tx.read(lambda unit: outbox.read_aggregate(unit.connection, UUID(of_one.order_id), 0))
    assert [event.event_type for event in events] == ["order.placed"]
    assert await market.violations() == []


async def test_pieces_added_after_the_quote_stay_in_the_cart(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, variant, 2)
    quote = await market.quote(buyer)
    before = await market.add(buyer, variant, 3)
    await market.place_quote(buyer, quote)
    after = await market.cart(buyer)
    assert [item.quantity for item in after.items] == [3]
    assert after.etag != before.etag, "the cart is another one"


@pytest.mark.faults  # two processes of it race in every run
async def test_two_hundred_buyers_race_for_fifty_units_and_fifty_win(market: Market, other: Market) -> None:
    shop = await market.shop()
    scarce, plenty = await market.variant(shop, stock=50), await market.variant(shop, stock=1_000)
    naively = await market.variant(shop, stock=50)
    buyers = [await market.buyer() for _ in range(200)]
    gate = asyncio.Semaphore(8)

    async def quoted(index: int) -> QuoteOrderResponse:
        async with gate:
            for variant in (scarce, plenty) if index % 2 else (plenty, scarce):
                await market.add(buyers[index], variant)
            return await market.quote(buyers[index])

    # As many at once as both pools together hold: whoever waited for a connection would be refused on a busy machine.
    door = asyncio.Semaphore(40)

    async def placed(index: int) -> order_pb2.OrderGroup:
        async with door:
            return await market.place_quote(buyers[index], quotes[index], orders=(market, other)[index % 2].orders)

    quotes = await asyncio.gather(*(quoted(index) for index in range(200)))
    with capture_logs() as logs:
        results = await asyncio.gather(*(placed(index) for index in range(200)), return_exceptions=True)
    won = [result for result in results if isinstance(result, order_pb2.OrderGroup)]
    lost = [result for result in results if isinstance(result, InsufficientStock)]
    assert (len(won), len(lost)) == (50, 150)
    assert lost[0].metadata["variantId"] == str(scarce)
    assert await market.reserved(scarce) == await market.reserved(plenty) == 50
    assert await market.value("SELECT count(*) FROM orders") == 50
    assert _deadlocks(logs) == []
    assert await market.violations() == []

    # The control: whoever reads, thinks and writes sells more than there is in the same race.
    together = asyncio.Barrier(10)

    async def naive(uow: UnitOfWork) -> bool:
        reserved = await uow.connection.fetchval("SELECT reserved FROM stocks WHERE variant_id = $1", naively)
        await together.wait()
        if reserved >= 50:
            return False
        await uow.connection.execute("UPDATE stocks SET reserved = $2 WHERE variant_id = $1", naively, reserved + 1)
        return True

    sold = await asyncio.gather(*((market, other)[index % 2].tx.run("test.naive", naive) for index in range(200)))
    assert sum(sold) > 50


async def test_fifty_calls_with_one_request_id_make_one_order_and_one_answer(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, variant, 2)
    quote = await market.quote(buyer)
    request = order_service_pb2.PlaceOrderRequest(
        request_id=str(uuid4()), quote_token=quote.quote_token, expected_total=quote.total
    )
    answers = await asyncio.gather(
        *(market.call(buyer, (market, other)[n % 2].orders.PlaceOrder, request) for n in range(50))
    )
    assert len({stored(answer) for answer in answers}) == 1
    assert await market.value("SELECT count(*) FROM order_groups") == 1
    assert await market.reserved(variant) == 2
    request.expected_total.units += 1
    with pytest.raises(RequestIdReused):
        await market.call(buyer, market.orders.PlaceOrder, request)


async def test_a_replay_says_so(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    request_id = str(uuid4())
    first = await market.place_quote(buyer, quote, request_id=request_id)
    assert await market.place_quote(buyer, quote, request_id=request_id) == first


async def test_a_quote_is_ordered_once(market: Market, other: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, variant, 2)
    quote = await market.quote(buyer)
    results = await asyncio.gather(
        *(market.place_quote(buyer, quote, orders=(market, other)[n % 2].orders) for n in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, order_pb2.OrderGroup) for result in results) == 1
    assert sum(isinstance(result, QuoteExpired) for result in results) == 9


async def test_old_foreign_and_forged_quotes_are_refused(market: Market) -> None:
    buyer, stranger, variant = await market.buyer(), await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    with pytest.raises(QuoteExpired):
        await market.place_quote(stranger, quote)
    raw = bytearray(base64.urlsafe_b64decode(quote.quote_token + "=="))
    raw[3] ^= 1
    forged = type(quote)(total=quote.total, quote_token=base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))
    for token in (forged.quote_token, "x", "é", ""):
        forged.quote_token = token
        with pytest.raises(ValidationFailed):
            await market.place_quote(buyer, forged)
    market.clock.ahead = timedelta(minutes=15, seconds=1)
    with pytest.raises(QuoteExpired):
        await market.place_quote(buyer, quote)
    assert await market.value("SELECT count(*) FROM orders") == 0


async def test_changed_prices_are_refused_with_both_prices_and_cost_nothing(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    same, dearer = await market.variant(shop), await market.variant(shop)
    await market.add(buyer, same, 2)
    await market.add(buyer, dearer, 3)
    quote = await market.quote(buyer)
    await market.set_price(dearer, 1_100)
    with pytest.raises(PriceChanged) as refusal:
        await market.place_quote(buyer, quote)
    assert refusal.value.metadata == {"expected": "54.90 EUR", "actual": "57.90 EUR"}
    assert [violation.subject for violation in refusal.value.preconditions] == [str(dearer)]
    await market.set_price(dearer, 900)
    with pytest.raises(PriceChanged) as refusal:
        await market.place_quote(buyer, quote)
    assert refusal.value.metadata == {"expected": "54.90 EUR", "actual": "51.90 EUR"}, "nobody pays more than it costs"
    await market.set_price(dearer, 1_000)
    for expected in (money(minor(quote.total) - 1), money(minor(quote.total) + 1)):
        with pytest.raises(PriceChanged):
            await market.place_quote(buyer, quote, expected=expected)
    # The refusals undid the use of the quote.
    assert len((await market.place_quote(buyer, quote)).orders) == 1


async def test_a_closed_seller_and_an_archived_product_are_refused(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    await market.execute("UPDATE sellers SET state = 'SUSPENDED'")
    with pytest.raises(ShopClosed):
        await market.place_quote(buyer, quote)
    await market.execute("UPDATE sellers SET state = 'ACTIVE'")
    await market.execute("UPDATE products SET state = 'ARCHIVED'")
    with pytest.raises(QuoteExpired):
        await market.place_quote(buyer, quote)


async def test_all_short_lines_are_named_and_nothing_is_reserved(market: Market) -> None:
    buyer, shop = await market.buyer(), await market.shop()
    variants = [await market.variant(shop, stock=5) for _ in range(3)]
    for variant in variants:
        await market.add(buyer, variant, 5)
    quote = await market.quote(buyer)
    for variant in variants[:2]:
        await market.execute("UPDATE stocks SET reserved = 2 WHERE variant_id = $1", variant)
    with pytest.raises(InsufficientStock) as refusal:
        await market.place_quote(buyer, quote)
    assert {violation.subject for violation in refusal.value.preconditions} == set(map(str, variants[:2]))
    assert [await market.reserved(variant) for variant in variants] == [2, 2, 0]
    assert (await market.cart(buyer)).total_quantity == 15


async def test_orders_of_many_variants_in_any_order_never_deadlock(market: Market, other: Market) -> None:
    shop = await market.shop()
    variants = await market.variants(shop, 12, stock=1_000)

    async def one(index: int) -> None:
        buyer, worker = await market.buyer(), (market, other)[index % 2]
        for step in range(5):
            await worker.add(buyer, variants[(index * 7 + step * 5) % 12])
        await worker.place_quote(buyer, await worker.quote(buyer))

    with capture_logs() as logs:
        await asyncio.gather(*(one(index) for index in range(40)))
    assert await market.value("SELECT count(*) FROM orders") == 40
    assert _deadlocks(logs) == []
    assert await market.violations() == []


async def test_a_call_that_was_refused_may_be_repeated_with_its_request_id(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop(), stock=1)
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    await market.execute("UPDATE stocks SET reserved = 1 WHERE variant_id = $1", variant)
    request_id = str(uuid4())
    with pytest.raises(InsufficientStock):
        await market.place_quote(buyer, quote, request_id=request_id)
    await market.execute("UPDATE stocks SET reserved = 0 WHERE variant_id = $1", variant)
    assert len((await market.place_quote(buyer, quote, request_id=request_id)).orders) == 1


async def test_unknown_providers_are_refused(market: Market) -> None:
    buyer, variant = await market.buyer(), await market.variant(await market.shop())
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    request = order_service_pb2.PlaceOrderRequest(
        request_id=str(uuid4()), quote_token=quote.quote_token, expected_total=quote.total, payment_provider="barter"
    )
    with pytest.raises(ValidationFailed) as refusal:
        await market.call(buyer, market.orders.PlaceOrder, request)
    assert refusal.value.fields[0].field == "payment_provider"


async def test_hot_statements_of_orders_use_their_indexes(tx: Transactor) -> None:
    statements = {
        "orders of a buyer": "SELECT order_id FROM orders WHERE buyer_id = $1 ORDER BY order_id DESC LIMIT 26",
        "orders of a seller": "SELECT order_id FROM orders WHERE seller_id = $1 ORDER BY order_id DESC LIMIT 26",
        "orders of a courier": (
            "SELECT order_id FROM orders WHERE courier_user_id = $1 ORDER BY order_id DESC LIMIT 26"
        ),
        "orders of a group": "SELECT order_id FROM orders WHERE order_group_id = $1",
        "payments of a group": "SELECT payment_id FROM payments WHERE order_group_id = $1",
        "cart": "SELECT cart_id FROM carts WHERE user_id = $1",
        "attempts of a group": "SELECT attempt_id FROM payment_attempts WHERE order_group_id = $1",
    }
    calls.enter(Call())

    async def plans(uow: UnitOfWork) -> dict[str, str]:
        await uow.connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        found: dict[str, str] = {}
        for name, statement in statements.items():
            rows = await uow.connection.fetch(f"EXPLAIN {statement.replace('$1', repr(str(uuid4())))}")
            found[name] = "\n".join(row[0] for row in rows)
        return found

    for name, plan in (await tx.run("test.plans", plans)).items():
        assert "Seq Scan" not in plan, name
        assert "Index" in plan, name
        assert "Sort" not in plan, name
