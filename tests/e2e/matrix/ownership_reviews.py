"""Whose the ids are in the requests of reviews."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from marketplace.media.v1 import media_pb2
from marketplace.review.v1 import review_pb2
from marketplace.review.v1 import review_service_pb2 as pb

from tests.e2e.matrix.ownership_cases import Case, Owned, Question, plain, stranger
from tests.e2e.matrix.recipes_reviews import new_review
from tests.worlds.matrix import Market

B, S, C, NOBODY = "BUYER", "SELLER", "COURIER", "anonymous"


def reviewed(ask: Callable[[str], Any], *, hidden: bool = False) -> Case:
    """With a review that is not the stranger's, nor of its shop; hidden: one that an admin has rejected."""

    async def case(market: Market, who: str) -> Question:
        return Question(stranger(market, who), (await market.reviewed(hidden=hidden)).review_id, ask)

    return case


def _update(one: str) -> Message:
    change = review_pb2.Review(review_id=one, text="Mine now", etag="stale")
    return pb.UpdateReviewRequest(review=change, update_mask=FieldMask(paths=["text"]))


async def pictured(market: Market, who: str) -> Question:
    """The author shows a picture of somebody else's."""
    media_id, item_id = await market.upload(market.buyer, media_pb2.MEDIA_PURPOSE_REVIEW), await market.line()

    def ask(one: str) -> Message:
        request = new_review(item_id)
        request.review.media_ids.append(one)
        return request

    return Question(market.author, media_id, ask)


async def repictured(market: Market, who: str) -> Question:
    """The same, later."""
    media_id, made = await market.upload(market.buyer, media_pb2.MEDIA_PURPOSE_REVIEW), await market.reviewed()

    def ask(one: str) -> Message:
        return pb.UpdateReviewRequest(review=review_pb2.Review(review_id=made.review_id, media_ids=[one]))

    return Question(market.author, media_id, ask)


REVIEWS: Final[Mapping[str, Owned]] = {
    "CreateReview.review.order_item_id": Owned((B,), plain(lambda market: market.trip.item_id, new_review)),
    "CreateReview.review.media_ids": Owned((B,), pictured, is_attribute=True),
    "GetReview.review_id": Owned(
        (NOBODY, B, S, C), reviewed(lambda one: pb.GetReviewRequest(review_id=one), hidden=True)
    ),
    "UpdateReview.review.review_id": Owned((B,), reviewed(_update)),
    "UpdateReview.review.media_ids": Owned((B,), repictured, is_attribute=True),
    "DeleteReview.review_id": Owned((B,), reviewed(lambda one: pb.DeleteReviewRequest(review_id=one, etag="stale"))),
    "ReplyToReview.review_id": Owned(
        (S,), reviewed(lambda one: pb.ReplyToReviewRequest(review_id=one, text="Ha.", etag="stale"))
    ),
    "ReportReview.review_id": Owned(
        (B, S, C),
        reviewed(
            lambda one: pb.ReportReviewRequest(review_id=one, reason=review_pb2.REVIEW_REPORT_REASON_SPAM), hidden=True
        ),
    ),
}
