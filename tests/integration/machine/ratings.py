"""What should be of reviews: who may write which, and what they sum up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.integration.machine.model import Owner
from tests.integration.machine.sales import Sales
from tests.integration.machine.sold import Sold

KINDS: Final = ("PRODUCT", "SELLER", "COURIER")

Subject: TypeAlias = tuple[str, int]
"""What a review is about: its kind, and the number of the variant's product or of the shop; 0 is the courier."""


@dataclass(eq=False)
class Review:
    """A review. `place` is the line of the order that it was written for."""

    author: Owner
    kind: str
    order: Sold
    place: int
    rating: int
    state: str = "PUBLISHED"
    reply: str = ""
    revisions: int = 0

    @property
    def subject(self) -> Subject:
        """What it is about."""
        if self.kind == "PRODUCT":
            return self.kind, self.order.lines[self.place].variant
        return self.kind, self.order.shop if self.kind == "SELLER" else 0


class Ratings(Sales):
    """Reviews on top of orders. Each move gives the reason of its refusal, or `OK` when it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.reviews: list[Review] = []
        self.rejected: set[tuple[str, Sold, int]] = set()

    def review(self, author: Owner, kind: str, order: Sold, place: int, rating: int) -> str:
        """A buyer reviews a line of an order, its shop, or who brought it."""
        if author != order.group.buyer:
            return "NOT_FOUND"
        if order.state not in ("DELIVERED", "REFUNDED") or not order.lines[place].left:
            return "ILLEGAL_TRANSITION"
        if kind == "COURIER" and not order.was_brought:
            return "VALIDATION_FAILED"
        new = Review(author, kind, order, place, rating)
        if any(self._bought(each) == self._bought(new) for each in self.reviews):
            return "ALREADY_EXISTS"
        if self._bought(new) in self.rejected:
            new.state = "PENDING"
        self.reviews.append(new)
        return "OK"

    def rewrite(self, author: Owner, review: Review, rating: int) -> str:
        """The author gives another rating; what was rejected is looked at again."""
        if author != review.author:
            return "NOT_FOUND"
        if rating != review.rating:
            review.rating, review.revisions = rating, review.revisions + 1
            review.state = "PENDING" if review.state == "REJECTED" else review.state
        return "OK"

    def unwrite(self, author: Owner, review: Review) -> str:
        """The author deletes it."""
        if author != review.author:
            return "NOT_FOUND"
        self.reviews.remove(review)
        return "OK"

    def judge_review(self, review: Review, state: str) -> str:
        """An admin publishes or rejects it."""
        if state != review.state:
            review.state = state
            change = self.rejected.add if state == "REJECTED" else self.rejected.discard
            change(self._bought(review))
        return "OK"

    def answer(self, shop: int, review: Review, text: str) -> str:
        """A shop answers it."""
        if review.kind == "COURIER" or review.order.shop != shop or review.state != "PUBLISHED":
            return "NOT_FOUND"
        review.reply = text
        return "OK"

    def sums(self) -> dict[Subject, list[int]]:
        """How many published reviews of 1 to 5 stars there are of everything that has some."""
        found: dict[Subject, list[int]] = {}
        for review in self.reviews:
            if review.state == "PUBLISHED":
                found.setdefault(review.subject, [0] * 5)[review.rating - 1] += 1
        return found

    def _bought(self, review: Review) -> tuple[str, Sold, int]:
        """By what it is the only one of its kind."""
        return review.kind, review.order, review.place if review.kind == "PRODUCT" else 0
