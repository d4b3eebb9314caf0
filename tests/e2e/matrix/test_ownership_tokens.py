"""Tokens that were given to somebody else, keys that two callers make up alike, and what only one of them may see."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from marketd.kernel.call.caller import Role
from marketplace.admin.v1 import admin_service_pb2
from marketplace.auth.v1 import auth_service_pb2, user_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.media.v1 import media_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.promotion.v1 import promotion_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from tests.e2e.matrix.recipes_goods import new_brand, new_category
from tests.e2e.matrix.recipes_identity import new_address, new_service
from tests.e2e.matrix.recipes_media import new_media
from tests.e2e.matrix.recipes_orders import part_in, positions
from tests.e2e.matrix.recipes_promotion import new_promo_code
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

Pages = Callable[[Market], Awaitable[tuple[Person | None, Any]]]


async def _orders(market: Market) -> tuple[Person | None, Any]:
    await market.paid()
    return market.shop.owner, order_service_pb2.ListOrdersRequest(page_size=1)


async def _deliveries(market: Market) -> tuple[Person | None, Any]:
    await market.ready()
    return market.shop.owner, delivery_service_pb2.ListDeliveriesRequest(page_size=1)


async def _own_products(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await market.draft()
    return market.shop.owner, catalog_service_pb2.ListProductsRequest(
        page_size=1, states=[product_pb2.PRODUCT_STATE_DRAFT]
    )


async def _products(market: Market) -> tuple[Person | None, Any]:
    await market.product()
    return None, catalog_service_pb2.ListProductsRequest(page_size=1)


async def _search(market: Market) -> tuple[Person | None, Any]:
    await market.product()
    return None, catalog_service_pb2.SearchProductsRequest(page_size=1)


async def _categories(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_category(market)
    return None, catalog_service_pb2.ListCategoriesRequest(page_size=1)


async def _brands(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_brand(market)
    return None, catalog_service_pb2.ListBrandsRequest(page_size=1)


async def _sessions(market: Market) -> tuple[Person | None, Any]:
    person = await market.person(Role.BUYER)
    await market.sign_in(person.email)
    return person, auth_service_pb2.ListSessionsRequest(page_size=1)


async def _addresses(market: Market) -> tuple[Person | None, Any]:
    person = await market.person(Role.BUYER)
    for _ in range(2):
        await new_address(market, person)
    return person, user_service_pb2.ListAddressesRequest(page_size=1)


async def _users(market: Market) -> tuple[Person | None, Any]:
    return market.admin, user_service_pb2.ListUsersRequest(page_size=1)


async def _services(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_service(market)
    return market.admin, auth_service_pb2.ListServiceAccountsRequest(page_size=1)


async def _audit(market: Market) -> tuple[Person | None, Any]:
    return market.admin, admin_service_pb2.ListAuditEntriesRequest(page_size=1)


async def _sellers(market: Market) -> tuple[Person | None, Any]:
    return market.admin, seller_service_pb2.ListSellersRequest(page_size=1)


async def _couriers(market: Market) -> tuple[Person | None, Any]:
    return market.admin, courier_service_pb2.ListCouriersRequest(page_size=1)


async def _movements(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await market.draft()
    return market.shop.owner, inventory_service_pb2.ListStockMovementsRequest(page_size=1)


async def _remote_images(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await market.pictured()
    return market.shop.owner, catalog_service_pb2.ListRemoteImagesRequest(page_size=1)


async def _media(market: Market) -> tuple[Person | None, Any]:
    person = await market.person(Role.BUYER)
    for _ in range(2):
        await new_media(market, person)
    return person, media_service_pb2.ListMediaRequest(page_size=1)


async def _promo_codes(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_promo_code(market)
    return market.shop.owner, promotion_service_pb2.ListPromoCodesRequest(page_size=1)


ADMINS: dict[str, Pages] = {
    "users": _users,
    "sellers": _sellers,
    "couriers": _couriers,
    "service accounts": _services,
    "audit entries": _audit,
}
PRIVATE: dict[str, Pages] = {
    "orders": _orders,
    "deliveries": _deliveries,
    "own products": _own_products,
    "sessions": _sessions,
    "addresses": _addresses,
    "stock movements": _movements,
    "remote images": _remote_images,
    "media": _media,
    "promo codes": _promo_codes,
    **ADMINS,
}
EVERY: dict[str, Pages] = {
    **PRIVATE,
    "products": _products,
    "search": _search,
    "categories": _categories,
    "brands": _brands,
}


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
    assert lists == {"ListOrders", "ListDeliveries", "ListProducts", "ListCategories", "ListBrands"} | {
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
