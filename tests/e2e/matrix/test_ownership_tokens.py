"""Tokens that were given to somebody else, keys that two callers make up alike, and what only one of them may see."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from marketd.kernel.call.caller import Role
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from tests.e2e.matrix.listed import ADMINS, EVERY, PRIVATE, Pages
from tests.e2e.matrix.recipes_orders import part_in, positions
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES
from tests.worlds.things import Person, new_courier, new_key, new_product, new_shop
from tests.worlds.wire import Outcome, check_refusal

ORDER = "/marketplace.order.v1.OrderService"
DELIVERY = "/marketplace.delivery.v1.DeliveryService"
CATALOG = "/marketplace.catalog.v1.CatalogService"
TRACKING = "/marketplace.tracking.v1.TrackingService"

GARBAGE = "bm90IGEgdG9rZW4gb2YgdGhpcyBtYXJrZXRwbGFjZQ"
NOT_ONES_OWN = (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def _first_page(market: Market, pages: Pages) -> tuple[Person | None, Any, str]:
    caller, request = await pages(market)
    token = (await market.call(request, caller)).next_page_token
    assert token
    return caller, request, token


def _with_token(request: Any, token: str) -> Any:
    copy = type(request)()
    copy.CopyFrom(request)
    copy.page_token = token
    return copy


def test_every_list_has_its_pages_tried() -> None:
    lists = {path.rpartition("/")[2] for path in RULES if "page_token" in RULES[path].request.DESCRIPTOR.fields_by_name}
    assert lists == {
        "ListOrders",
        "ListDeliveries",
        "ListProducts",
        "ListCategories",
        "ListBrands",
    } | {
        "ListPromoCodes",
        "ListSellers",
        "ListSessions",
        "ListAddresses",
        "ListUsers",
        "ListCouriers",
        "ListServiceAccounts",
        "ListAuditEntries",
        "ListStockMovements",
        "ListRemoteImages",
        "SearchProducts",
        "ListMedia",
        "ListReviews",
        "ListOrderEvents",
    }


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.asyncio(loop_scope="session")
async def test_a_page_token_of_somebody_else_is_as_good_as_an_invented_one(market: Market, name: str) -> None:
    caller, request, token = await _first_page(market, PRIVATE[name])
    assert (await market.ask(_with_token(request, token), caller)).code is grpc.StatusCode.OK
    strangers = [await market.person(Role.ADMIN)] if name in ADMINS else [market.rival.owner, market.admin]
    for stranger in strangers:
        taken = await market.ask(_with_token(request, token), stranger)
        invented = await market.ask(_with_token(request, GARBAGE), stranger)
        assert (taken.code, taken.reason) == NOT_ONES_OWN
        assert taken.details == invented.details
        check_refusal(taken)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.asyncio(loop_scope="session")
async def test_a_page_token_goes_on_with_its_own_query_only(market: Market, name: str) -> None:
    caller, request, token = await _first_page(market, EVERY[name])
    other = _with_token(request, token)
    fields = other.DESCRIPTOR.fields_by_name
    if "states" in fields:
        other.states.append(2)
    elif "resource_type" in fields:
        other.resource_type = "user"
    elif "name_prefix" in fields:
        other.name_prefix = "c"
    if other != _with_token(request, token):
        assert await _refused(market, other, caller) == NOT_ONES_OWN
    # Neither cut short, nor changed, nor in another list.
    assert await _refused(market, _with_token(request, token[:-4]), caller) == NOT_ONES_OWN
    assert (
        await _refused(market, _with_token(request, ("B" if token[0] == "A" else "A") + token[1:]), caller)
        == NOT_ONES_OWN
    )
    for another in EVERY:
        if another != name:
            person, elsewhere = await EVERY[another](market)
            assert await _refused(market, _with_token(elsewhere, token), person) == NOT_ONES_OWN, another


async def _refused(market: Market, request: Any, caller: Person | None) -> tuple[grpc.StatusCode, str]:
    outcome = await market.ask(request, caller)
    return outcome.code, outcome.reason


async def _events(market: Market, method: str, request: Any, by: Person, take: int) -> list[Any]:
    outcome = await market.send(method, request, by=by, take=take)
    assert outcome.code is grpc.StatusCode.OK, outcome
    return [RULES[method].response.FromString(answer) for answer in outcome.answers]


@pytest.mark.parametrize("whose", ["the seller's", "another order's", "an invented one"])
@pytest.mark.asyncio(loop_scope="session")
async def test_watching_an_order_begins_anew_with_a_resume_token_that_is_not_ones_own(
    market: Market, whose: str
) -> None:
    method, mine, other = f"{ORDER}/WatchOrder", market.trip, await market.paid()
    watched = order_service_pb2.WatchOrderRequest(order_id=mine.order_id)
    match whose:
        case "the seller's":
            token = (await _events(market, method, watched, mine.shop.owner, 1))[0].resume_token
        case "another order's":
            elsewhere = order_service_pb2.WatchOrderRequest(order_id=other.order_id)
            token = (await _events(market, method, elsewhere, other.buyer, 1))[0].resume_token
        case _:
            token = GARBAGE
    watched.resume_token = token
    first, second = await _events(market, method, watched, mine.buyer, 2)
    assert [first.WhichOneof("event"), second.WhichOneof("event")] == ["reset", "snapshot"]
    assert second.snapshot.order.order_id == mine.order_id


@pytest.mark.parametrize(
    "whose", ["the seller's", "an admin's", "with other filters", "of one order", "an invented one"]
)
@pytest.mark.asyncio(loop_scope="session")
async def test_watching_all_orders_begins_anew_with_a_resume_token_that_is_not_ones_own(
    market: Market, whose: str
) -> None:
    method, mine = f"{ORDER}/WatchOrders", market.trip
    watched = order_service_pb2.WatchOrdersRequest(order_group_ids=[mine.group.order_group_id])
    others = {"the seller's": mine.shop.owner, "an admin's": market.admin}
    if whose in others:
        token = (await _events(market, method, watched, others[whose], 1))[0].resume_token
    elif whose == "of other orders":
        token = (await _events(market, method, order_service_pb2.WatchOrdersRequest(), mine.buyer, 1))[0].resume_token
    elif whose == "of one order":
        one = order_service_pb2.WatchOrderRequest(order_id=mine.order_id)
        token = (await _events(market, f"{ORDER}/WatchOrder", one, mine.buyer, 1))[0].resume_token
    else:
        token = GARBAGE
    watched.resume_token = token
    first, second = await _events(market, method, watched, mine.buyer, 2)
    assert [first.WhichOneof("event"), second.WhichOneof("event")] == ["reset", "snapshot"]
    assert [order.order_id for order in second.snapshot.orders] == [mine.order_id]


@pytest.mark.parametrize("field", ["buyer_ids", "seller_ids", "order_group_ids"])
@pytest.mark.asyncio(loop_scope="session")
async def test_a_watch_by_the_ids_of_others_begins_like_one_by_ids_that_there_are_not(
    market: Market, field: str
) -> None:
    trip = market.trip
    nothing = order_service_pb2.WatchOrdersResponse(snapshot=order_service_pb2.OrdersSnapshot())
    foreign = {
        "buyer_ids": trip.buyer.user_id,
        "seller_ids": trip.shop.seller_id,
        "order_group_ids": trip.group.order_group_id,
    }[field]
    for stranger in (market.buyer, market.rival.owner):
        begun: list[bytes] = []
        for one in (foreign, new_key()):
            asked: Any = order_service_pb2.WatchOrdersRequest()
            getattr(asked, field).append(one)
            [first] = await _events(market, f"{ORDER}/WatchOrders", asked, stranger, 1)
            first.ClearField("resume_token")
            begun.append(first.SerializeToString())
        assert begun[0] == begun[1] == nothing.SerializeToString()


@pytest.mark.parametrize("whose", ["an admin's", "of other stocks", "an invented one"])
@pytest.mark.asyncio(loop_scope="session")
async def test_watching_stocks_begins_anew_with_a_resume_token_that_is_not_ones_own(market: Market, whose: str) -> None:
    method, other = "/marketplace.inventory.v1.InventoryService/WatchStock", await market.product()
    watched = inventory_service_pb2.WatchStockRequest(variant_ids=[market.goods.variant_id])
    token = GARBAGE
    if whose != "an invented one":
        by = market.admin if whose == "an admin's" else market.shop.owner
        elsewhere = (
            watched
            if whose == "an admin's"
            else inventory_service_pb2.WatchStockRequest(variant_ids=[other.variant_id])
        )
        token = (await _events(market, method, elsewhere, by, 1))[0].resume_token
    watched.resume_token = token
    first, second = await _events(market, method, watched, market.shop.owner, 2)
    assert [first.WhichOneof("event"), second.WhichOneof("event")] == ["reset", "snapshot"]
    assert [stock.variant_id for stock in second.snapshot.stocks] == [market.goods.variant_id]


@pytest.mark.parametrize("whose", ["another delivery's", "an invented one"])
@pytest.mark.asyncio(loop_scope="session")
async def test_watching_a_delivery_begins_anew_with_a_resume_token_that_is_not_of_it(
    market: Market, whose: str
) -> None:
    method, mine, other = f"{TRACKING}/WatchDelivery", market.trip, await market.assigned()
    token = GARBAGE
    if whose == "another delivery's":
        elsewhere = tracking_service_pb2.WatchDeliveryRequest(delivery_id=other.delivery_id)
        token = (await _events(market, method, elsewhere, other.buyer, 1))[0].resume_token
    watched = tracking_service_pb2.WatchDeliveryRequest(delivery_id=mine.delivery_id, resume_token=token)
    first, second = await _events(market, method, watched, mine.buyer, 2)
    assert [first.WhichOneof("event"), second.WhichOneof("event")] == ["reset", "snapshot"]
    assert second.snapshot.delivery_id == mine.delivery_id


@pytest.mark.asyncio(loop_scope="session")
async def test_a_couriers_stream_never_goes_on_with_another_couriers_token(market: Market) -> None:
    method = f"{DELIVERY}/WatchDeliveries"
    request = delivery_service_pb2.WatchDeliveriesRequest()
    mine = (await _events(market, method, request, market.rider.person, 1))[0]
    assert [found.delivery_id for found in mine.snapshot.deliveries] == [market.trip.delivery_id]
    request.resume_token = mine.resume_token
    reset, theirs = await _events(market, method, request, market.other_rider.person, 2)
    assert [reset.WhichOneof("event"), theirs.WhichOneof("event")] == ["reset", "snapshot"]
    assert not theirs.snapshot.deliveries


@pytest.mark.asyncio(loop_scope="session")
async def test_a_quote_of_somebody_else_looks_like_one_that_was_used_and_stays_its_buyers(market: Market) -> None:
    buyer, request = await market.quoted()
    thief, used = await market.quoted()
    await market.call(used, thief)
    stolen, again = order_service_pb2.PlaceOrderRequest(), order_service_pb2.PlaceOrderRequest()
    stolen.CopyFrom(request)
    again.CopyFrom(used)
    stolen.request_id, again.request_id = new_key(), new_key()
    outcomes: list[Outcome] = [await market.ask(one, thief) for one in (stolen, again)]
    assert [one.reason for one in outcomes] == ["QUOTE_EXPIRED", "QUOTE_EXPIRED"]
    # Each says when its own quote ended; the two were made a moment apart.
    one, other = (re.sub(rb"\d{4}(-\d\d){2}T(\d\d:){2}\d\dZ", b"then", outcome.details) for outcome in outcomes)
    assert one == other
    assert (await market.call(request, buyer)).order_group.orders


@pytest.mark.parametrize("make", [new_shop, new_courier, new_product], ids=lambda make: make.__name__)
@pytest.mark.asyncio(loop_scope="session")
async def test_a_request_id_is_the_callers_own(market: Market, make: Callable[[], Any]) -> None:
    """Two callers who make up the same key get an answer each, not each other's."""
    key, answers = new_key(), []
    for _ in range(2):
        request = make()
        request.request_id = key
        caller = (await market.open_shop()).owner if make is new_product else await market.person(Role.BUYER)
        outcome = await market.ask(request, caller)
        assert outcome.code is grpc.StatusCode.OK
        assert not outcome.replayed
        answers.append(outcome.answers[0])
    assert answers[0] != answers[1]


