"""What admins do with reviews, and what it does to who sees them and to what counts."""

from __future__ import annotations

import pytest
from marketd.kernel.call.caller import ANONYMOUS
from marketd.kernel.call.refusals import EtagMismatch, NotFound, ValidationFailed
from marketd.kernel.db.database import Connection
from marketd.review.repository import reviews as repository
from marketd.review.values import Review
from marketplace.review.v1 import review_pb2

from tests.worlds.reviews import PENDING, PUBLISHED, REJECTED, Reviews, service


@pytest.fixture
def moderated(reviews: Reviews) -> Reviews:
    """The same marketplace, where an admin looks at reviews first."""
    return Reviews(reviews.tx, moderated=True)


async def test_where_admins_look_first_a_review_is_hidden_until_it_is_published(moderated: Reviews) -> None:
    buyer, shop = await moderated.buyer(), await moderated.shop()
    product_id = await moderated.product(shop)
    (item_id,) = await moderated.bought(buyer, shop, product_id)
    made = await moderated.write(buyer, item_id, 4, text="Fine.")
    assert made.state == PENDING
    for stranger in (ANONYMOUS, shop.caller, await moderated.buyer()):
        with pytest.raises(NotFound):
            await moderated.get(made.review_id, stranger)
        assert await moderated.listed(stranger, states=[PENDING]) == []
    for knows in (buyer, moderated.admin, service()):
        assert (await moderated.get(made.review_id, knows)).text == "Fine."
        assert await moderated.listed(knows, states=[PENDING]) == [made.review_id]
    with pytest.raises(NotFound):
        await moderated.reply(shop.caller, made.review_id, "Thanks.")
    with pytest.raises(NotFound):
        await moderated.report(shop.caller, made.review_id)
    assert await moderated.summary(product_id=product_id) == []
    assert (await moderated.moderate(made.review_id, PUBLISHED)).state == PUBLISHED
    assert await moderated.summary(product_id=product_id) == [0, 0, 0, 1, 0]
    assert (await moderated.shown(product_id)).rating.average == 4
    edited = await moderated.update(buyer, made.review_id, rating=5)
    assert edited.state == PENDING
    assert await moderated.summary(product_id=product_id) == []
    assert not await moderated.violations()


