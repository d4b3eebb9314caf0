"""The life of a shop, and what follows for its orders, carts and owner when it ends."""

from __future__ import annotations

from typing import Any

import pytest
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import (
    AlreadyExists,
    EtagMismatch,
    IllegalTransition,
    InUse,
    NotFound,
    Refusal,
    ValidationFailed,
)
from marketd.kernel.values.ids import new_id
from marketd.order import follow_sellers
from marketplace.cart.v1 import cart_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.order.v1 import order_pb2
from marketplace.seller.v1 import seller_pb2

from tests.worlds.ends import Ends
from tests.worlds.goods import Shop
from tests.worlds.ordering import Market
from tests.worlds.things import new_shop


@pytest.fixture
def ends(market: Market) -> Ends:
    """What ends shops and accounts."""
    return Ends(market)


async def _applied(ends: Ends, caller: Caller | None = None) -> Shop:
    caller = caller or await ends.market.account(Role.BUYER)
    answer: Any = await ends.market.call(caller, ends.sellers.CreateSeller, new_shop())
    seller_id = await ends.market.value(
        "SELECT seller_id FROM sellers WHERE owner_user_id = $1 ORDER BY create_time DESC LIMIT 1", caller.known_user_id
    )
    assert answer is not None
    return Shop(seller_id, caller)


async def _letters(ends: Ends, shop: Shop) -> list[str]:
    """What the letters to the owner say of the shop: what was done to it and why."""
    found = await ends.market.value(
        "SELECT COALESCE(array_agg(payload->'values'->>'change' || ': ' || (payload->'values'->>'reason')"
        " ORDER BY job_id), '{}') FROM jobs"
        " WHERE payload->>'template' = 'shop_changed' AND payload->>'to' ="
        " (SELECT email FROM accounts WHERE user_id = $1)",
        shop.caller.known_user_id,
    )
    return list(found)


async def _events(ends: Ends, shop: Shop) -> list[tuple[str, bool]]:
    """The events of the shop's states, and whether its owner could act then."""
    rows = await ends.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT event_type, payload->>'owner_can_act' AS able FROM outbox_events WHERE aggregate_id = $1"
            " AND event_type <> 'seller.created' ORDER BY seq",
            shop.seller_id,
        )
    )
    return [(row["event_type"].removeprefix("seller."), row["able"] == "true") for row in rows]


async def test_a_rejected_applicant_is_told_why_and_may_apply_again(ends: Ends) -> None:
    shop = await _applied(ends)
    await ends.set_roles(shop.caller, Role.BUYER, Role.SELLER)
    rejected = await ends.move("Reject", shop, "no papers")
    assert await ends.roles(shop.caller) == {"BUYER"}
    assert (rejected.state, rejected.state_reason) == (seller_pb2.SELLER_STATE_REJECTED, "no papers")
    assert await _letters(ends, shop) == ["rejected: no papers"]
    assert await _events(ends, shop) == [("rejected", False)]
    for name in ("Approve", "Suspend", "Reinstate", "Close"):
        with pytest.raises(IllegalTransition):
            await ends.move(name, shop, "after all")
    again = await _applied(ends, shop.caller)
    assert again.seller_id != shop.seller_id
    assert (await ends.move("Approve", again)).state == seller_pb2.SELLER_STATE_ACTIVE


async def test_a_suspended_shop_keeps_its_role_and_a_closed_one_loses_it_until_it_is_reinstated(ends: Ends) -> None:
    shop = await ends.market.shop()
    # That the owner rides for others no more is nothing to the shop.
    await ends.set_roles(shop.caller, Role.BUYER, Role.SELLER, Role.COURIER)
    await ends.set_roles(shop.caller, Role.BUYER, Role.SELLER)
    suspended = await ends.move("Suspend", shop, "late")
    assert suspended.state == seller_pb2.SELLER_STATE_SUSPENDED
    assert await ends.roles(shop.caller) == {"BUYER", "SELLER"}
    assert (await ends.move("Reinstate", shop, "better now")).state == seller_pb2.SELLER_STATE_ACTIVE
    closed = await ends.move("Close", shop, caller=shop.caller)
    assert closed.state == seller_pb2.SELLER_STATE_CLOSED
    assert await ends.roles(shop.caller) == {"BUYER"}
    reinstated = await ends.move("Reinstate", shop, "asked for it")
    assert reinstated.state == seller_pb2.SELLER_STATE_ACTIVE
    assert reinstated.approve_time == suspended.approve_time, "it says since when the shop sells"
    assert await ends.roles(shop.caller) == {"BUYER", "SELLER"}
    # The owner knows what the owner does.
    assert await _letters(ends, shop) == ["suspended: late", "reinstated: better now", "reinstated: asked for it"]
    assert await _events(ends, shop) == [
        ("approved", True),
        ("suspended", True),
        ("reinstated", True),
        ("closed", False),
        ("reinstated", True),
    ]


