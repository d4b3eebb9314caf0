"""Reading reviews and what they sum up to."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.values.ratings import Rating
from marketd.review.access import may_see, viewer_of
from marketd.review.model import ReviewKind, ReviewState
from marketd.review.repository import pages, reports, reviews, sums
from marketd.review.repository.pages import ReviewKey
from marketd.review.values import Review, ReviewQuery

_SHOWN = (ReviewState.PUBLISHED,)


async def get_review(unit: ReadUnit, caller: Caller, review_id: UUID) -> Review:
    """A review, with what it said before and its reports for who may know. Raises NotFound."""
    review = await reviews.read(unit.connection, review_id)
    if review is None or not may_see(caller, review):
        raise NotFound("review", review_id)
    viewer = viewer_of(caller, review)
    if viewer.sees_whole:
        review = replace(review, revisions=await reviews.read_revisions(unit.connection, review_id))
    if viewer.is_admin:
        review = replace(review, reports=await reports.read_open(unit.connection, review_id))
    return review


def check_query(caller: Caller, query: ReviewQuery) -> None:
    """Raises ValidationFailed for the queue by others than admins, and for `mine` without an account."""
    if query.mine and caller.user_id is None:
        raise ValidationFailed(FieldViolation("mine", "needs the token of whose reviews they are; sign in first"))
    if not caller.has(Role.ADMIN):
        if query.reported:
            raise ValidationFailed(FieldViolation("reported", "is for admins; leave it out"))
        if query.order == "report_count":
            raise ValidationFailed(
                FieldViolation("order_by", "must be create_time or rating; report_count is for admins")
            )


async def list_reviews(
    unit: ReadUnit, caller: Caller, query: ReviewQuery, after: ReviewKey | None, limit: int
) -> list[Review]:
    """Up to `limit` reviews after that key: published ones, and in other states what the caller wrote; admins and
    services are shown all. The query is one that check_query let pass.
    """
    states: tuple[ReviewState, ...] = ()
    own: tuple[ReviewState, ...] = ()
    if query.mine:
        own = query.states or tuple(ReviewState)
    elif caller.has(Role.ADMIN, Role.SERVICE):
        states = query.states or _SHOWN
    else:
        asked = query.states or _SHOWN
        states = tuple(state for state in asked if state in _SHOWN)
        if caller.user_id is not None:
            own = tuple(state for state in asked if state not in _SHOWN)
    if not states and not own:
        return []
    return await pages.list_page(unit.connection, query, states, own, caller.user_id, after, limit)


def is_public(query: ReviewQuery) -> bool:
    """Whether the list is the same for everybody but for what is shown of each."""
    return not query.mine and query.states in ((), _SHOWN)


async def get_rating_summary(unit: ReadUnit, kind: ReviewKind, subject_id: UUID) -> Rating:
    """What the published ratings of it come to; nothing for what nobody has reviewed."""
    return await sums.read(unit.connection, kind, subject_id)
