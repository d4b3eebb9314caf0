"""What becomes of the reviews of an account that ends."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.media import service as media
from marketd.media.values import HolderKind
from marketd.review.repository import reports, reviews


async def author_deleted(uow: UnitOfWork, user_id: UUID) -> None:
    """Forget who wrote: auth's AccountEnded. What a review says stays and counts, without a name. Its pictures go with
    the next sweep, because they may show somebody, and so does what it said before.
    """
    review_ids = await reviews.lock_of_author(uow.connection, user_id)
    if review_ids:
        await reviews.forget_author(uow.connection, review_ids)
        await media.discard_all(uow, HolderKind.REVIEW, review_ids)
    await reports.forget_notes(uow.connection, user_id)
