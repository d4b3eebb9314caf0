"""The recipes of reviews."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.review.v1 import review_pb2
from marketplace.review.v1 import review_service_pb2 as pb

from tests.e2e.matrix.scenes import ADMIN, AUTHENTICATED, BUYER, PUBLIC, SELLER, Book, Scene, newcomer
from tests.worlds.matrix import Market
from tests.worlds.things import new_key

REVIEW = Book("marketplace.review.v1.ReviewService")
BOOKS = (REVIEW,)


def new_review(order_item_id: str) -> pb.CreateReviewRequest:
    """Of a product."""
    review = review_pb2.Review(
        kind=review_pb2.REVIEW_KIND_PRODUCT, order_item_id=order_item_id, rating=5, text="Bright.\nAnd warm."
    )
    return pb.CreateReviewRequest(request_id=new_key(), review=review)


@REVIEW.add("CreateReview", BUYER)
async def create_review(market: Market, who: str) -> Scene:
    return Scene(market.author, (new_review(await market.line()),))


@REVIEW.add("GetReview", PUBLIC)
async def get_review(market: Market, who: str) -> Scene:
    return Scene(None, (pb.GetReviewRequest(review_id=(await market.reviewed()).review_id),))


@REVIEW.add("ListReviews", PUBLIC)
async def list_reviews(market: Market, who: str) -> Scene:
    request = pb.ListReviewsRequest(seller_ids=[market.shop.seller_id], ratings=[4, 5], order_by="rating desc")
    return Scene(None, (request,))


@REVIEW.add("GetRatingSummary", PUBLIC)
async def get_rating_summary(market: Market, who: str) -> Scene:
    return Scene(None, (pb.GetRatingSummaryRequest(product_id=(await market.reviewed()).product_id),))


@REVIEW.add("UpdateReview", BUYER)
async def update_review(market: Market, who: str) -> Scene:
    made = await market.reviewed()
    change = review_pb2.Review(review_id=made.review_id, text="Dim.", etag=made.etag)
    return Scene(market.author, (pb.UpdateReviewRequest(review=change, update_mask=FieldMask(paths=["text"])),))


@REVIEW.add("DeleteReview", BUYER)
async def delete_review(market: Market, who: str) -> Scene:
    return Scene(market.author, (pb.DeleteReviewRequest(review_id=(await market.reviewed()).review_id),))


@REVIEW.add("ReplyToReview", SELLER)
async def reply_to_review(market: Market, who: str) -> Scene:
    made = await market.reviewed()
    return Scene(market.shop.owner, (pb.ReplyToReviewRequest(review_id=made.review_id, text="Thanks."),))


@REVIEW.add("ReportReview", AUTHENTICATED)
async def report_review(market: Market, who: str) -> Scene:
    request = pb.ReportReviewRequest(
        review_id=(await market.reviewed()).review_id, reason=review_pb2.REVIEW_REPORT_REASON_OTHER, note="odd"
    )
    return Scene(await newcomer(market, who), (request,))


@REVIEW.add("ModerateReview", ADMIN)
async def moderate_review(market: Market, who: str) -> Scene:
    request = pb.ModerateReviewRequest(
        review_id=(await market.reviewed()).review_id, state=review_pb2.REVIEW_STATE_REJECTED, reason="insults"
    )
    return Scene(market.admin, (request,))
