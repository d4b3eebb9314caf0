"""What the buyer says afterwards about the goods, the shop and the courier, and what becomes of it."""

from __future__ import annotations

from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.review.v1 import review_pb2, review_service_pb2
from marketplace_client import MarketplaceError

from marketd.demo.buy import Purchase
from marketd.demo.people import Cast
from marketd.demo.records import CheckFailed, require
from marketd.demo.stage import Stage

_SAID = {
    review_pb2.REVIEW_KIND_PRODUCT: (
        5,
        "Exactly as in the picture, and the bell rang before I had put the kettle on.",
    ),
    review_pb2.REVIEW_KIND_SELLER: (4, "Quick to accept, and they answer."),
    review_pb2.REVIEW_KIND_COURIER: (5, ""),
}
_REPLY = "Thank you, Bo. The kettle is on us next time."


async def write(stage: Stage, cast: Cast, purchase: Purchase, seller_id: str, courier_id: str) -> None:
    """The buyer reviews each of them once, the shop replies, and the ratings count at once."""
    async with stage.step("review", "The buyer reviews the goods, the shop and the courier") as detail:
        item = purchase.order.items[0]
        made: list[review_pb2.Review] = []
        for kind, (rating, text) in _SAID.items():
            review = review_pb2.Review(kind=kind, order_item_id=item.item_id, rating=rating, text=text or None)
            request = review_service_pb2.CreateReviewRequest(review=review)
            made.append((await cast.buyer.review.CreateReview(request)).review)
        detail["ratings"] = [review.rating for review in made]
        of = [(made[0].product_id, item.product_id), (made[1].seller_id, seller_id), (made[2].courier_id, courier_id)]
        require(all(said == meant for said, meant in of), "a review is of something else than was reviewed")
        again = review_service_pb2.CreateReviewRequest(
            review=review_pb2.Review(kind=review_pb2.REVIEW_KIND_PRODUCT, order_item_id=item.item_id, rating=1)
        )
        try:
            await cast.buyer.review.CreateReview(again)
        except MarketplaceError as refusal:
            require(refusal.reason == "ALREADY_EXISTS", f"a second review of one thing is refused with {refusal}")
            detail["second_review"] = refusal.reason
        else:
            raise CheckFailed("one line of an order was reviewed twice")
    async with stage.step("reply", "The shop replies, and everybody sees what the buyer said") as detail:
        reply = review_service_pb2.ReplyToReviewRequest(review_id=made[0].review_id, text=_REPLY)
        await cast.seller.review.ReplyToReview(reply)
        listing = review_service_pb2.ListReviewsRequest(product_ids=[item.product_id])
        shown = (await cast.courier.review.ListReviews(listing)).reviews
        require([review.review_id for review in shown] == [made[0].review_id], "the product does not show the review")
        detail["author"], detail["reply"] = shown[0].author_name, shown[0].reply.text
        require(shown[0].reply.text == _REPLY, "the review does not show the reply")
        require(not shown[0].author_user_id, "whoever looks is told who wrote the review")
        for name, subject in (
            ("product", review_service_pb2.GetRatingSummaryRequest(product_id=item.product_id)),
            ("seller", review_service_pb2.GetRatingSummaryRequest(seller_id=seller_id)),
            ("courier", review_service_pb2.GetRatingSummaryRequest(courier_id=courier_id)),
        ):
            summary = (await cast.courier.review.GetRatingSummary(subject)).rating_summary
            detail[name] = f"{summary.average:g} of {summary.count}"
            require(summary.count == 1, f"the {name} has {summary.count} ratings instead of one")
        read = catalog_service_pb2.GetProductRequest(product_id=item.product_id)
        product = (await cast.courier.catalog.GetProduct(read)).product
        carried = (product.rating.count, product.rating.average)
        require(carried == (1, made[0].rating), f"the product carries the rating {carried}")
