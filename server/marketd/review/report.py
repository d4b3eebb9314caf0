"""Telling the marketplace that a review should not be there."""

from __future__ import annotations

from uuid import UUID

from marketd.auth import service as auth
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import UnitOfWork
from marketd.review.model import ReportReason
from marketd.review.repository import reports, reviews
from marketd.review.values import ReviewReport


async def report_review(uow: UnitOfWork, caller: Caller, review_id: UUID, reason: ReportReason, note: str = "") -> None:
    """Report a published review; each account counts once, and another report changes nothing while the first stands.

    Raises NotFound, and ValidationFailed for something else that the note does not say.
    """
    if reason is ReportReason.OTHER and not note:
        raise ValidationFailed(FieldViolation("note", "must say what is wrong, because the reason does not"))
    if not caller.has(Role.SERVICE):
        # Held: an account that is deleted beside this would leave its note behind.
        await auth.hold_active(uow, caller.known_user_id)
    # Its reports are counted one after the other.
    review = await reviews.lock(uow.connection, review_id)
    if review is None or not review.counts:
        raise NotFound("review", review_id)
    await reports.add(uow.connection, review, ReviewReport(caller.known_user_id, reason, note, uow.now))
