"""What every move of the machine stands on: the marketplace, the model, the dice, and the looks at both."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, invariant
from marketd.cart.quotes.values import QuoteKey
from marketd.cart.values import PricedCart
from marketd.kernel.call.caller import Caller
from marketd.order.values import Order

from tests.integration.machine.books import Look, cart_view, order_view
from tests.integration.machine.model import Owner
from tests.integration.machine.ratings import Ratings, Review
from tests.integration.machine.sold import OVER, Group, Sold
from tests.integration.machine.stage import Refused, Stage

CHECK_STEPS: Final = 100
T = TypeVar("T")


@dataclass(frozen=True)
class Placed:
    """The ids of a group in the database; orders and their lines stand in the model's order."""

    payment_id: UUID
    order_ids: tuple[UUID, ...]
    item_ids: tuple[tuple[UUID, ...], ...]


class Table(RuleBasedStateMachine):
    """`loop` and `stage` come from whoever starts the machine; `done` counts what came of each move."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    stage: ClassVar[Stage]
    done: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.run(self.stage.again())
        self.model = Ratings()
        self.placed: dict[Group, Placed] = {}
        self.keys: list[QuoteKey] = []
        self.written: dict[Review, UUID] = {}
        self.steps = 0
        self.dice = random.Random()  # noqa: S311 - a test's

    # -- what must hold

    @invariant()
    def is_as_the_model_says(self) -> None:
        """A cheap look at everything after each step, and now and then at the whole list."""
        look: Look = self.run(self.stage.look())
        look.assert_is(self.stage, self.model, [self.placed[group] for group in self.model.groups])
        self.steps += 1
        if self.steps % CHECK_STEPS == 0:
            self.work()
            violations = self.run(self.stage.built.violations())
            assert not violations, violations

    # -- in short

    def run(self, move: Coroutine[Any, Any, T]) -> T:
        """Have the marketplace do it."""
        return self.loop.run_until_complete(move)

    def work(self) -> None:
        """Jobs that are due run, and events are handed on."""
        self.model.work()
        self.run(self.stage.settle())

    def seller(self, order: Sold) -> Caller:
        return self.stage.shops[order.shop].caller

    def order_id(self, order: Sold) -> UUID:
        return self.placed[order.group].order_ids[order.group.orders.index(order)]

    def item_id(self, order: Sold, place: int) -> UUID:
        return self.placed[order.group].item_ids[order.group.orders.index(order)][place]

    def told(self, order: Sold) -> str:
        """The order in words."""
        lines = ", ".join(f"{line.left} of {line.pieces} at {line.price}" for line in order.lines)
        return f"order {self.model.orders.index(order)}, {order.state} ({lines}; {order.due - order.reserved} left)"

    def going(self, *states: str) -> list[Sold]:
        """The orders in one of these states; those that are not over when none is named."""
        return [order for order in self.model.orders if (order.state in states if states else order.state not in OVER)]

    def seldom(self) -> bool:
        """Once in eight times."""
        return self.dice.random() < 1 / 8

    def mostly(self, likely: Sequence[T], every: Sequence[T]) -> T:
        """One of the likely ones, and now and then any."""
        return self.dice.choice(likely if likely and not self.seldom() else every)

    def cart(self, rule_name: str, owner: Owner, expected: str, said: PricedCart | Refused) -> None:
        self.same(rule_name, expected, reason_of(said))
        if not isinstance(said, Refused):
            shown = cart_view(self.stage, said)
            assert shown == self.model.shown(owner), (shown, self.model.shown(owner))

    def moved(self, rule_name: str, sold: Sold, expected: str, said: Order | Refused) -> None:
        self.same(rule_name, expected, reason_of(said))
        if not isinstance(said, Refused):
            self.agrees(said, sold)

    def agrees(self, order: Order, sold: Sold) -> None:
        assert order_view(self.stage, order) == sold.view(), (order_view(self.stage, order), sold.view())

    def same(self, rule_name: str, expected: object, said: object) -> None:
        self.note(rule_name, said if isinstance(said, str) else "OK")
        assert said == expected, f"{rule_name}: {said}, expected {expected}"

    def tell(self, words: str) -> None:
        """For whoever reads of a round that failed."""
        note(f"{self.steps}. {words}")

    def note(self, rule_name: str, outcome: str) -> None:
        self.done[f"{rule_name} {outcome}"] += 1
        note(f"  {rule_name}: {outcome}")


def reason_of(said: object) -> str:
    """The reason of a refusal, or `OK`."""
    return said.reason if isinstance(said, Refused) else "OK"
