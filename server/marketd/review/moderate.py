"""Judging reviews: what admins do."""

from __future__ import annotations

from dataclasses import replace

from marketd.audit import log
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.media import service as media
from marketd.media.values import HolderKind
from marketd.review.count import Copies, count_change
from marketd.review.events import ReviewPublished, ReviewRejected, told
from marketd.review.model import ReviewState
from marketd.review.repository import reports, reviews, sums
from marketd.review.values import Judgement, Review


async def moderate_review(uow: UnitOfWork, caller: Caller, judgement: Judgement, copies: Copies) -> Review:
    """Publish or reject a review, whatever it was, and settle its reports; what is so already stays.

    Raises NotFound, EtagMismatch, and ValidationFailed for a rejection without a reason.
    """
    rejected = judgement.state is ReviewState.REJECTED
    if rejected and not judgement.reason:
        raise ValidationFailed(FieldViolation("reason", "must be given: its author is told why"))
    before = await reviews.lock(uow.connection, judgement.review_id)
    if before is None:
        raise NotFound("review", judgement.review_id)
    check_etag(judgement.etag, before.version)
    after = replace(before, state=judgement.state, state_reason=judgement.reason, report_count=0)
    if judgement.remove_reply:
        after = replace(after, reply_text="", reply_time=None)
    if judgement.remove_images:
        # Their addresses are everybody's, whatever becomes of the review.
        after = replace(after, media_ids=(), pictures=())
    if after != before:
        # Reports are no change of the review; who read it before them still knows it.
        if replace(after, report_count=before.report_count) != before:
            after = replace(after, update_time=uow.now, version=before.version + 1)
        await reviews.save(uow.connection, after)
        await sums.set_rejected(uow.connection, after.kind, after.bought_id, rejected=rejected)
        await reports.settle(uow.connection, after.review_id, uow.now)
        await count_change(uow, copies, before, after)
        if after.state is not before.state:
            uow.emit(told(ReviewRejected if rejected else ReviewPublished, after))
        if after.media_ids != before.media_ids:
            await media.discard_all(uow, HolderKind.REVIEW, [after.review_id])
        await log.record(uow, caller, "review", after.review_id, judgement.reason, before=before, after=after)
    return replace(after, revisions=await reviews.read_revisions(uow.connection, after.review_id))
