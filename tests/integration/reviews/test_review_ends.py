"""What becomes of reviews when what they hang on ends."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

import pytest
from marketd.catalog import life
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.review.follow_accounts import author_deleted
from marketplace.review.v1 import review_pb2

from tests.worlds.reviews import PRODUCT, SELLER, Reviews, service


async def test_reviews_of_a_deleted_account_stay_without_name_pictures_and_former_words(reviews: Reviews) -> None:
    buyer, reader, shop = await reviews.buyer(), await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    (item_id,) = await reviews.bought(buyer, shop, product_id)
    picture = await reviews.photograph(buyer)
    made = await reviews.write(buyer, item_id, 4, text="I am Kim Lee.", media_ids=[picture])
    await reviews.update(buyer, made.review_id, text="Good.")
    await reviews.report(reader, made.review_id, note="I know Kim.")

    async def forget(uow: UnitOfWork, user_id: UUID) -> None:
        # What auth does to the account's own row, and then asks of who keeps more of it.
        await uow.connection.execute(
            "UPDATE accounts SET state = 'DELETED', full_name = '', username = NULL, phone = NULL WHERE user_id = $1",
            user_id,
        )
        await author_deleted(uow, user_id)

    for caller in (buyer, reader):
        await reviews.tx.run("test.forget", partial(forget, user_id=caller.known_user_id))
    seen = await reviews.get(made.review_id, reviews.admin)
    assert (seen.text, seen.rating, seen.HasField("author_name")) == ("Good.", 4, False)
    assert not (seen.images)
    assert not (seen.media_ids)
    assert not (seen.revisions)
    assert [report.HasField("note") for report in seen.reports] == [False]
    assert await reviews.summary(product_id=product_id) == [0, 0, 0, 1, 0]
    assert await reviews.value("SELECT unheld_time < now() - interval '1 year' FROM media WHERE media_id = $1", picture)
    assert not await reviews.violations()


async def test_an_account_that_is_being_deleted_leaves_no_report_with_its_words(reviews: Reviews) -> None:
    buyer, reader, shop = await reviews.buyer(), await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    made = await reviews.write(buyer, item_id, 4)
    forgotten, reported = asyncio.Event(), asyncio.Event()

    async def forget(uow: UnitOfWork) -> None:
        await uow.connection.execute("SELECT FROM accounts WHERE user_id = $1 FOR UPDATE", reader.known_user_id)
        await author_deleted(uow, reader.known_user_id)
        await uow.connection.execute(
            "UPDATE accounts SET state = 'DELETED', full_name = '' WHERE user_id = $1", reader.known_user_id
        )
        forgotten.set()
        await reported.wait()

    async def report() -> None:
        await forgotten.wait()
        asyncio.get_running_loop().call_later(0.2, reported.set)
        await reviews.report(reader, made.review_id, note="I am Kim Lee.")

    with pytest.raises(NotFound):
        await asyncio.gather(reviews.tx.run("test.forget", forget), report())
    await reviews.tx.drain()
    assert not (await reviews.get(made.review_id, reviews.admin)).reports
    await reviews.report(service(), made.review_id, note="A service finds it odd.")


@pytest.mark.parametrize("kind", [PRODUCT, SELLER])
async def test_reviews_stay_when_product_and_shop_end_and_go_on_counting(
    reviews: Reviews, kind: review_pb2.ReviewKind.ValueType
) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    items = await reviews.bought(buyer, shop, product_id, 2)
    made = await reviews.write(buyer, items[0], 4, kind=kind)
    await reviews.tx.run("test.archive", lambda uow: life.archive_product(uow, shop.caller, product_id, ""))
    await reviews.execute("UPDATE sellers SET state = 'CLOSED' WHERE seller_id = $1", shop.seller_id)
    assert (await reviews.get(made.review_id)).rating == 4
    await reviews.write(buyer, items[1], 2, kind=kind)
    await reviews.delete(buyer, made.review_id)
    subject = {"product_id": product_id} if kind is PRODUCT else {"seller_id": shop.seller_id}
    assert await reviews.summary(**subject) == [0, 1, 0, 0, 0]
    await reviews.reply(shop.caller, (await reviews.listed())[0], "Thanks.")
    assert not await reviews.violations()
