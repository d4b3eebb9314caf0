"""Reviews as values: what the use cases read, change and hand out. Frozen; a change is a new value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from marketd.audit.changes import UNSAID
from marketd.media.values import Picture
from marketd.review.model import ReportReason, ReviewKind, ReviewState


@dataclass(frozen=True, slots=True)
class ReviewRevision:
    """What a review said before its author changed it."""

    rating: int
    text: str
    image_count: int
    replace_time: datetime


@dataclass(frozen=True, slots=True)
class ReviewReport:
    """What somebody has against a review; an empty note says nothing."""

    user_id: UUID
    reason: ReportReason
    note: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """A review. Empty texts are none; `author_name` is empty when the account is deleted.

    pictures: those of media_ids that media still has, in their order. revisions and reports: newest first, only of one
    that was read for who may see them. The words of people stay out of the audit log.
    """

    review_id: UUID
    kind: ReviewKind
    order_item_id: UUID
    order_id: UUID
    product_id: UUID | None
    seller_id: UUID | None
    courier_id: UUID | None
    author_user_id: UUID
    author_name: str = field(metadata=UNSAID)
    rating: int
    text: str = field(metadata=UNSAID)
    media_ids: tuple[UUID, ...]
    pictures: tuple[Picture, ...] = field(metadata=UNSAID)
    reply_text: str = field(metadata=UNSAID)
    reply_time: datetime | None
    state: ReviewState
    state_reason: str
    report_count: int
    edit_time: datetime | None
    create_time: datetime
    update_time: datetime
    version: int
    revisions: tuple[ReviewRevision, ...] = field(default=(), metadata=UNSAID)
    reports: tuple[ReviewReport, ...] = field(default=(), metadata=UNSAID)

    @property
    def subject_id(self) -> UUID:
        """What it is about: a product, a shop or a courier."""
        return subject_of(self.kind, self.product_id, self.seller_id, self.courier_id)

    @property
    def bought_id(self) -> UUID:
        """By what it is the only one of its kind: the line, or of a shop and a courier the order."""
        return self.order_item_id if self.kind is ReviewKind.PRODUCT else self.order_id

    @property
    def counts(self) -> bool:
        """Whether everybody sees it and its rating counts."""
        return self.state is ReviewState.PUBLISHED


@dataclass(frozen=True, slots=True)
class NewReview:
    """A review to write. rating: 1..5; media_ids: 0..5, unique."""

    kind: ReviewKind
    order_item_id: UUID
    rating: int
    text: str = ""
    media_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class ReviewChange:
    """New values for what is not None; an empty etag is unconditional."""

    review_id: UUID
    etag: str = ""
    rating: int | None = None
    text: str | None = None
    media_ids: tuple[UUID, ...] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an admin makes of a review: PUBLISHED or REJECTED, the latter with a reason."""

    review_id: UUID
    state: ReviewState
    reason: str = ""
    remove_reply: bool = False
    remove_images: bool = False
    etag: str = ""


@dataclass(frozen=True, slots=True)
class ReviewQuery:
    """Which reviews to list; empty tuples mean everything, of `states` what the caller is shown without asking.

    order: a name of repository.pages.ORDERS.
    """

    product_ids: tuple[UUID, ...] = ()
    seller_ids: tuple[UUID, ...] = ()
    courier_ids: tuple[UUID, ...] = ()
    kinds: tuple[ReviewKind, ...] = ()
    ratings: tuple[int, ...] = ()
    states: tuple[ReviewState, ...] = ()
    with_images: bool = False
    mine: bool = False
    reported: bool = False
    order: str = "create_time"
    descending: bool = True


def subject_of(kind: ReviewKind, product_id: UUID | None, seller_id: UUID | None, courier_id: UUID | None) -> UUID:
    """The one that a review of the kind is about."""
    found = {ReviewKind.PRODUCT: product_id, ReviewKind.SELLER: seller_id, ReviewKind.COURIER: courier_id}[kind]
    if found is None:
        raise ValueError(f"a review of kind {kind} without its subject")
    return found