@pytest.mark.parametrize("name", ["Reject", "Suspend", "Reinstate", "Close"])
async def test_a_move_that_stands_is_ok_whatever_the_etag_and_another_one_is_judged_by_it(
    ends: Ends, name: str
) -> None:
    shop = await _applied(ends) if name == "Reject" else await ends.market.shop()
    if name == "Reinstate":
        await ends.move("Suspend", shop, "late")
    with pytest.raises(EtagMismatch):
        await ends.move(name, shop, "why", etag="stale")
    moved = await ends.move(name, shop, "why")
    assert await ends.move(name, shop, "why", etag="stale") == moved
    with pytest.raises(EtagMismatch):
        await ends.move(name, shop, "another why", etag="stale")
    with pytest.raises(NotFound):
        await ends.move(name, Shop(new_id(), shop.caller), "why")


async def test_the_moves_of_a_shop_stand_in_the_audit_log_with_what_changed(ends: Ends) -> None:
    shop = await ends.market.shop()
    await ends.move("Suspend", shop, "late")
    changes = await ends.market.value(
        "SELECT changes::text FROM audit_entries WHERE resource_id = $1 AND comment = 'late'", str(shop.seller_id)
    )
    assert "ACTIVE" in changes
    assert "SUSPENDED" in changes


async def test_an_account_that_cannot_act_gets_no_shop(ends: Ends) -> None:
    pending, suspended = await _applied(ends), await ends.market.shop()
    await ends.block(pending.caller)
    await ends.block(suspended.caller)
    assert await _events(ends, pending) == [], "an application waits"
    with pytest.raises(IllegalTransition, match="unblock it first"):
        await ends.move("Approve", pending)
    with pytest.raises(IllegalTransition, match="unblock it first"):
        await ends.move("Reinstate", suspended)
    await ends.unblock(pending.caller)
    assert (await ends.move("Approve", pending)).state == seller_pb2.SELLER_STATE_ACTIVE
    with pytest.raises(NotFound):
        await _applied(ends, suspended.caller)


async def test_a_closed_shop_is_not_reinstated_beside_another_one(ends: Ends) -> None:
    shop = await ends.market.shop()
    await ends.move("Close", shop, caller=shop.caller)
    await _applied(ends, shop.caller)
    with pytest.raises(AlreadyExists, match="another shop"):
        await ends.move("Reinstate", shop)


async def test_only_the_owner_and_admins_with_a_reason_close_a_shop(ends: Ends) -> None:
    shop, other = await ends.market.shop(), await ends.market.shop()
    with pytest.raises(NotFound):
        await ends.move("Close", shop, "it is mine", caller=other.caller)
    with pytest.raises(ValidationFailed):
        await ends.move("Close", shop, " ")
    await ends.move("Close", shop, "fraud")
    assert await _letters(ends, shop) == ["closed: fraud"]