@pytest.mark.asyncio(loop_scope="session")
async def test_an_uplink_id_is_the_couriers_own(market: Market) -> None:
    uplink, riders = new_key(), [await market.ride() for _ in range(2)]
    for rider in riders:
        request = tracking_service_pb2.ReportLocationsRequest(uplink_id=uplink, batch=positions())
        answer = await market.call(request, rider.person)
        assert (answer.ack.acked_seq, list(answer.ack.rejected)) == (3, [])
    stored = await market.value(
        "SELECT array_agg(count ORDER BY courier_id) FROM"
        " (SELECT courier_id, count(*) FROM position_points WHERE uplink_id = $1 GROUP BY courier_id) AS each",
        uplink,
    )
    assert stored == [3, 3]


@pytest.mark.parametrize("who", ["BUYER", "SELLER", "COURIER", "ADMIN", "SERVICE"])
@pytest.mark.asyncio(loop_scope="session")
async def test_the_code_at_the_door_is_shown_to_the_buyer_alone(market: Market, who: str) -> None:
    caller, code = part_in(market, market.trip, who), await market.code_of(market.trip)
    assert len(code) == 6
    got = await market.call(delivery_service_pb2.GetDeliveryRequest(delivery_id=market.trip.delivery_id), caller)
    wanted = delivery_service_pb2.ListDeliveriesRequest(order_ids=[market.trip.order_id])
    listed = (await market.call(wanted, caller)).deliveries
    shown = {got.delivery.dropoff_code, *(one.dropoff_code for one in listed)}
    assert len(listed) == 1
    assert shown == ({code} if who == "BUYER" else {""})
    if who == "COURIER":
        request = delivery_service_pb2.WatchDeliveriesRequest()
        seen = (await _events(market, f"{DELIVERY}/WatchDeliveries", request, caller, 1))[0]
        assert {one.dropoff_code for one in seen.snapshot.deliveries} == {""}
