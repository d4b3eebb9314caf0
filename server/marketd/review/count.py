"""What a change of a review does to the sum of ratings, and to the copies of the sum that others show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from marketd.catalog import service as catalog
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ratings import NO_RATINGS
from marketd.review.model import ReviewKind
from marketd.review.ports import CourierRatings
from marketd.review.repository import sums
from marketd.review.values import Review
from marketd.seller import service as sellers


@dataclass(frozen=True, slots=True)
class Copies:
    """Who carries the sums: `couriers` writes a courier's, `on_change` is called when products show another one."""

    couriers: CourierRatings
    on_change: Callable[[], None]


async def count_change(uow: UnitOfWork, copies: Copies, before: Review | None, after: Review | None) -> None:
    """Count a review that is made, changed or gone, of which one is None; its row is locked.

    The sum's row is locked by the statement that adds, so the copies are written one after the other and end as it is.
    """
    change = list(NO_RATINGS)
    for review, number in ((before, -1), (after, 1)):
        if review is not None and review.counts:
            change[review.rating - 1] += number
    review = after or before
    if review is None or not any(change):
        return
    rating = await sums.add(uow.connection, review.kind, review.subject_id, change)
    match review.kind:
        case ReviewKind.PRODUCT:
            await catalog.set_rating(uow, review.subject_id, rating)
            uow.after_commit(copies.on_change)
        case ReviewKind.SELLER:
            await sellers.set_rating(uow, review.subject_id, rating)
        case ReviewKind.COURIER:
            await copies.couriers(uow, review.subject_id, rating)
