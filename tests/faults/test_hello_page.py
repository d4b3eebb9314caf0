"""The page of clients/web/hello in a real Chromium, through the gateway: all that it can, and what breaks meanwhile."""

from __future__ import annotations

from base64 import b64encode

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from google.type.latlng_pb2 import LatLng
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2
from playwright.async_api import Route

from tests.faults.test_gateway import kill_envoy, kill_workers
from tests.worlds.browser import HELLO, Visit, lose_first_answer, require_chromium, visiting
from tests.worlds.faults import World
from tests.worlds.gateway import require_envoy
from tests.worlds.lines import Account, Lines, register
from tests.worlds.served import Served
from tests.worlds.things import PASSWORD, new_key

_LONGITUDE = 13.41
_GRPC_WEB = "application/grpc-web+proto"


@pytest.fixture(autouse=True)
def _with_browser(both_workers: None) -> None:
    require_envoy()
    require_chromium()


def base(served: Served) -> str:
    """Where the page is."""
    return f"http://127.0.0.1:{served.gateway_port}/"


async def test_the_page_signs_in_lists_and_fills_a_cart(served: Served, world: World) -> None:
    async with Lines(served.port, 2) as lines:
        await world.product(lines, 10)
        buyer = await register(lines)
    async with visiting(base(served)) as visit:
        page = visit.page
        assert await page.is_hidden("#demo-login"), "no word of known passwords where there is no demo"
        await page.fill("#login", buyer.email)
        await page.fill("#password", "wrong")
        await page.click("#sign-in-now")
        await page.wait_for_selector('#sign-in-failure[data-reason="INVALID_CREDENTIALS"]')
        # A guest has a cart, and no orders; what is in it comes along.
        await page.locator("#goods .foot button").first.click()
        await page.wait_for_selector('#cart[data-pieces="1"]')
        assert await page.is_visible("#guest")
        assert await page.is_hidden("#checkout")
        assert await page.is_hidden("#orders")
        await page.fill("#code", "NO-SUCH-CODE")
        await page.click("#promo button")
        await page.wait_for_selector('#promo-failure[data-reason="PROMO_NOT_FOUND"]')
        await visit.sign_in(buyer.email, PASSWORD)
        await page.wait_for_selector('#cart[data-pieces="1"]')
        await page.wait_for_selector("#checkout")
        # A field that the server refuses is named, and its input marked.
        await page.fill("#street", "Torstr. 1")
        await page.click("#ask-quote")
        await page.wait_for_selector('#checkout-failure[data-reason="VALIDATION_FAILED"]')
        assert await page.get_attribute('[data-field="address.city"]', "aria-invalid") == "true"
        await refuses_too_many(visit)
        await refreshes_once(visit)
        assert await page.context.cookies() == []
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert visit.faults == []


async def refuses_too_many(visit: Visit) -> None:
    """A bare 429 of a gateway reads as the limit that it is."""
    await visit.page.route("**/ListProducts", lambda route: route.fulfill(status=429, body="slow down"))
    await visit.page.click("#search button")
    await visit.page.wait_for_selector('#goods-failure[data-reason="RATE_LIMITED"]')
    await visit.page.unroute("**/ListProducts")


async def refreshes_once(visit: Visit) -> None:
    """A token that has ended is exchanged, once for all calls, and the calls are made again."""
    presented: list[str] = []

    async def expire(route: Route) -> None:
        presented.append(route.request.headers["authorization"])
        if len(presented) > 1:
            await route.continue_()
            return
        detail = AnyMessage()
        detail.Pack(error_details_pb2.ErrorInfo(reason="TOKEN_EXPIRED", domain="marketplace.dev"))
        status = status_pb2.Status(code=16, message="The token has ended.", details=[detail])
        packed = b64encode(status.SerializeToString()).decode().rstrip("=")
        headers = {"content-type": _GRPC_WEB, "grpc-status": "16", "grpc-status-details-bin": packed}
        await route.fulfill(status=200, headers=headers)

    await visit.page.route("**/RemoveCartItem", expire)
    await visit.page.click("#cart-lines button")
    await visit.page.wait_for_selector('#cart[data-pieces="0"]')
    assert len(set(presented)) == 2
    assert sum(url.endswith("/RefreshTokens") for url in visit.called) == 1


