"""How reviews are put together."""

from __future__ import annotations

from functools import partial
from typing import Final

from marketd.config import ReviewModeration
from marketd.kernel.slice import Parts, Slice
from marketd.review import invariants
from marketd.review.count import Copies
from marketd.review.ports import CourierRatings
from marketd.review.servicer import ReviewServicer

SERVICERS: Final = (ReviewServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts, *, couriers: CourierRatings, shown_under: str) -> Slice:
    """Reviews' part of a process. `couriers` writes down what buyers think of couriers; kept answers of products, which
    show their ratings, go under the tag `shown_under`.
    """
    settings = parts.settings
    return Slice(
        servicers=[
            ReviewServicer(
                tx=parts.tx,
                pager=parts.pager,
                copies=Copies(couriers, partial(parts.drop_answers, shown_under)),
                media_url=settings.media_url,
                moderated=settings.review_moderation is ReviewModeration.ALL,
            )
        ]
    )
