"""`marketd demo` and the simulated couriers against the real app on a real socket."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from marketd.demo.customers import read_reviews, write_reviews
from marketd.demo.defaults import CODE, PRODUCTS, SHOP_CODE, TRACE
from marketd.demo.pictures import decorate
from marketd.demo.presentation import JsonScreen
from marketd.demo.records import DemoOptions
from marketd.demo.seed import seed, signed_in
from marketd.demo.simulation import simulate
from marketd.demo.steps import run_demo
from marketd.demo.visitors import serve_visitors
from marketd.process.process import App
from marketplace.auth.v1 import user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2
from marketplace.review.v1 import review_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace_client import MarketplaceClient, watch_order

from tests.canaries import MARK

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
OWN = (PRODUCTS, TRACE)
RECORDED = [
    (DATA / "catalog" / "apparel.csv", DATA / "traces" / "geolife-20081027111634.plt"),
    (DATA / "catalog" / "jewelery.csv", DATA / "traces" / "posmo.csv"),
]

STEPS = [
    "trace",
    "sign_in",
    "seller",
    "dry_run",
    "import",
    "catalog",
    "export",
    "picture",
    "search",
    "second_shop",
    "codes",
    "browse",
    "account",
    "guest",
    "merge",
    "quote",
    "place",
    "pay",
    "cancel",
    "accept",
    "ready",
    "vouchers",
    "courier",
    "shift",
    "assign",
    "pick_up",
    "track",
    "complete",
    "watch",
    "order",
    "review",
    "reply",
    "end_shift",
    "summary",
]


def a_faulty_recording(folder: Path) -> Path:
    """A GPX ride of 62 points: the first two came before the receiver knew the time, and one has no place."""
    points = "".join(
        f'<trkpt lat="{52.5 + n * 1e-4:.4f}" lon="13.4"><time>2026-03-01T10:{n // 60:02}:{n % 60:02}Z</time></trkpt>'
        for n in range(60)
    )
    untimed = '<trkpt lat="52.4998" lon="13.4"/><trkpt lat="52.4999" lon="13.4"/><trkpt/>'
    path = folder / "ride.gpx"
    path.write_text(f"<gpx><trk><trkseg>{untimed}{points}</trkseg></trk></gpx>")
    return path


async def played(app: App, admin: tuple[str, str], products: Path, trace: Path) -> tuple[bool, list[dict[str, Any]]]:
    """Play the story without waiting; whether it held, and the lines."""
    out = io.StringIO()
    options = DemoOptions(
        target=f"127.0.0.1:{app.port}",
        products=products,
        trace=trace,
        speed=0,
        admin_email=admin[0],
        admin_password=admin[1],
    )
    held = await run_demo(options, JsonScreen(out))
    return held, [json.loads(line) for line in out.getvalue().splitlines()]


async def test_the_whole_story_holds_and_holds_again_on_the_same_server(
    app: App, admin: tuple[str, str], tmp_path: Path
) -> None:
    for trace, points in ((TRACE, 358), (a_faulty_recording(tmp_path), 62)):
        held, lines = await played(app, admin, PRODUCTS, trace)
        assert held, [line for line in lines if not line["ok"]]
        assert [line["step"] for line in lines] == STEPS
        summary = lines[-1]
        assert summary["positions_sent"] == summary["positions_stored"] + summary["positions_rejected"] == points
        assert summary["watch_events"]["state_change"] >= 3
        assert summary["watch_events"]["position"] >= 1
        imported = next(line["detail"] for line in lines if line["step"] == "import")
        assert (imported["products_created"], imported["rows_rejected"], imported["rows_warned"]) == (24, 0, 4)
        assert list(imported)[:4] == ["products_created", "rows", "rows_warned", "why"]
        assert sum(imported["why"].values()) == 4
        assert len(imported["reasons"]) == len(imported["row_warnings"]) == 4
    said = lines[0]["detail"]
    assert (said["points"], said["left_out"], said["times_made"]) == (62, 1, 2)
    assert len(said["notes"]) == 2


@pytest.mark.parametrize(("products", "trace"), RECORDED, ids=lambda path: path.name)
async def test_the_story_holds_with_recorded_traces_and_real_catalogs(
    app: App, admin: tuple[str, str], products: Path, trace: Path
) -> None:
    if not (products.exists() and trace.exists()):
        pytest.skip(f"{products.name} or {trace.name} is not on this machine")
    held, lines = await played(app, admin, products, trace)
    assert held, [line for line in lines if not line["ok"]]
    summary = lines[-1]
    assert summary["positions_sent"] == summary["positions_stored"] + summary["positions_rejected"]


async def test_a_wrong_admin_stops_the_story_with_words_and_a_summary(app: App, admin: tuple[str, str]) -> None:
    held, lines = await played(app, (admin[0], f"not the password {MARK}"), *OWN)
    assert not held
    assert [line["step"] for line in lines] == ["trace", "sign_in", "summary"]
    assert "create-admin" in lines[1]["detail"]["error"]
    assert lines[-1]["ok"] is False


async def test_seeding_again_adds_nothing(app: App, admin: tuple[str, str]) -> None:
    target = f"127.0.0.1:{app.port}"
    first = await seed(target, *admin)
    async with signed_in(target, *admin) as client:
        request = catalog_service_pb2.ListProductsRequest(page_size=100)
        before = Counter([product.seller_id async for product in client.products(request)])
    second = await seed(target, *admin)
    async with signed_in(target, *admin) as client:
        after = Counter([product.seller_id async for product in client.products(request)])
        codes = (await client.promotion.ListPromoCodes(promotion_service_pb2.ListPromoCodesRequest())).promo_codes
    assert {code.code: code.funded_by for code in codes} == {
        CODE: promo_code_pb2.PROMO_CODE_FUNDING_PLATFORM,
        SHOP_CODE: promo_code_pb2.PROMO_CODE_FUNDING_SELLER,
    }
    assert first == second
    assert len(first.shops) == 3
    assert before == after
    assert set(before) == {shop.seller_id for shop in first.shops}


async def test_customers_say_what_they_got_was_like_once(app: App, admin: tuple[str, str]) -> None:
    target = f"127.0.0.1:{app.port}"
    logins = await seed(target, *admin)
    said = read_reviews()
    assert await write_reviews(target, logins) == len(said)
    assert await write_reviews(target, logins) == 0
    request = catalog_service_pb2.SearchProductsRequest(order_by="rating", page_size=100)
    async with MarketplaceClient(target, plaintext=True) as client:
        products = (await client.catalog.SearchProducts(request)).products
        averages = [product.rating.average for product in products if product.rating.count]
        listing = review_service_pb2.ListReviewsRequest(product_ids=[products[0].product_id])
        shown = (await client.review.ListReviews(listing)).reviews
        of_shops = review_service_pb2.ListReviewsRequest(seller_ids=[shop.seller_id for shop in logins.shops])
        reviewed = {review.seller_id for review in (await client.review.ListReviews(of_shops)).reviews}
    assert averages == sorted(averages, reverse=True)
    assert len(averages) >= len(products) / 3
    assert {review.author_name for review in shown} <= {each.by for each in said}
    assert reviewed == {shop.seller_id for shop in logins.shops}


async def test_shops_get_pictures_of_their_own_once(app: App, admin: tuple[str, str], tmp_path: Path) -> None:
    target, products = f"127.0.0.1:{app.port}", tmp_path / "products.csv"
    header, *rows = PRODUCTS.read_text().splitlines(keepends=True)
    products.write_text(header + next(row for row in rows if row.startswith("hand-grinder,")))
    logins = await seed(target, *admin, products)
    assert await decorate(target, logins) == 2, "a logo and a product"
    async with signed_in(target, *admin) as client:
        (product,) = [one async for one in client.products(catalog_service_pb2.ListProductsRequest())]
        wanted = seller_service_pb2.GetSellerRequest(seller_id=product.seller_id)
        logo = (await client.seller.GetSeller(wanted)).seller.logo
    for image, alt_text in ((logo, f"The logo of {logins.shops[0].name}"), (product.images[0].image, product.title)):
        assert [size.width for size in image.renditions] == [160, 480, 640]
        assert image.alt_text == alt_text
    assert await decorate(target, logins) == 0


async def test_simulated_couriers_set_out_with_orders(app: App, admin: tuple[str, str]) -> None:
    target, stop = f"127.0.0.1:{app.port}", asyncio.Event()
    logins = await seed(target, *admin)
    # Nobody takes their time before the first ride: whoever has just started a demo is looking for it.
    running = asyncio.create_task(simulate(target, logins, stop, pause_seconds=(0.05, 600)))
    try:
        async with asyncio.timeout(90), signed_in(target, *admin) as client:
            request = delivery_service_pb2.ListDeliveriesRequest(states=[delivery_pb2.DELIVERY_STATE_ASSIGNED])
            underway: set[str] = set()
            while len(underway) < len(logins.couriers):
                underway |= {delivery.courier.courier_id async for delivery in client.deliveries(request)}
                await asyncio.sleep(0.2)
    finally:
        stop.set()
        await asyncio.wait([running], timeout=20)
    assert running.done()
    assert running.exception() is None


async def test_what_a_visitor_orders_is_brought_without_anybodys_help(app: App, admin: tuple[str, str]) -> None:
    target = f"127.0.0.1:{app.port}"
    logins = await seed(target, *admin)
    serving = asyncio.create_task(serve_visitors(target, logins, asyncio.Event(), pause_seconds=0, beat_seconds=0.005))
    try:
        async with asyncio.timeout(60), signed_in(target, logins.visitor.email, logins.password) as client:
            order_id = await ordered_by_a_visitor(client)
            seen: list[int] = []
            async for message in watch_order(client, order_id):
                if (kind := message.WhichOneof("event")) in {"snapshot", "changed"}:
                    seen.append(getattr(message, kind).order.state)
            assert seen[-1] == order_pb2.ORDER_STATE_DELIVERED
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def ordered_by_a_visitor(client: MarketplaceClient) -> str:
    """An order of the first thing that is sold, to the address that the visitor has; paid for."""
    listed = (await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest(page_size=1))).products
    read = catalog_service_pb2.GetProductRequest(product_id=listed[0].product_id)
    variant = (await client.catalog.GetProduct(read)).product.variants[0]
    await client.cart.AddCartItem(cart_service_pb2.AddCartItemRequest(variant_id=variant.variant_id, quantity=1))
    (home,) = (await client.user.ListAddresses(user_service_pb2.ListAddressesRequest())).addresses
    quote = await client.cart.QuoteOrder(cart_service_pb2.QuoteOrderRequest(address_id=home.address_id))
    place = order_service_pb2.PlaceOrderRequest(quote_token=quote.quote_token, expected_total=quote.total)
    (order,) = (await client.order.PlaceOrder(place)).order_group.orders
    pay = payment_service_pb2.ConfirmPaymentRequest(
        payment_id=order.payment_id, payment_method=payment_pb2.PaymentMethod(sandbox="ok")
    )
    await client.payment.ConfirmPayment(pay)
    return order.order_id
