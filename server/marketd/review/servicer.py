"""ReviewService: from messages to use cases and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.review.v1 import review_pb2, review_service_pb2_grpc
from marketplace.review.v1 import review_service_pb2 as pb

from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.wire import to_rating
from marketd.review import convert, read, write
from marketd.review.access import viewer_of
from marketd.review.count import Copies
from marketd.review.moderate import moderate_review
from marketd.review.reply import reply_to_review
from marketd.review.report import report_review
from marketd.review.repository.pages import cursor_of
from marketd.review.values import Review

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class ReviewServicer(review_service_pb2_grpc.ReviewServiceServicer):
    """marketplace.review.v1.ReviewService. moderated: admins look at reviews before others see them."""

    def __init__(self, *, tx: Transactor, pager: Pager, copies: Copies, media_url: str, moderated: bool) -> None:
        self._tx = tx
        self._pager = pager
        self._copies = copies
        self._media_url = media_url
        self._moderated = moderated

    async def CreateReview(self, request: pb.CreateReviewRequest, context: Context) -> pb.CreateReviewResponse:
        caller, new = calls.current_caller(), convert.from_review(request.review)
        return await self._tx.answer(
            "review.create",
            lambda uow: write.create_review(uow, caller, new, self._copies, moderated=self._moderated),
            lambda review: pb.CreateReviewResponse(review=self._shown(review)),
        )

    async def GetReview(self, request: pb.GetReviewRequest, context: Context) -> pb.GetReviewResponse:
        caller, review_id = calls.current_caller(), UUID(request.review_id)
        review = await self._tx.read(lambda unit: read.get_review(unit, caller, review_id))
        return pb.GetReviewResponse(review=self._shown(review))

    async def ListReviews(self, request: pb.ListReviewsRequest, context: Context) -> pb.ListReviewsResponse:
        caller, query = calls.current_caller(), convert.from_list(request)
        read.check_query(caller, query)
        page = await self._pager.list(
            request,
            None if read.is_public(query) else caller,
            lambda unit, after, limit: read.list_reviews(unit, caller, query, after, limit),
            lambda review: cursor_of(review, query.order),
            lambda review: convert.to_review(review, self._media_url, viewer_of(caller, review)),
        )
        return pb.ListReviewsResponse(reviews=page.items, next_page_token=page.next_page_token)

    async def GetRatingSummary(
        self, request: pb.GetRatingSummaryRequest, context: Context
    ) -> pb.GetRatingSummaryResponse:
        kind, subject_id = convert.from_subject(request)
        rating = await self._tx.read(lambda unit: read.get_rating_summary(unit, kind, subject_id))
        return pb.GetRatingSummaryResponse(rating_summary=to_rating(rating))

    async def UpdateReview(self, request: pb.UpdateReviewRequest, context: Context) -> pb.UpdateReviewResponse:
        caller, change = calls.current_caller(), convert.from_update(request)
        return await self._tx.answer(
            "review.update",
            lambda uow: write.update_review(uow, caller, change, self._copies, moderated=self._moderated),
            lambda review: pb.UpdateReviewResponse(review=self._shown(review)),
        )

    async def DeleteReview(self, request: pb.DeleteReviewRequest, context: Context) -> pb.DeleteReviewResponse:
        caller, review_id = calls.current_caller(), UUID(request.review_id)
        return await self._tx.answer(
            "review.delete",
            lambda uow: write.delete_review(
                uow, caller, review_id, self._copies, etag=request.etag, allow_missing=request.allow_missing
            ),
            lambda _: pb.DeleteReviewResponse(),
        )

    async def ReplyToReview(self, request: pb.ReplyToReviewRequest, context: Context) -> pb.ReplyToReviewResponse:
        caller, review_id = calls.current_caller(), UUID(request.review_id)
        return await self._tx.answer(
            "review.reply",
            lambda uow: reply_to_review(uow, caller, review_id, request.text, etag=request.etag),
            lambda review: pb.ReplyToReviewResponse(review=self._shown(review)),
        )

    async def ReportReview(self, request: pb.ReportReviewRequest, context: Context) -> pb.ReportReviewResponse:
        caller, review_id = calls.current_caller(), UUID(request.review_id)
        reason = convert.REPORT_REASONS.from_wire(request.reason)
        return await self._tx.answer(
            "review.report",
            lambda uow: report_review(uow, caller, review_id, reason, request.note),
            lambda _: pb.ReportReviewResponse(),
        )

    async def ModerateReview(self, request: pb.ModerateReviewRequest, context: Context) -> pb.ModerateReviewResponse:
        caller, judgement = calls.current_caller(), convert.from_moderate(request)
        return await self._tx.answer(
            "review.moderate",
            lambda uow: moderate_review(uow, caller, judgement, self._copies),
            lambda review: pb.ModerateReviewResponse(review=self._shown(review)),
        )

    def _shown(self, review: Review) -> review_pb2.Review:
        """The review as the caller of now may see it."""
        return convert.to_review(review, self._media_url, viewer_of(calls.current_caller(), review))
