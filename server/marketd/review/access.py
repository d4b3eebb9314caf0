"""How a caller stands to a review, and so what it may see of it. docs/viewers.md has the table."""

from __future__ import annotations

from dataclasses import dataclass

from marketd.kernel.call.caller import Caller, Role
from marketd.review.values import Review


@dataclass(frozen=True, slots=True)
class ReviewViewer:
    """How the caller stands to a review. A shop is told no more than everybody: an order has a name and an address."""

    is_author: bool
    is_admin: bool
    is_service: bool

    @property
    def sees_whole(self) -> bool:
        """Whether it sees the review in every state, whose it is, and what it said before."""
        return self.is_author or self.is_admin or self.is_service


def viewer_of(caller: Caller, review: Review) -> ReviewViewer:
    """The caller's standing."""
    return ReviewViewer(
        is_author=caller.user_id is not None and caller.user_id == review.author_user_id,
        is_admin=caller.has(Role.ADMIN),
        is_service=caller.has(Role.SERVICE),
    )


def may_see(caller: Caller, review: Review) -> bool:
    """Whether the review exists for this caller at all."""
    return review.counts or viewer_of(caller, review).sees_whole
