"""The events of reviews: which one, of what, and how many stars. They say neither who wrote it nor what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar
from uuid import UUID

from marketd.kernel.events.events import Event
from marketd.review.model import ReviewKind, ReviewState
from marketd.review.values import Review


@dataclass(frozen=True, kw_only=True)
class ReviewEvent(Event):
    """What the events of a review have in common; `state` and `rating` are those after it."""

    aggregate: ClassVar[str] = "review"

    review_id: UUID
    kind: ReviewKind
    product_id: UUID | None
    seller_id: UUID | None
    courier_id: UUID | None
    rating: int
    state: ReviewState


E = TypeVar("E", bound=ReviewEvent)


def told(kind: type[E], review: Review) -> E:
    """The event of that kind about the review as it is now."""
    return kind(
        review_id=review.review_id,
        kind=review.kind,
        product_id=review.product_id,
        seller_id=review.seller_id,
        courier_id=review.courier_id,
        rating=review.rating,
        state=review.state,
    )


@dataclass(frozen=True, kw_only=True)
class ReviewCreated(ReviewEvent):
    """Somebody wrote a review; one that is PUBLISHED at once is told as that as well."""

    event_type: ClassVar[str] = "review.created"


@dataclass(frozen=True, kw_only=True)
class ReviewUpdated(ReviewEvent):
    """Its author changed it; it may wait for an admin now."""

    event_type: ClassVar[str] = "review.updated"


@dataclass(frozen=True, kw_only=True)
class ReviewPublished(ReviewEvent):
    """Everybody sees it from now on."""

    event_type: ClassVar[str] = "review.published"


@dataclass(frozen=True, kw_only=True)
class ReviewRejected(ReviewEvent):
    """An admin turned it down, or took it back."""

    event_type: ClassVar[str] = "review.rejected"


@dataclass(frozen=True, kw_only=True)
class ReviewReplied(ReviewEvent):
    """The shop answered it, changed its answer or took it away."""

    event_type: ClassVar[str] = "review.replied"


@dataclass(frozen=True, kw_only=True)
class ReviewDeleted(ReviewEvent):
    """Its author deleted it; `state` is the one that it had."""

    event_type: ClassVar[str] = "review.deleted"
