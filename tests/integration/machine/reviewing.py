"""Moves with reviews: writing, changing and deleting them, judging and answering them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from marketd.review.values import Review

from tests.integration.machine.model import BUYERS, SHOPS
from tests.integration.machine.ratings import KINDS
from tests.integration.machine.stage import Refused
from tests.integration.machine.table import Table, reason_of

RATING: Final = range(1, 6)
STATE: Final = ("PUBLISHED", "REJECTED")


class Reviewing(Table):
    """What people think of what they got."""

    def review(self) -> None:
        """Somebody reviews an order, mostly one that was delivered."""
        model = self.model
        order = self.mostly(self.going("DELIVERED", "REFUNDED"), model.orders)
        author = self.dice.choice(range(BUYERS)) if self.seldom() else order.group.buyer
        kind, rating = self.dice.choice(KINDS), self.dice.choice(RATING)
        place = self.dice.choice(range(len(order.lines)))
        self.tell(f"{author} reviews the {kind.lower()} of line {place} of {self.told(order)}: {rating}")
        expected = model.review(author, kind, order, place, rating)
        said = self.run(self.stage.review(author, kind, self.item_id(order, place), rating))
        self.same("review", expected, reason_of(said))
        if not isinstance(said, Refused):
            self.written[model.reviews[-1]] = said.review_id
            assert (said.state.value, said.rating) == (model.reviews[-1].state, rating)

    def rethink(self) -> None:
        """A review is changed, deleted, judged or answered."""
        review = self.dice.choice(self.model.reviews)
        review_id, number = self.written[review], self.model.reviews.index(review)
        author = self.dice.choice(range(BUYERS)) if self.seldom() else review.author
        model, stage = self.model, self.stage
        said: Coroutine[Any, Any, Review | Refused | None]
        move = self.dice.choice(("rewrite", "rewrite", "unwrite", "judge", "judge", "answer"))
        rating, state, shop = self.dice.choice(RATING), self.dice.choice(STATE), self.dice.choice(range(SHOPS))
        self.tell(f"review {number} ({review.kind}, {review.state}): {move} by {author}, {rating}, {state}, {shop}")
        match move:
            case "rewrite":
                expected, said = model.rewrite(author, review, rating), stage.rewrite(author, review_id, rating)
            case "unwrite":
                expected, said = model.unwrite(author, review), stage.unwrite(author, review_id)
            case "judge":
                expected, said = model.judge_review(review, state), stage.judge_review(review_id, state)
            case _:
                expected, said = model.answer(shop, review, "Thanks."), stage.answer(shop, review_id, "Thanks.")
        after = self.run(said)
        self.same(move, expected, reason_of(after))
        if after is not None and not isinstance(after, Refused):
            shown = (after.rating, after.state.value, after.reply_text, len(after.revisions))
            revisions = 0 if move == "answer" else review.revisions
            assert shown == (review.rating, review.state, review.reply, revisions)
