"""The machine: Hypothesis chooses what people do next, the marketplace does it, the model says what must come of it.

Every answer is compared with the model's, and after every step what the database holds. `marketd check`'s whole list is
looked at every CHECK_STEPS steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.integration.machine.reviewing import Reviewing
from tests.integration.machine.selling import Selling
from tests.integration.machine.shopping import Shopping

DICE: Final = st.integers(0, 2**16 - 1)


class Machine(Shopping, Selling, Reviewing):
    """All moves together."""

    @rule(dice=DICE)
    def step(self, dice: int) -> None:
        """Somebody does something.

        One rule with moves that are weighed by what can be done, and not a rule a move: of those Hypothesis leaves some
        out in each round, and most of this is a chain of which nothing may be left out.
        """
        # Hypothesis likes to draw the same number again, which is another move at another step.
        self.dice = random.Random(dice * 1_000_003 + self.steps)  # noqa: S311 - a test's
        moves = list(self.moves())
        (move,) = self.dice.choices([move for move, _ in moves], [weight for _, weight in moves])
        move()

    def moves(self) -> Iterable[tuple[Callable[[], None], int]]:
        """What can be done, and how likely it is."""
        model = self.model
        yield self.add, 6 if sum(len(basket.lines) for basket in model.baskets.values()) < 6 else 1
        yield self.quote, 5 if any(basket.lines for basket in model.baskets.values()) else 1
        yield self.merge, 3
        yield self.code, 3 if len(model.codes) < 3 else 1
        if model.codes:
            yield self.apply, 5
        yield self.adjust, 2
        yield self.price, 1
        yield self.later, 1
        if any(basket.lines for basket in model.baskets.values()):
            yield self.change, 2
        if self.keys:
            yield self.order, 1
        if model.groups:
            yield self.pay, 4 if any(group.waiting for group in model.groups) else 1
            yield self.cancel, 4 if self.going() else 1
            yield self.sell, 8 if self.going("PAID", "ACCEPTED") else 1
        if any(order.delivery or order.state == "READY" for order in model.orders):
            waits = any(order.state in ("READY", "OUT_FOR_DELIVERY") for order in model.orders)
            yield self.bring, 8 if waits else 1
        if any(group.captured for group in model.groups):
            yield self.refund, 2
        if model.groups:
            yield self.review, 4 if self.going("DELIVERED", "REFUNDED") else 0
        if model.reviews:
            yield self.rethink, 2
