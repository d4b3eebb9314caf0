"""Writing reviews: only of what was delivered, once, by who bought it."""

from __future__ import annotations

import pytest
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import (
    AlreadyExists,
    EtagMismatch,
    IllegalTransition,
    NotFound,
    ValidationFailed,
)
from marketd.media.model import Purpose

from tests.worlds.goods import Shop
from tests.worlds.reviews import COURIER, PRODUCT, PUBLISHED, SELLER, Reviews


async def test_a_review_says_what_the_buyer_wrote_and_not_who_else_may_not_know(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    (item_id,) = await reviews.bought(buyer, shop, product_id)
    text = "<b>Bright</b>, see https://x.example\n\nWarm light."
    picture = await reviews.photograph(buyer)
    made = await reviews.write(buyer, item_id, 4, text=text, media_ids=[picture])
    assert (made.state, made.order_item_id) == (PUBLISHED, str(item_id))
    seen = await reviews.get(made.review_id)
    assert (seen.rating, seen.text, seen.author_name, seen.product_id) == (4, text, "Kim", str(product_id))
    assert [image.media_id for image in seen.images] == [picture] == list(seen.media_ids)
    assert seen.images[0].renditions
    assert not (seen.order_item_id)
    assert not (seen.HasField("order_id"))
    assert not (seen.HasField("author_user_id"))
    assert (await reviews.get(made.review_id, shop.caller)) == seen, "a shop is told no more than everybody"
    mine = await reviews.get(made.review_id, buyer)
    assert (mine.author_user_id, mine.order_item_id) == (str(buyer.user_id), str(item_id))
    assert not mine.HasField("report_count")
    assert not await reviews.violations()


@pytest.mark.parametrize(
    ("full_name", "shown"),
    [
        ("Ada Lovelace", "Ada"),
        ("Ada\u00a0Lovelace", "Ada"),
        ("\u5c71\u7530\u3000\u592a\u90ce", "\u5c71\u7530"),
        ("Ada\u2009King\u202fLovelace", "Ada"),
        ("  Ada Lovelace", "Ada"),
        ("Ren\u00e9e-Zo\u00eb", "Ren\u00e9e-Zo\u00eb"),
    ],
)
async def test_a_review_shows_the_first_name_alone_whatever_spaces_the_name_is_written_with(
    reviews: Reviews, full_name: str, shown: str
) -> None:
    buyer, shop = await reviews.account(Role.BUYER, full_name=full_name), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    made = await reviews.write(buyer, item_id)
    assert (await reviews.get(made.review_id)).author_name == shown


async def test_a_line_is_reviewed_once_and_its_shop_and_courier_once_an_order(reviews: Reviews) -> None:
    buyer, shop, courier = await reviews.buyer(), await reviews.shop(), await reviews.courier()
    product_id = await reviews.product(shop)
    (item_id,) = await reviews.bought(buyer, shop, product_id, courier=courier)
    for kind in (PRODUCT, SELLER, COURIER):
        first = await reviews.write(buyer, item_id, 3, kind=kind)
        with pytest.raises(AlreadyExists) as refused:
            await reviews.write(buyer, item_id, 5, kind=kind)
        assert refused.value.metadata["id"] == first.review_id
    await reviews.delete(buyer, first.review_id)
    assert (await reviews.write(buyer, item_id, 5, kind=COURIER)).review_id != first.review_id
    (again,) = await reviews.bought(buyer, shop, product_id)
    await reviews.write(buyer, again, 1)  # another purchase is reviewed by itself


async def test_what_was_not_delivered_is_not_reviewed(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    for state in ("PENDING_PAYMENT", "PAID", "READY", "OUT_FOR_DELIVERY", "CANCELLED"):
        (item_id,) = await reviews.bought(buyer, shop, product_id, state=state)
        with pytest.raises(IllegalTransition) as refused:
            await reviews.write(buyer, item_id)
        assert refused.value.metadata["current"] == state


async def test_what_came_in_part_or_was_paid_back_is_reviewed_and_what_was_cancelled_is_not(
    reviews: Reviews,
) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    await reviews.execute("UPDATE order_items SET cancelled_quantity = 1 WHERE item_id = $1", item_id)
    (paid_back,) = await reviews.bought(buyer, shop, await reviews.product(shop), state="REFUNDED")
    await reviews.write(buyer, paid_back, 1, text="Broken.")
    (other,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    await reviews.execute("UPDATE order_items SET cancelled_quantity = quantity WHERE item_id = $1", other)
    await reviews.write(buyer, item_id)
    with pytest.raises(IllegalTransition, match="cancelled"):
        await reviews.write(buyer, other)


async def test_only_the_buyer_reviews_and_nobody_the_own_work(reviews: Reviews) -> None:
    buyer, shop, courier = await reviews.buyer(), await reviews.shop(), await reviews.courier()
    product_id = await reviews.product(shop)
    (item_id,) = await reviews.bought(buyer, shop, product_id, courier=courier)
    for other in (await reviews.buyer(), shop.caller, courier[0]):
        with pytest.raises(NotFound):
            await reviews.write(other, item_id)
    (own,) = await reviews.bought(shop.caller, shop, product_id, courier=courier)
    for kind in (PRODUCT, SELLER):
        with pytest.raises(ValidationFailed, match="own shop"):
            await reviews.write(shop.caller, own, kind=kind)
    await reviews.write(shop.caller, own, kind=COURIER)
    (brought,) = await reviews.bought(courier[0], shop, product_id, courier=courier)
    with pytest.raises(ValidationFailed, match="brought yourself"):
        await reviews.write(courier[0], brought, kind=COURIER)
    (fetched,) = await reviews.bought(buyer, shop, product_id)
    with pytest.raises(ValidationFailed, match="nobody brought"):
        await reviews.write(buyer, fetched, kind=COURIER)
    # What was to be sent was cancelled before the courier came, and the rest was handed over.
    (handed_over,) = await reviews.bought(buyer, shop, product_id, courier=courier)
    await reviews.execute(
        "UPDATE orders SET out_for_delivery_time = NULL WHERE order_id ="
        " (SELECT order_id FROM order_items WHERE item_id = $1)",
        handed_over,
    )
    with pytest.raises(ValidationFailed, match="nobody brought"):
        await reviews.write(buyer, handed_over, kind=COURIER)


async def test_pictures_are_the_authors_own_for_reviews_and_held_while_they_are_shown(reviews: Reviews) -> None:
    buyer, other, shop = await reviews.buyer(), await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    for wrong in (await reviews.photograph(other), await reviews.photograph(buyer, Purpose.SHOP)):
        with pytest.raises(ValidationFailed, match=r"review.media_ids\[0\]"):
            await reviews.write(buyer, item_id, media_ids=[wrong])
    first, second = await reviews.photograph(buyer), await reviews.photograph(buyer)
    made = await reviews.write(buyer, item_id, media_ids=[first])
    held = "SELECT unheld_time IS NULL FROM media WHERE media_id = $1"
    assert await reviews.value(held, first)
    changed = await reviews.update(buyer, made.review_id, media_ids=[second])
    assert list(changed.media_ids) == [second]
    assert [await reviews.value(held, each) for each in (first, second)] == [False, True]
    assert not (await reviews.update(buyer, made.review_id, "media_ids")).images
    await reviews.update(buyer, made.review_id, media_ids=[second])
    await reviews.delete(buyer, made.review_id)
    assert not await reviews.value(held, second)
    assert not await reviews.violations()


async def test_an_edit_keeps_what_was_said_and_one_that_changes_nothing_keeps_the_etag(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    made = await reviews.write(buyer, item_id, 2, text="Dim.")
    same = await reviews.update(buyer, made.review_id, rating=2, text="Dim.", etag=made.etag)
    assert same == made
    changed = await reviews.update(buyer, made.review_id, rating=4, etag=made.etag)
    assert (changed.rating, changed.text) == (4, "Dim.")
    assert changed.HasField("edit_time")
    assert not made.HasField("edit_time")
    with pytest.raises(EtagMismatch):
        await reviews.update(buyer, made.review_id, rating=1, etag=made.etag)
    assert not (await reviews.update(buyer, made.review_id, "text")).HasField("text")
    kept = (await reviews.get(made.review_id, buyer)).revisions
    assert [(each.rating, each.text) for each in kept] == [(4, "Dim."), (2, "Dim.")]
    assert not (await reviews.get(made.review_id)).revisions
    for stars in range(19):
        await reviews.update(buyer, made.review_id, rating=1 + stars % 5)
    kept = (await reviews.get(made.review_id, buyer)).revisions
    assert len(kept) == 20, "of 22 versions the last stands, and the first is forgotten"
    assert [(each.rating, each.text) for each in (*kept[:2], *kept[-2:])] == [(3, ""), (2, ""), (4, ""), (4, "Dim.")]


async def test_others_find_no_review_to_change(reviews: Reviews) -> None:
    buyer, other, shop = await reviews.buyer(), await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    made = await reviews.write(buyer, item_id, 2)
    with pytest.raises(NotFound):
        await reviews.update(other, made.review_id, rating=5)
    with pytest.raises(NotFound):
        await reviews.delete(other, made.review_id)
    await reviews.delete(other, made.review_id, allow_missing=True)
    assert (await reviews.get(made.review_id)).rating == 2
    changed = await reviews.update(buyer, made.review_id, rating=3)
    with pytest.raises(EtagMismatch):
        await reviews.delete(buyer, made.review_id, etag=made.etag)
    await reviews.delete(buyer, made.review_id, etag=changed.etag)
    with pytest.raises(NotFound):
        await reviews.get(made.review_id, buyer)


async def test_the_shop_answers_what_is_about_it_and_takes_its_answer_back(reviews: Reviews) -> None:
    buyer, shop, rival, courier = (
        await reviews.buyer(),
        await reviews.shop(),
        await reviews.shop(),
        await reviews.courier(),
    )
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop), courier=courier)
    for kind in (PRODUCT, SELLER):
        made = await reviews.write(buyer, item_id, 2, kind=kind)
        await _answered(reviews, shop, rival, made.review_id)
    ridden = await reviews.write(buyer, item_id, 2, kind=COURIER)
    with pytest.raises(NotFound):
        await reviews.reply(shop.caller, ridden.review_id, "Sorry.")


async def _answered(reviews: Reviews, shop: Shop, rival: Shop, review_id: str) -> None:
    with pytest.raises(NotFound):
        await reviews.reply(rival.caller, review_id, "Ha.")
    first = await reviews.reply(shop.caller, review_id, "Sorry.")
    assert (await reviews.get(review_id)).reply.text == "Sorry."
    assert (await reviews.reply(shop.caller, review_id, "Sorry.", first.etag)).etag == first.etag
    assert (await reviews.reply(shop.caller, review_id, "Write to us.", first.etag)).reply.text == "Write to us."
    with pytest.raises(EtagMismatch):
        await reviews.reply(shop.caller, review_id, "Again.", first.etag)
    assert not (await reviews.reply(shop.caller, review_id, "")).HasField("reply")
