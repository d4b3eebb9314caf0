"""Writing reviews: what buyers do with their own."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.auth import service as auth
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.media import service as media
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind
from marketd.order import service as orders
from marketd.order.values import Order
from marketd.review.count import Copies, count_change
from marketd.review.errors import NoCourier, NotDelivered, NothingDelivered, OwnWork, ReviewExists
from marketd.review.events import ReviewCreated, ReviewDeleted, ReviewPublished, ReviewUpdated, told
from marketd.review.model import ReviewKind, ReviewState
from marketd.review.repository import reviews, sums
from marketd.review.values import NewReview, Review, ReviewChange

_PICTURES = "review.media_ids[]"


async def create_review(uow: UnitOfWork, caller: Caller, new: NewReview, copies: Copies, *, moderated: bool) -> Review:
    """Review what the caller has bought and got. moderated: the marketplace looks at reviews before others do.

    Raises NotFound for a line that is not the caller's, NotDelivered, NothingDelivered, OwnWork, NoCourier,
    ReviewExists, and ValidationFailed for pictures that are not the caller's to use.
    """
    # Held: an account that is deleted beside this would leave its pictures behind.
    await auth.hold_active(uow, caller.known_user_id)
    order = await orders.read_order_of_item(uow, new.order_item_id)
    if order is None or order.buyer_id != caller.user_id:
        raise NotFound("order item", new.order_item_id)
    review = replace(_of_order(caller, new, order), create_time=uow.now, update_time=uow.now)
    if moderated:
        review = replace(review, state=ReviewState.PENDING)
    if not await reviews.insert(uow.connection, review):
        found = await reviews.id_of(uow.connection, review)
        if found is not None:
            raise ReviewExists(found, "order_item_id" if review.kind is ReviewKind.PRODUCT else "order_id")
        raise ConcurrentUpdate
    # Asked when the place is taken: before, the first review could be rejected and deleted between question and insert.
    if review.counts and await sums.is_rejected(uow.connection, review.kind, review.bought_id):
        review = replace(review, state=ReviewState.PENDING)
        await reviews.save(uow.connection, review)
    await count_change(uow, copies, None, review)
    await _hold(uow, caller, review, ())
    uow.emit(told(ReviewCreated, review))
    if review.counts:
        uow.emit(told(ReviewPublished, review))
    return await _read(uow, review.review_id)


def _of_order(caller: Caller, new: NewReview, order: Order) -> Review:
    """The review of a line of the order, published; its times are the caller's to write. Raises what may not be."""
    item = next(item for item in order.items if item.item_id == new.order_item_id)
    if order.deliver_time is None:
        raise NotDelivered(order.order_number, order.state, order.steps.allowed(order.state))
    if not item.left:
        raise NothingDelivered(order.state, order.steps.allowed(order.state))
    is_courier = new.kind is ReviewKind.COURIER
    if is_courier and (order.courier_id is None or order.out_for_delivery_time is None):
        raise NoCourier
    if is_courier and order.courier_user_id == caller.user_id:
        raise OwnWork("an order that you have brought yourself")
    if not is_courier and order.owner_user_id == caller.user_id:
        raise OwnWork("of your own shop")
    return Review(
        review_id=new_id(),
        kind=new.kind,
        order_item_id=item.item_id,
        order_id=order.order_id,
        product_id=item.product_id if new.kind is ReviewKind.PRODUCT else None,
        seller_id=None if is_courier else order.seller_id,
        courier_id=order.courier_id if is_courier else None,
        author_user_id=caller.known_user_id,
        author_name="",
        rating=new.rating,
        text=new.text,
        media_ids=new.media_ids,
        pictures=(),
        reply_text="",
        reply_time=None,
        state=ReviewState.PUBLISHED,
        state_reason="",
        report_count=0,
        edit_time=None,
        create_time=order.deliver_time,
        update_time=order.deliver_time,
        version=1,
    )


async def update_review(
    uow: UnitOfWork, caller: Caller, change: ReviewChange, copies: Copies, *, moderated: bool
) -> Review:
    """Change an own review; what is so already stays. Raises NotFound, EtagMismatch and ValidationFailed."""
    await auth.hold_active(uow, caller.known_user_id)
    before = await _lock_own(uow, caller, change.review_id)
    check_etag(change.etag, before.version)
    after = replace(
        before,
        rating=before.rating if change.rating is None else change.rating,
        text=before.text if change.text is None else change.text,
        media_ids=before.media_ids if change.media_ids is None else change.media_ids,
    )
    if after == before:
        return await _read(uow, before.review_id)
    if before.state is ReviewState.REJECTED or moderated:
        after = replace(after, state=ReviewState.PENDING, state_reason="")
    after = replace(after, edit_time=uow.now, update_time=uow.now, version=before.version + 1)
    await reviews.save(uow.connection, after)
    await reviews.add_revision(uow.connection, before, uow.now)
    await count_change(uow, copies, before, after)
    await _hold(uow, caller, after, before.media_ids)
    uow.emit(told(ReviewUpdated, after))
    return await _read(uow, after.review_id)


async def delete_review(
    uow: UnitOfWork, caller: Caller, review_id: UUID, copies: Copies, *, etag: str = "", allow_missing: bool = False
) -> None:
    """Delete an own review with all that belongs to it. Raises NotFound and EtagMismatch."""
    try:
        before = await _lock_own(uow, caller, review_id)
    except NotFound:
        if allow_missing:
            return
        raise
    check_etag(etag, before.version)
    await reviews.delete(uow.connection, review_id)
    await count_change(uow, copies, before, None)
    await media.release_all(uow, Holder(HolderKind.REVIEW, review_id))
    uow.emit(told(ReviewDeleted, before))


async def _lock_own(uow: UnitOfWork, caller: Caller, review_id: UUID) -> Review:
    review = await reviews.lock(uow.connection, review_id)
    if review is None or review.author_user_id != caller.user_id:
        raise NotFound("review", review_id)
    return review


async def _hold(uow: UnitOfWork, caller: Caller, review: Review, before: tuple[UUID, ...]) -> None:
    """Hold the pictures of the review, those of before as well, and let go of what it shows no more."""
    holder = Holder(HolderKind.REVIEW, review.review_id)
    await media.hold(uow, [caller.known_user_id], review.media_ids, Purpose.REVIEW, holder, field=_PICTURES)
    await media.release(uow, [each for each in before if each not in review.media_ids], holder)


async def _read(uow: UnitOfWork, review_id: UUID) -> Review:
    """The review as it was written just now, with what it said before."""
    review = await reviews.read(uow.connection, review_id)
    if review is None:
        raise RuntimeError("a review that was just written is gone")
    return replace(review, revisions=await reviews.read_revisions(uow.connection, review_id))