async def test_a_shop_closes_when_its_orders_are_over_and_is_told_which_are_not(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    group = await market.paid(buyer, (variant, 1))
    with pytest.raises(InUse, match=group.orders[0].order_number):
        await ends.move("Close", shop, caller=shop.caller)
    assert (await ends.state(shop)).startswith("ACTIVE")
    await market.cancel(shop.caller, group.orders[0].order_id)
    assert (await ends.move("Close", shop, caller=shop.caller)).state == seller_pb2.SELLER_STATE_CLOSED


async def test_open_orders_of_a_suspended_shop_go_on_while_its_owner_can_act(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    order = (await market.paid(buyer, (variant, 1))).orders[0]
    await ends.move("Suspend", shop, "late")
    await ends.follow()
    assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_PAID
    await market.accept(shop, order.order_id)
    assert (await market.ready(shop, order.order_id)).state == order_pb2.ORDER_STATE_READY


@pytest.mark.parametrize("end", ["block", "roles", "block a suspended one"])
async def test_orders_that_wait_for_an_owner_who_is_gone_are_cancelled_and_paid_back(
    ends: Ends, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_sellers, "_BATCH", 2)  # there are three of them
    market, shop, other = ends.market, await ends.market.shop(), await ends.market.shop()
    buyer = await market.buyer()
    variant, foreign = await market.variant(shop), await market.variant(other)
    unpaid = (await market.place(buyer, (variant, 1))).orders[0]
    paid, accepted, ready = [(await market.paid(buyer, (variant, 1), (foreign, 1))).orders for _ in range(3)]
    mine = [
        next(each for each in orders if each.seller_id == str(shop.seller_id)) for orders in (paid, accepted, ready)
    ]
    for order in mine[1:]:
        await market.accept(shop, order.order_id)
    await market.ready(shop, mine[2].order_id)
    if end == "roles":
        await ends.set_roles(shop.caller, Role.BUYER)
        assert await ends.state(shop) == "SUSPENDED: The owner's account lost the role SELLER."
        assert len(await _letters(ends, shop)) == 1
        # To act as a seller again is one thing, to sell again another.
        await ends.set_roles(shop.caller, Role.BUYER, Role.SELLER)
        assert (await ends.state(shop)).startswith("SUSPENDED")
    else:
        if end != "block":
            await ends.move("Suspend", shop, "late")
        await ends.block(shop.caller)
        blocked = "SUSPENDED: The owner's account was blocked." if end == "block" else "SUSPENDED: late"
        assert await ends.state(shop) == blocked
    assert (await _events(ends, shop))[-1] == ("suspended", False)
    await ends.follow()
    await ends.follow()  # a second time finds nothing
    for order in (unpaid, *mine[:2]):
        seen = await market.get(market.admin, order.order_id)
        assert seen.state == order_pb2.ORDER_STATE_CANCELLED
        assert seen.cancellations[-1].reason == order_pb2.CANCELLATION_REASON_SELLER_UNAVAILABLE
        assert seen.cancellations[-1].actor == order_pb2.CANCELLATION_ACTOR_SYSTEM
        assert len(seen.cancellations) == 1
    for order in mine[:2]:
        assert (await market.get(market.admin, order.order_id)).refunded_amount.units == 14  # 10.00 and a fee of 4.90
    assert (await market.get(market.admin, mine[2].order_id)).state == order_pb2.ORDER_STATE_READY
    for orders in (paid, accepted, ready):
        theirs = next(each for each in orders if each.seller_id == str(other.seller_id))
        assert (await market.get(market.admin, theirs.order_id)).state == order_pb2.ORDER_STATE_PAID
    assert await market.reserved(variant) == 1
    assert await market.violations() == []


async def test_a_shop_that_sells_again_before_its_orders_end_keeps_them(ends: Ends) -> None:
    market, shop = ends.market, await ends.market.shop()
    buyer, variant = await market.buyer(), await market.variant(shop)
    order = (await market.paid(buyer, (variant, 1))).orders[0]
    await ends.block(shop.caller)
    await ends.unblock(shop.caller)
    # To be let in again is one thing, to sell again another.
    assert (await ends.state(shop)).startswith("SUSPENDED")
    await ends.move("Reinstate", shop, "a mistake")
    await ends.follow()
    assert (await market.get(buyer, order.order_id)).state == order_pb2.ORDER_STATE_PAID


@pytest.mark.parametrize("end", ["Suspend", "Close"])
async def test_what_a_shop_that_does_not_sell_has_is_in_no_list_and_in_no_order(ends: Ends, end: str) -> None:
    market, shop, other = ends.market, await ends.market.shop(), await ends.market.shop()
    buyer = await market.buyer()
    variant, foreign = await market.variant(shop), await market.variant(other)
    await market.add(buyer, variant)
    quote = await market.quote(buyer)
    assert (await _product(ends, buyer, variant)).for_sale
    await ends.move(end, shop, "late")
    with pytest.raises(Refusal) as refused:
        await market.place_quote(buyer, quote)
    assert refused.value.reason == "SELLER_CLOSED"
    (item,) = (await market.cart(buyer)).items
    assert [problem.kind for problem in item.problems] == [cart_pb2.PROBLEM_KIND_SELLER_CLOSED]
    with pytest.raises(NotFound):
        await market.add(await market.buyer(), variant)
    assert not (await market.quote(buyer)).quote_token
    theirs = await market.value("SELECT product_id::text FROM variants WHERE variant_id = $1", foreign)
    assert await _listed(ends, buyer) == [theirs]
    assert await _listed(ends, buyer, seller_ids=[str(shop.seller_id)]) == []
    # The page stays, for those who come from an order, and says that it is not for sale.
    page = await _product(ends, buyer, variant)
    assert not page.for_sale
    assert await _listed(ends, market.admin, seller_ids=[str(shop.seller_id)]) == [page.product_id]
    if end == "Suspend":
        assert await _listed(ends, shop.caller, seller_ids=[str(shop.seller_id)]) == [page.product_id]
        states = [page.state, 1]
        assert sorted(await _listed(ends, shop.caller, states=states)) == sorted([theirs, page.product_id])
    await ends.move("Reinstate", shop, "sorry")
    assert sorted(await _listed(ends, buyer)) == sorted([theirs, page.product_id])
    assert (await market.place_quote(buyer, quote)).orders


async def test_kept_answers_go_when_a_shop_stops_or_begins_to_sell(ends: Ends) -> None:
    dropped: list[bytes] = []
    ends.market.built.parts.broadcast.subscribe("answers", dropped.append)
    shop = await ends.market.shop()
    steps: list[Any] = [
        lambda: ends.move("Suspend", shop, "late"),
        lambda: ends.move("Reinstate", shop),
        lambda: ends.set_roles(shop.caller, Role.BUYER),
        lambda: ends.move("Reinstate", shop, "again"),
        lambda: ends.block(shop.caller),
    ]
    for step in steps:
        dropped.clear()
        await step()
        assert b"catalog" in dropped


async def _product(ends: Ends, caller: Caller, variant_id: object) -> Any:
    product_id = await ends.market.value("SELECT product_id::text FROM variants WHERE variant_id = $1", variant_id)
    request = catalog_service_pb2.GetProductRequest(product_id=product_id)
    return (await ends.market.call(caller, ends.catalog.GetProduct, request)).product


async def _listed(ends: Ends, caller: Caller, **query: Any) -> list[str]:
    request = catalog_service_pb2.ListProductsRequest(**query)
    answer = await ends.market.call(caller, ends.catalog.ListProducts, request)
    return [product.product_id for product in answer.products]
