"""The sums of ratings and their copies: exact whatever happens at once, and in nobody's way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from marketd.catalog.servicer import CACHE_TAG
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.ratings import Rating
from marketd.review.model import ReviewKind
from marketd.review.repository import sums
from marketd.seller import service as sellers
from marketplace.review.v1 import review_pb2
from structlog.testing import capture_logs

from tests.worlds.goods import Shop
from tests.worlds.reviews import COURIER, PRODUCT, PUBLISHED, REJECTED, SELLER, Reviews

KINDS = (PRODUCT, PRODUCT, SELLER, COURIER)
TASKS = 8


@pytest.fixture
async def other(database_url: str, reviews: Reviews) -> AsyncIterator[Reviews]:
    """A second worker, where admins are the same."""
    engine = create_engine(database_url, pool_size=12, pool_timeout_seconds=5)
    tx = Transactor(engine, SystemClock())
    world = Reviews(tx)
    world.admin = reviews.admin
    yield world
    await tx.drain()
    await engine.dispose()


async def test_whoever_looks_sees_the_new_rating_with_the_review(reviews: Reviews) -> None:
    buyer, shop, courier = await reviews.buyer(), await reviews.shop(), await reviews.courier()
    product_id, unrated = await reviews.product(shop), await reviews.product(shop)
    items = await reviews.bought(buyer, shop, product_id, 3, courier=courier)
    etag = (await reviews.shown(product_id)).etag
    for item_id, stars in zip(items, (5, 4, 4), strict=True):
        for kind in (PRODUCT, SELLER, COURIER):
            await reviews.write(buyer, item_id, stars, kind=kind)
    wanted = [0, 0, 0, 2, 1]
    for subject in ({"product_id": product_id}, {"seller_id": shop.seller_id}, {"courier_id": courier[1]}):
        assert await reviews.summary(**subject) == wanted
    product = await reviews.shown(product_id)
    assert (list(product.rating.histogram), product.rating.average) == (wanted, 4.333)
    assert product.etag == etag, "a rating is no change of the seller's"
    assert await reviews.stars_of_shop(shop) == wanted
    assert await reviews.value("SELECT rating_counts FROM couriers WHERE courier_id = $1", courier[1]) == wanted
    assert await reviews.found(min_rating=4.333) == [str(product_id)]
    assert await reviews.found(order_by="rating") == [str(product_id), str(unrated)]
    assert await reviews.summary(product_id=unrated) == []


async def test_kept_answers_go_when_a_product_has_another_rating_and_only_then(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    reviews.dropped.clear()
    await reviews.write(buyer, item_id, kind=SELLER)
    made = await reviews.write(buyer, item_id, 3)
    await reviews.update(buyer, made.review_id, text="Warm.")
    await reviews.reply(shop.caller, made.review_id, "Thanks.")
    assert reviews.dropped == [CACHE_TAG.encode()]
    await reviews.delete(buyer, made.review_id)
    assert reviews.dropped == [CACHE_TAG.encode()] * 2


@pytest.mark.parametrize(
    ("counts", "average"),
    [
        ((0, 0, 0, 0, 0), None),
        ((0, 0, 0, 2, 1), 4.333),
        ((0, 0, 0, 1, 2), 4.667),
        ((1, 0, 0, 0, 1), 3.0),
        ((0, 0, 0, 1999, 1), 4.001),
        ((0, 0, 0, 0, 2**31 - 1), 5.0),
    ],
)
def test_a_mean_is_rounded_to_thousandths(counts: tuple[int, ...], average: float | None) -> None:
    assert Rating(counts).average == average


@dataclass
class Crowd:
    """Eight tasks on two workers, each with buyers of its own, and admins among them."""

    workers: tuple[Reviews, Reviews]
    shops: list[Shop]
    products: list[tuple[Shop, UUID]]
    courier: tuple[Caller, UUID]
    written: list[tuple[Caller, str]] = field(default_factory=list)

    async def act(self, number: int, steps: int) -> None:
        """Write, change, delete and judge at random."""
        pick, world = random.Random(number), self.workers[number % 2]  # noqa: S311 - the same steps every time
        buyer = await world.buyer()
        lines: list[tuple[UUID, review_pb2.ReviewKind.ValueType]] = []
        for shop, product_id in self.products:
            items = await world.bought(buyer, shop, product_id, steps // len(self.products) + 1, courier=self.courier)
            lines += [(item_id, pick.choice(KINDS)) for item_id in items]
        pick.shuffle(lines)
        for _ in range(steps):
            what = pick.random()
            if what < 0.5 or not self.written:
                item_id, kind = lines.pop()
                made = await world.write(buyer, item_id, pick.randrange(1, 6), kind=kind)
                self.written.append((buyer, made.review_id))
                continue
            author, review_id = pick.choice(self.written)
            try:
                if what < 0.7:
                    await world.update(author, review_id, rating=pick.randrange(1, 6))
                elif what < 0.85:
                    await world.moderate(review_id, pick.choice([PUBLISHED, REJECTED]), f"judged {what}")
                else:
                    await world.delete(author, review_id)
            except NotFound:
                pass  # somebody deleted it meanwhile


async def _race(reviews: Reviews, other: Reviews, steps: int) -> None:
    shops = [await reviews.shop(), await reviews.shop()]
    products = [(shop, await reviews.product(shop)) for shop in (*shops, shops[0])]
    crowd = Crowd((reviews, other), shops, products, await reviews.courier())
    with capture_logs() as logs:
        await asyncio.gather(*(crowd.act(number, steps // TASKS) for number in range(TASKS)))
    assert [entry for entry in logs if entry["event"] == "transaction_retry"] == [], "nothing deadlocks"
    assert await reviews.violations() == []
    counted = {
        (row["kind"], row["subject_id"], row["rating"]): row["count"]
        for row in await reviews.tx.read(
            lambda unit: unit.connection.fetch(
                "SELECT kind, COALESCE(product_id, courier_id, seller_id) AS subject_id, rating, count(*) FROM reviews"
                " WHERE state = 'PUBLISHED' GROUP BY 1, 2, 3"
            )
        )
    }
    assert sum(counted.values()) > steps // 10
    assert len({kind for kind, _, _ in counted}) == 3
    for _, product_id in products:
        wanted = [counted.get(("PRODUCT", product_id, stars), 0) for stars in range(1, 6)]
        assert await reviews.summary(product_id=product_id) == wanted
        assert list((await reviews.shown(product_id)).rating.histogram) == wanted
    for shop in shops:
        wanted = [counted.get(("SELLER", shop.seller_id, stars), 0) for stars in range(1, 6)]
        assert await reviews.summary(seller_id=shop.seller_id) == wanted == await reviews.stars_of_shop(shop)
    wanted = [counted.get(("COURIER", crowd.courier[1], stars), 0) for stars in range(1, 6)]
    assert await reviews.summary(courier_id=crowd.courier[1]) == wanted


async def test_sums_equal_a_recount_after_reviews_edits_and_removals_at_once(reviews: Reviews, other: Reviews) -> None:
    await _race(reviews, other, 160)


@pytest.mark.faults
async def test_sums_equal_a_recount_after_a_thousand_at_once(reviews: Reviews, other: Reviews) -> None:
    await _race(reviews, other, 1_000)


async def test_a_sum_that_is_read_and_written_back_loses_ratings(reviews: Reviews, other: Reviews) -> None:
    """The control of the race: what the one statement of `sums.add` guards."""
    product_id, both_have_read = await reviews.product(await reviews.shop()), asyncio.Barrier(2)

    async def careless(world: Reviews) -> None:
        async def work(uow: UnitOfWork) -> None:
            rating = await sums.read(uow.connection, ReviewKind.PRODUCT, product_id)
            await both_have_read.wait()
            await uow.connection.execute(
                "INSERT INTO rating_summaries VALUES ('PRODUCT', $1, $2)"
                " ON CONFLICT (kind, subject_id) DO UPDATE SET counts = excluded.counts",
                product_id,
                [*rating.counts[:4], rating.counts[4] + 1],
            )

        await world.tx.run("test.careless", work)

    async def careful(world: Reviews) -> None:
        await world.tx.run(
            "test.careful", lambda uow: sums.add(uow.connection, ReviewKind.PRODUCT, product_id, (0, 0, 0, 0, 1))
        )

    await asyncio.gather(careless(reviews), careless(other))
    assert await reviews.summary(product_id=product_id) == [0, 0, 0, 0, 1], "one of two is lost"
    await asyncio.gather(careful(reviews), careful(other))
    assert await reviews.summary(product_id=product_id) == [0, 0, 0, 0, 3]


async def test_one_line_gets_one_review_however_many_are_written_at_once(reviews: Reviews, other: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    (item_id,) = await reviews.bought(buyer, shop, product_id)
    answers = await asyncio.gather(
        *(world.write(buyer, item_id, 3) for world in (reviews, other) * 4), return_exceptions=True
    )
    assert sum(isinstance(answer, review_pb2.Review) for answer in answers) == 1
    assert await reviews.summary(product_id=product_id) == [0, 0, 1, 0, 0]


async def test_an_order_of_the_shop_waits_for_no_review_of_it(reviews: Reviews, other: Reviews) -> None:
    """PlaceOrder holds the shop's row; a review that is being written locks only the row of its rating."""
    buyer, shop = await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    items = await reviews.bought(buyer, shop, product_id, 2)
    await reviews.write(buyer, items[0], kind=SELLER)
    begun, done = asyncio.Event(), asyncio.Event()

    async def slow(uow: UnitOfWork) -> None:
        await sums.add(uow.connection, ReviewKind.SELLER, shop.seller_id, (0, 0, 0, 0, 1))
        await sellers.set_rating(uow, shop.seller_id, Rating((0, 0, 0, 0, 2)))
        begun.set()
        await done.wait()
        raise NotFound("review", "rolled back")

    async def order(uow: UnitOfWork) -> None:
        await uow.connection.execute("SET LOCAL lock_timeout = '2s'")
        await uow.connection.execute(sellers.hold_sql("$1::uuid[]"), [shop.seller_id])
        await uow.connection.execute("SELECT FROM variants WHERE product_id = $1 FOR KEY SHARE", product_id)

    writing = asyncio.create_task(reviews.tx.run("test.slow", slow))
    await begun.wait()
    started = time.monotonic()
    await other.tx.run("test.order", order)
    assert time.monotonic() - started < 2
    done.set()
    with pytest.raises(NotFound):
        await writing
    assert await reviews.violations() == []


async def test_the_check_finds_each_sum_and_copy_that_is_wrong(reviews: Reviews) -> None:
    buyer, shop, courier = await reviews.buyer(), await reviews.shop(), await reviews.courier()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop), courier=courier)
    for kind in (PRODUCT, SELLER, COURIER):
        await reviews.write(buyer, item_id, 4, kind=kind)
    assert await reviews.violations() == []
    for wrong, rule in {
        "UPDATE rating_summaries SET counts = '{0,0,0,0,1}' WHERE kind = 'COURIER'": "a sum is what",
        "UPDATE couriers SET rating_counts = '{0,0,0,0,2}'": "a courier shows",
        "UPDATE seller_ratings SET rating_counts = '{0,0,0,0,2}'": "a shop shows",
        "UPDATE products SET rating_histogram = '{0,0,0,0,2}'": "a product shows",
        "UPDATE orders SET deliver_time = NULL": "what is reviewed",
    }.items():
        await reviews.execute(wrong)
        assert any(rule in each for each in await reviews.violations()), rule