async def test_an_admin_takes_a_review_back_and_its_author_learns_why(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    (item_id,) = await reviews.bought(buyer, shop, product_id)
    made = await reviews.write(buyer, item_id, 1, text="Call me at 12345.")
    await reviews.reply(shop.caller, made.review_id, "Rude.")
    with pytest.raises(ValidationFailed):
        await reviews.moderate(made.review_id, REJECTED)
    with pytest.raises(EtagMismatch):
        await reviews.moderate(made.review_id, REJECTED, "A phone number.", etag=made.etag)
    gone = await reviews.moderate(made.review_id, REJECTED, "A phone number.", remove_reply=True)
    assert (await reviews.moderate(made.review_id, REJECTED, "A phone number.")).etag == gone.etag
    mine = await reviews.get(made.review_id, buyer)
    assert (mine.state, mine.state_reason, mine.HasField("reply")) == (REJECTED, "A phone number.", False)
    assert (await reviews.shown(product_id)).rating.count == 0
    edited = await reviews.update(buyer, made.review_id, text="Dim.")
    assert (edited.state, edited.HasField("state_reason")) == (PENDING, False)
    await reviews.moderate(made.review_id, PUBLISHED)
    assert (await reviews.shown(product_id)).rating.count == 1
    entries = await reviews.value(
        "SELECT array_agg(changes::text) FROM audit_entries WHERE resource_id = $1", made.review_id
    )
    assert len(entries) == 2
    assert not any("12345" in entry for entry in entries), "the words of people stay out of the audit log"


async def test_an_admin_takes_the_pictures_of_a_review_away_from_its_page_and_from_their_addresses(
    reviews: Reviews,
) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    product_id = await reviews.product(shop)
    (item_id,) = await reviews.bought(buyer, shop, product_id)
    picture = await reviews.photograph(buyer)
    made = await reviews.write(buyer, item_id, 4, text="Bright.", media_ids=[picture])
    judged = await reviews.moderate(made.review_id, PUBLISHED, "Somebody's face.", remove_images=True)
    assert (judged.text, len(judged.media_ids), len(judged.images)) == ("Bright.", 0, 0)
    assert judged.etag != made.etag
    due = "SELECT unheld_time < now() - interval '1 year' FROM media WHERE media_id = $1"
    assert await reviews.value(due, picture), "it goes with the next sweep"
    assert (
        await reviews.moderate(made.review_id, PUBLISHED, "Somebody's face.", remove_images=True)
    ).etag == judged.etag
    assert not await reviews.violations()


async def test_who_deletes_a_rejected_review_waits_with_the_next_one(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    made = await reviews.write(buyer, item_id, 1, text="Rubbish!")
    await reviews.moderate(made.review_id, REJECTED, "Insults.")
    await reviews.delete(buyer, made.review_id)
    again = await reviews.write(buyer, item_id, 1, text="Rubbish!!")
    assert again.state == PENDING
    await reviews.moderate(again.review_id, PUBLISHED, "Well.")
    await reviews.delete(buyer, again.review_id)
    assert (await reviews.write(buyer, item_id, 1)).state == PUBLISHED


async def test_a_rejection_while_the_next_review_is_being_written_counts(
    reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices: one deletes what an admin rejects just now, the other is about to write it anew."""
    buyer, shop = await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    made = await reviews.write(buyer, item_id, 1, text="Rubbish!")
    insert = repository.insert

    async def late(connection: Connection, review: Review) -> bool:
        await reviews.moderate(made.review_id, REJECTED, "Insults.")
        await reviews.delete(buyer, made.review_id)
        return await insert(connection, review)

    monkeypatch.setattr(repository, "insert", late)
    again = await reviews.write(buyer, item_id, 1, text="Rubbish!!")
    assert again.state == PENDING
    assert (await reviews.get(again.review_id, buyer)).state == PENDING
    assert not await reviews.violations()


async def test_each_step_of_a_review_is_told_without_its_words(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    (item_id,) = await reviews.bought(buyer, shop, await reviews.product(shop))
    review_id = (await reviews.write(buyer, item_id, 4, text="Bright.")).review_id
    await reviews.update(buyer, review_id, rating=2)
    await reviews.reply(shop.caller, review_id, "Sorry.")
    await reviews.moderate(review_id, REJECTED, "Insults.")
    await reviews.update(buyer, review_id, text="Dim.")
    await reviews.moderate(review_id, PUBLISHED)
    await reviews.delete(buyer, review_id)
    told = await reviews.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT event_type, (payload ->> 'rating')::int AS rating, payload ->> 'state' AS state, payload::text"
            " FROM outbox_events WHERE aggregate_id = $1 ORDER BY seq",
            review_id,
        )
    )
    assert [(each["event_type"].removeprefix("review."), each["rating"], each["state"]) for each in told] == [
        ("created", 4, "PUBLISHED"),
        ("published", 4, "PUBLISHED"),
        ("updated", 2, "PUBLISHED"),
        ("replied", 2, "PUBLISHED"),
        ("rejected", 2, "REJECTED"),
        ("updated", 2, "PENDING"),
        ("published", 2, "PUBLISHED"),
        ("deleted", 2, "PUBLISHED"),
    ]
    assert not any(words in each["payload"] for each in told for words in ("Bright", "Sorry", "Dim", "Insults"))


async def test_reports_count_once_an_account_and_lead_to_the_queue(reviews: Reviews) -> None:
    buyer, shop = await reviews.buyer(), await reviews.shop()
    made = [
        await reviews.write(buyer, item_id, 3, text="Hm.")
        for item_id in await reviews.bought(buyer, shop, await reviews.product(shop), 3)
    ]
    readers = [await reviews.buyer() for _ in range(3)]
    for reader in readers:
        for _ in range(2):
            await reviews.report(reader, made[1].review_id)
    other = review_pb2.REVIEW_REPORT_REASON_OTHER
    with pytest.raises(ValidationFailed, match="note"):
        await reviews.report(shop.caller, made[0].review_id, other)
    await reviews.report(shop.caller, made[0].review_id, other, "Never bought.")
    queue = await reviews.page(reviews.admin, reported=True, order_by="report_count desc")
    assert [(each.review_id, each.report_count) for each in queue.reviews] == [
        (made[1].review_id, 3),
        (made[0].review_id, 1),
    ]
    newest_first = (await reviews.get(made[1].review_id, reviews.admin)).reports
    assert [each.user_id for each in newest_first] == [str(reader.user_id) for reader in reversed(readers)]
    (report,) = (await reviews.get(made[0].review_id, reviews.admin)).reports
    assert (report.note, report.user_id) == ("Never bought.", str(shop.caller.user_id))
    assert not (await reviews.get(made[0].review_id, buyer)).HasField("report_count")
    for query in ({"reported": True}, {"order_by": "report_count"}):
        with pytest.raises(ValidationFailed):
            await reviews.page(buyer, **query)

    judged = await reviews.moderate(made[1].review_id, PUBLISHED)
    assert judged.report_count == 0
    assert judged.etag == made[1].etag, "reports are no change of what was written"
    await reviews.report(readers[0], made[1].review_id)
    assert await reviews.listed(reviews.admin, reported=True) == [made[0].review_id]
    await reviews.update(buyer, made[1].review_id, text="Worse.")
    await reviews.report(readers[0], made[1].review_id)
    assert (await reviews.get(made[1].review_id, reviews.admin)).report_count == 1