@pytest.mark.faults
async def test_the_page_orders_once_and_its_watch_misses_no_state_over_killed_processes(
    served: Served, world: World
) -> None:
    async with Lines(served.port, 2) as lines:
        await world.product(lines, 10)
        buyer = await register(lines)
        rider, courier_id = await world.courier(lines)
        async with visiting(base(served)) as visit:
            page = visit.page
            await visit.sign_in(buyer.email, PASSWORD)
            orders: list[bytes | None] = []
            payments: list[bytes | None] = []
            await page.route("**/PlaceOrder", lambda route: lose_first_answer(route, orders))
            await page.route("**/ConfirmPayment", lambda route: lose_first_answer(route, payments))
            await visit.buy(_LONGITUDE)
            await page.locator("#order-list .pay button").click()
            await visit.told("ORDER_PAID")
            assert len(orders) == len(payments) == 2, "each was repeated"
            assert len({*orders}) == len({*payments}) == 1, "with the same request id"
            listed = (await lines.settled(buyer, order_service_pb2.ListOrdersRequest())).orders
            order_id = listed[0].order_id
            assert len(listed) == 1

            await kill_envoy(served)
            accept = order_service_pb2.AcceptOrderRequest(order_id=order_id, prep_duration=Duration(seconds=60))
            await lines.settled(world.seller, accept)
            await visit.told("ORDER_ACCEPTED")
            await lines.settled(world.seller, order_service_pb2.MarkOrderReadyRequest(order_id=order_id))
            delivery_id = await world.delivery_of(lines, buyer, order_id)
            await visit.told("DELIVERY_CREATED")

            # What happens while nobody can be reached is told afterwards, each state of it.
            await page.context.set_offline(True)
            await kill_workers(served)
            assign = delivery_service_pb2.AssignCourierRequest(delivery_id=delivery_id, courier_id=courier_id)
            await lines.settled(world.admin, assign)
            pick_up = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=delivery_id, request_id=new_key())
            await lines.settled(rider, pick_up)
            await page.context.set_offline(False)
            await visit.told("DELIVERY_PICKED_UP")
            await ride(lines, rider, 1)
            await page.wait_for_selector("#map[data-positions]")
            await kill_envoy(served)
            await ride(lines, rider, 11)
            code = await world.code(lines, buyer, delivery_id)
            complete = delivery_service_pb2.CompleteDeliveryRequest(
                delivery_id=delivery_id, code=code, request_id=new_key()
            )
            await lines.settled(rider, complete)
            await visit.told("DELIVERY_CLOSED")
            await page.wait_for_selector('#link[data-link="over"]')
            assert await visit.story() == [
                "ORDER_PAID", "ORDER_ACCEPTED", "ORDER_READY", "DELIVERY_CREATED", "DELIVERY_ASSIGNED",
                "DELIVERY_PICKED_UP", "DELIVERY_CLOSED",
            ]  # fmt: skip
            assert int(await page.get_attribute("#link", "data-breaks") or 0) >= 1
            assert visit.faults == []


async def ride(lines: Lines, rider: Account, first: int) -> None:
    """Ten positions on the way, five seconds' walk from the door at least, so that nobody arrives."""
    positions = []
    for number in range(first, first + 10):
        point = LatLng(latitude=52.52 + number * 1e-4, longitude=_LONGITUDE)
        positions.append(position_pb2.Position(seq=number, point=point, accuracy_meters=5))
        positions[-1].sample_time.GetCurrentTime()
    report = tracking_service_pb2.ReportLocationsRequest(
        uplink_id="6f1c5a54-54f5-4a39-9d1a-3c2c1f9d0a11", batch=position_pb2.PositionBatch(positions=positions)
    )
    await lines.settled(rider, report)


@pytest.mark.faults
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_is_for_everybody_and_fits_a_phone(served: Served, world: World, scheme: str) -> None:
    if not (HELLO / "node_modules" / "axe-core").exists():
        pytest.skip("axe-core is not there: `make .tools/.complete` fetches it, or says why it cannot")
    async with Lines(served.port, 2) as lines:
        await world.product(lines, 10)
        buyer = await register(lines)
    phone = {"width": 360, "height": 740}
    async with visiting(base(served), viewport=phone, color_scheme=scheme, reduced_motion="reduce") as visit:
        page = visit.page
        assert await visit.axe() == []
        await page.focus("#login")
        for text in (buyer.email, "Tab", PASSWORD, "Enter"):
            await (page.keyboard.press(text) if text in {"Tab", "Enter"} else page.keyboard.type(text))
        await page.wait_for_selector("#cart[data-pieces]")
        await visit.buy(_LONGITUDE)
        await page.select_option("#order-list select", "decline")
        await page.locator("#order-list .pay button").press("Enter")
        await page.wait_for_selector('#orders-failure[data-reason="PAYMENT_DECLINED"]')
        await page.select_option("#order-list select", "ok")
        await page.locator("#order-list .pay button").press("Enter")
        await page.wait_for_selector('#link[data-link="live"]')
        assert await visit.axe() == []
        assert await page.evaluate("document.scrollingElement.scrollWidth") <= phone["width"]
        assert visit.faults == []
