"""Between reviews' values and marketplace.review.v1."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from marketplace.review.v1 import review_pb2
from marketplace.review.v1 import review_service_pb2 as pb

from marketd.kernel.call.pages import parse_order
from marketd.kernel.enums import EnumMap
from marketd.kernel.masks import update_paths
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import to_timestamp
from marketd.media.images.convert import to_image
from marketd.review.access import ReviewViewer
from marketd.review.model import ReportReason, ReviewKind, ReviewState
from marketd.review.repository.pages import ORDERS
from marketd.review.values import (
    Judgement,
    NewReview,
    Review,
    ReviewChange,
    ReviewQuery,
    ReviewReport,
    ReviewRevision,
)

_KINDS: Final = EnumMap(ReviewKind, review_pb2.ReviewKind)
_STATES: Final = EnumMap(ReviewState, review_pb2.ReviewState)
REPORT_REASONS: Final = EnumMap(ReportReason, review_pb2.ReviewReportReason)


def from_review(review: review_pb2.Review) -> NewReview:
    """The review to write."""
    return NewReview(
        kind=_KINDS.from_wire(review.kind),
        order_item_id=UUID(review.order_item_id),
        rating=review.rating,
        text=review.text,
        media_ids=tuple(map(UUID, review.media_ids)),
    )


def from_update(request: pb.UpdateReviewRequest) -> ReviewChange:
    """The change to make."""
    review = request.review
    paths = update_paths(review, request.update_mask)
    return ReviewChange(
        review_id=UUID(review.review_id),
        etag=review.etag,
        rating=review.rating if "rating" in paths else None,
        text=review.text if "text" in paths else None,
        media_ids=tuple(map(UUID, review.media_ids)) if "media_ids" in paths else None,
    )


def from_moderate(request: pb.ModerateReviewRequest) -> Judgement:
    """The judgement."""
    return Judgement(
        review_id=UUID(request.review_id),
        state=_STATES.from_wire(request.state),
        reason=request.reason,
        remove_reply=request.remove_reply,
        remove_images=request.remove_images,
        etag=request.etag,
    )


def from_list(request: pb.ListReviewsRequest) -> ReviewQuery:
    """The reviews to list. Raises ValidationFailed for an order that there is not."""
    order, descending = parse_order(request.order_by, ORDERS, "create_time desc")
    return ReviewQuery(
        product_ids=tuple(map(UUID, request.product_ids)),
        seller_ids=tuple(map(UUID, request.seller_ids)),
        courier_ids=tuple(map(UUID, request.courier_ids)),
        kinds=tuple(_KINDS.all_from_wire(request.kinds)),
        ratings=tuple(request.ratings),
        states=tuple(_STATES.all_from_wire(request.states)),
        with_images=request.with_images,
        mine=request.mine,
        reported=request.reported,
        order=order,
        descending=descending,
    )


def from_subject(request: pb.GetRatingSummaryRequest) -> tuple[ReviewKind, UUID]:
    """Whose ratings are summed up."""
    match request.WhichOneof("subject"):
        case "product_id":
            return ReviewKind.PRODUCT, UUID(request.product_id)
        case "seller_id":
            return ReviewKind.SELLER, UUID(request.seller_id)
        case _:
            return ReviewKind.COURIER, UUID(request.courier_id)


def to_review(review: Review, media_url: str, viewer: ReviewViewer) -> review_pb2.Review:
    """The review as the viewer may see it, its pictures below `media_url`."""
    message = review_pb2.Review(
        review_id=str(review.review_id),
        kind=_KINDS.to_wire(review.kind),
        product_id=_text(review.product_id),
        seller_id=_text(review.seller_id),
        courier_id=_text(review.courier_id),
        author_name=review.author_name or None,
        rating=review.rating,
        text=review.text or None,
        media_ids=map(str, review.media_ids),
        images=[to_image(picture, media_url) for picture in review.pictures],
        state=_STATES.to_wire(review.state),
        create_time=to_timestamp(review.create_time),
        update_time=to_timestamp(review.update_time),
        etag=etag_of(review.version),
    )
    if review.edit_time is not None:
        message.edit_time.CopyFrom(to_timestamp(review.edit_time))
    if review.reply_time is not None:
        message.reply.CopyFrom(
            review_pb2.ReviewReply(text=review.reply_text, reply_time=to_timestamp(review.reply_time))
        )
    if viewer.sees_whole:
        message.order_item_id, message.order_id = str(review.order_item_id), str(review.order_id)
        message.author_user_id = str(review.author_user_id)
        if review.state_reason:
            message.state_reason = review.state_reason
        message.revisions.extend(map(_to_revision, review.revisions))
    if viewer.is_admin:
        message.report_count = review.report_count
        message.reports.extend(map(_to_report, review.reports))
    return message


def _to_revision(revision: ReviewRevision) -> review_pb2.ReviewRevision:
    return review_pb2.ReviewRevision(
        rating=revision.rating,
        text=revision.text or None,
        image_count=revision.image_count,
        replace_time=to_timestamp(revision.replace_time),
    )


def _to_report(report: ReviewReport) -> review_pb2.ReviewReport:
    return review_pb2.ReviewReport(
        user_id=str(report.user_id),
        reason=REPORT_REASONS.to_wire(report.reason),
        note=report.note or None,
        create_time=to_timestamp(report.create_time),
    )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
