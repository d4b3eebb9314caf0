"""Lists of reviews: compared with what a loop over all of them finds, whatever is asked."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from marketd.kernel.call.caller import ANONYMOUS
from marketd.kernel.call.refusals import PageTokenInvalid, ValidationFailed
from marketplace.review.v1 import review_pb2

from tests.worlds.reviews import COURIER, PENDING, PRODUCT, PUBLISHED, REJECTED, SELLER, Reviews


@dataclass(frozen=True)
class Made:
    """A review as the test knows it."""

    review_id: str
    kind: int
    subject_id: str
    shop_id: str
    rating: int
    state: int
    pictured: bool
    is_mine: bool


async def test_a_list_has_what_fits_in_order_however_it_is_narrowed(reviews: Reviews) -> None:
    pick = random.Random(7)  # noqa: S311 - the same world every time
    me, other = await reviews.buyer(), await reviews.buyer()
    shops, courier = [await reviews.shop(), await reviews.shop()], await reviews.courier()
    products = {shop.seller_id: [await reviews.product(shop) for _ in range(2)] for shop in shops}
    made: list[Made] = []
    for _ in range(36):
        author, shop = pick.choice([me, other]), pick.choice(shops)
        product_id, kind = pick.choice(products[shop.seller_id]), pick.choice([PRODUCT, PRODUCT, SELLER, COURIER])
        (item_id,) = await reviews.bought(author, shop, product_id, courier=courier)
        pictured = pick.random() < 0.3
        media_ids = [await reviews.photograph(author)] if pictured else []
        review = await reviews.write(author, item_id, pick.randrange(1, 6), kind=kind, media_ids=media_ids)
        state = pick.choice([PUBLISHED, PUBLISHED, PENDING, REJECTED])
        if state is not PUBLISHED:
            review = await reviews.moderate(review.review_id, REJECTED, "No.")
        if state is PENDING:
            review = await reviews.update(author, review.review_id, rating=1 + review.rating % 5)
        subject = {PRODUCT: product_id, SELLER: shop.seller_id, COURIER: courier[1]}[kind]
        shop_id = "" if kind is COURIER else str(shop.seller_id)
        made.append(Made(review.review_id, kind, str(subject), shop_id, review.rating, state, pictured, author is me))
    subjects: list[dict[str, Any]] = [
        {},
        {"product_ids": [str(products[shops[0].seller_id][0])]},
        {"product_ids": [str(products[shop.seller_id][1]) for shop in shops]},
        {"seller_ids": [str(shops[1].seller_id)]},
        {"seller_ids": [str(shop.seller_id) for shop in shops]},
        {"courier_ids": [str(courier[1])]},
        {"product_ids": [str(products[shops[0].seller_id][0])], "seller_ids": [str(shop.seller_id) for shop in shops]},
    ]
    for _ in range(36):
        query = dict(pick.choice(subjects))
        for name, values in (
            ("kinds", [PRODUCT, SELLER, COURIER]),
            ("ratings", [1, 2, 3, 4, 5]),
            ("states", [PENDING, PUBLISHED, REJECTED]),
        ):
            if pick.random() < 0.4:
                query[name] = pick.sample(values, pick.randrange(1, len(values)))
        query["with_images"] = pick.random() < 0.2
        query["mine"] = pick.random() < 0.2
        order = pick.choice(["", "create_time", "create_time desc", "rating", "rating desc"])
        caller = me if query["mine"] else pick.choice([me, other, reviews.admin, ANONYMOUS])
        seen = [
            each
            for each in made
            if _fits(each, query)
            and (
                each.is_mine
                if query["mine"]
                else each.state == PUBLISHED or caller is reviews.admin or each.is_mine == (caller is me)
            )
            and (each.state == PUBLISHED or caller is not ANONYMOUS)
        ]
        seen.sort(key=lambda each: (each.rating, each.review_id) if "rating" in order else (0, each.review_id))
        if order in ("", "create_time desc", "rating desc"):
            seen.reverse()
        wanted = [each.review_id for each in seen]
        assert await reviews.listed(caller, page_size=7, order_by=order, **query) == wanted, (query, order)


def _fits(review: Made, query: dict[str, Any]) -> bool:
    default = [PENDING, PUBLISHED, REJECTED] if query["mine"] else [PUBLISHED]
    return (
        review.state in (query.get("states") or default)
        and review.kind in query.get("kinds", [review.kind])
        and review.rating in query.get("ratings", [review.rating])
        and review.subject_id in query.get("product_ids", [review.subject_id])
        and review.subject_id in query.get("courier_ids", [review.subject_id])
        and review.shop_id in query.get("seller_ids", [review.shop_id])
        and (review.pictured or not query["with_images"])
    )


async def test_a_page_token_is_of_its_list_and_of_who_asked_where_that_matters(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    for item_id in await reviews.bought(buyer, shop, await reviews.product(shop), 3):
        await reviews.write(buyer, item_id)
    token = (await reviews.page(ANONYMOUS, page_size=1)).next_page_token
    assert len((await reviews.page(buyer, page_size=1, page_token=token)).reviews) == 1
    with pytest.raises(PageTokenInvalid):
        await reviews.page(ANONYMOUS, page_size=1, page_token=token, order_by="rating")
    for query in ({"mine": True}, {"order_by": "stars"}):
        with pytest.raises(ValidationFailed):
            await reviews.page(ANONYMOUS, **query)
    token = (await reviews.page(buyer, page_size=1, mine=True)).next_page_token
    with pytest.raises(PageTokenInvalid):
        await reviews.page(await reviews.buyer(), page_size=1, mine=True, page_token=token)


async def test_revisions_are_not_in_lists(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    made = await reviews.write(buyer, item_id, 2)
    await reviews.update(buyer, made.review_id, rating=3)
    (listed,) = (await reviews.page(buyer, mine=True)).reviews
    assert listed == _without_revisions(await reviews.get(made.review_id, buyer))


def _without_revisions(review: review_pb2.Review) -> review_pb2.Review:
    review.ClearField("revisions")
    return review
