"""The shop's answer to a review."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.review.events import ReviewReplied, told
from marketd.review.repository import reviews
from marketd.review.values import Review
from marketd.seller import service as sellers


async def reply_to_review(uow: UnitOfWork, caller: Caller, review_id: UUID, text: str, *, etag: str = "") -> Review:
    """Answer a published review of the caller's shop, also one that is closed; an empty text takes the answer away.

    Raises NotFound and EtagMismatch.
    """
    before = await reviews.lock(uow.connection, review_id)
    own = await sellers.sellers_of(uow, caller.known_user_id)
    if before is None or not before.counts or before.seller_id not in own:
        raise NotFound("review", review_id)
    check_etag(etag, before.version)
    if before.reply_text == text:
        return before
    after = replace(
        before,
        reply_text=text,
        reply_time=uow.now if text else None,
        update_time=uow.now,
        version=before.version + 1,
    )
    await reviews.save(uow.connection, after)
    uow.emit(told(ReviewReplied, after))
    return after
